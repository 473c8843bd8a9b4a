//! The bare pair of proxies, and the building of what is measured.

use std::path::{Path, PathBuf};

use ambit_tests::{Pod, Process, World};
use anyhow::{Context as _, Result};

use super::servers::wait_listening;
use super::stage::{BULK, HTTP};
use crate::command::{self, cargo};
use crate::{build_ebpf, workspace};

/// Builds the proxy, optimised, and gives its path.
pub(super) fn build_proxy() -> Result<PathBuf> {
    command::run(cargo().args(["build", "--release", "--package", "xtask", "--example", "two-hop-proxy"]))?;
    Ok(workspace::target_dir()?.join("release/examples/two-hop-proxy"))
}

/// Builds the agent, optimised, unless `AMBIT_ZTUNNEL` names one.
pub(super) fn build_agent() -> Result<()> {
    if std::env::var_os("AMBIT_ZTUNNEL").is_some() {
        return Ok(());
    }
    build_ebpf::run(&build_ebpf::Args { install: true, ..Default::default() })?;
    command::run(cargo().args(["build", "--release", "--package", "ztunnel"]))
}

/// Starts a proxy on each node: the client's asks the server's, which asks the server.
pub(super) fn start(world: &World, binary: &Path, server: &Pod) -> Result<[Process; 2]> {
    let [near, far] = world.nodes();
    let pairs = |listen: &dyn ToString, target: &dyn ToString| {
        [HTTP, BULK].map(|port| format!("{}:{port}={}:{port}", listen.to_string(), target.to_string()))
    };
    let mut started = Vec::new();
    for (node, pairs) in [(near, pairs(&near.ip4(), &far.ip4())), (far, pairs(&far.ip4(), &server.ip4()))] {
        let mut command = node.netns().command(binary);
        command.args(pairs);
        started.push(Process::start(command, world.directory(), &format!("two-hop-{}", node.name()))?);
        for port in [HTTP, BULK] {
            wait_listening(&node.netns(), port)?;
        }
    }
    <[Process; 2]>::try_from(started).ok().context("two nodes")
}
