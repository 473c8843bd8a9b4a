//! Builds what the demo runs, and installs what is missing for it.

use std::io;

use anyhow::{Result, ensure};
use nix::unistd::{dup, dup2_stdout};

use crate::{build_ebpf, command, packages};

/// Programs the demo runs, with Debian's packages they come in.
const PROGRAMS: [(&str, &str); 5] =
    [("ip", "iproute2"), ("nsenter", "util-linux"), ("tcpdump", "tcpdump"), ("curl", "curl"), ("nginx", "nginx-light")];

/// The kernel programs, then the agent that embeds them and the waypoint. All is told on standard error: standard
/// output is for the steps.
pub(super) fn all() -> Result<()> {
    ensure!(command::is_root(), "network namespaces and eBPF need root: run as root");
    let stdout = dup(io::stdout())?;
    dup2_stdout(io::stderr())?;
    let built = build();
    dup2_stdout(stdout)?;
    built
}

fn build() -> Result<()> {
    let missing = PROGRAMS.iter().filter(|(program, _)| command::find(program).is_none());
    packages::install(&missing.map(|(_, package)| *package).collect::<Vec<_>>())?;
    build_ebpf::run(&build_ebpf::Args { install: true, ..build_ebpf::Args::default() })?;
    command::run(command::cargo().args(["build", "--release", "--package", "ztunnel", "--package", "waypoint"]))
}
