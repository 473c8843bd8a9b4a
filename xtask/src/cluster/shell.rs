//! Commands for the cluster, and commands on its nodes.

use std::{
    env,
    ffi::{OsStr, OsString},
    os::unix::process::CommandExt,
    process::Command,
};

use anyhow::{Context, Result, ensure};

use super::{cgroups, gateway_api, kubeconfig, layout::Node, node, programs};

/// Becomes `command`, or a shell, that speaks to the cluster.
pub(super) fn run(command: &[OsString]) -> Result<()> {
    let shell = || env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into());
    let (program, arguments) =
        command.split_first().map_or_else(|| (shell(), &[][..]), |(program, rest)| (program.clone(), rest));
    let mut command = with_cluster(&program)?;
    Err(command.args(arguments).exec()).with_context(|| format!("starting {}", program.display()))
}

/// Becomes `command` on a node, as much a part of it as the kubelet.
pub(super) fn exec_node(node: Node, command: &[OsString]) -> Result<()> {
    let (program, arguments) = command.split_first().context("no command")?;
    let mut inside = node::inside(node, program)?;
    cgroups::enter_programs(&node.cgroup(), std::process::id())?;
    Err(inside.args(arguments).exec()).context("starting nsenter")
}

/// kubectl, as the one who may do everything.
pub(super) fn kubectl() -> Command {
    let mut kubectl = Command::new(programs::path("kubectl"));
    kubectl.env("KUBECONFIG", kubeconfig::path(kubeconfig::ADMIN));
    kubectl
}

fn with_cluster(program: &OsStr) -> Result<Command> {
    // Found by the new path, not by ours.
    let mut command = Command::new("env");
    command.arg("--").arg(program).envs(environment()?);
    Ok(command)
}

/// What makes the cluster the default of kubectl and helm, and leads the suite back to this program.
pub(super) fn environment() -> Result<[(&'static str, OsString); 4]> {
    let kubeconfig = kubeconfig::path(kubeconfig::ADMIN);
    ensure!(kubeconfig.exists(), "no cluster; `cargo xtask cluster up` starts one");
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([programs::folder()].into_iter().chain(env::split_paths(&path)))?;
    Ok([
        ("PATH", path),
        ("KUBECONFIG", kubeconfig.into()),
        ("AMBIT_XTASK", env::current_exe()?.into()),
        ("AMBIT_GATEWAY_API", gateway_api::definitions()?.into()),
    ])
}
