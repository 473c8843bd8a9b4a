//! A node: containerd, kubelet and kube-proxy in namespaces of the node's own.

use std::{
    env,
    fs::File,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use ambit_tests::until;
use anyhow::{Context, Result};

use super::{
    cgroups, kubeconfig,
    layout::{HOLDER, Node, PODS},
    mounts, network, own_images, processes, programs,
};
use crate::command;

mod settings;

/// How long containerd may take until it serves.
const START_TIME: Duration = Duration::from_secs(30);

/// Starts what of the node does not run.
pub(super) fn start(node: Node) -> Result<()> {
    if node.holder().is_err() {
        // What still runs is in namespaces that nobody can enter any more.
        stop(node)?;
    }
    network::join(node.member())?;
    cgroups::make(&node.cgroup())?;
    mounts::make_mount_points()?;
    settings::write(node)?;
    hold_namespaces(node)?;
    daemon(node, "containerd", |_| {})?;
    until(&format!("containerd on {node} (see its log)"), START_TIME, || {
        let socket = root(node).ok()?.join("run/containerd/containerd.sock");
        UnixStream::connect(socket).ok()
    })?;
    if !node.disk().join("images-imported").exists() {
        own_images::archives().iter().try_for_each(|archive| import(node, archive))?;
        File::create(node.disk().join("images-imported"))?;
    }
    let (ip4, ip6) = (node.member().ip4(), node.member().ip6());
    daemon(node, "kubelet", |kubelet| {
        kubelet
            .arg(format!("--config={}", node.disk().join(settings::KUBELET).display()))
            .arg(format!("--kubeconfig={}", kubeconfig::path(&node.to_string()).display()))
            .arg(format!("--hostname-override={node}"))
            .arg(format!("--node-ip={ip4},{ip6}"));
    })?;
    daemon(node, "kube-proxy", |proxy| {
        proxy
            .arg(format!("--kubeconfig={}", kubeconfig::path("kube-proxy").display()))
            .arg(format!("--hostname-override={node}"))
            .arg(format!("--cluster-cidr={PODS}"))
            // The table of connections is the machine's: its size is not for a node to set.
            .args(["--proxy-mode=nftables", "--conntrack-max-per-core=0"]);
    })
}

/// Ends everything on the node at once; its disk stays.
pub(super) fn stop(node: Node) -> Result<()> {
    cgroups::remove(&node.cgroup())?;
    network::leave(node.member())
}

/// Puts the images of an archive onto the node.
pub(super) fn import(node: Node, archive: &Path) -> Result<()> {
    let file = File::open(archive).with_context(|| format!("opening {}", archive.display()))?;
    let mut ctr = inside(node, "ctr")?;
    command::output(ctr.args(["--namespace=k8s.io", "images", "import", "-"]).stdin(file)).map(drop)
}

/// A command in the node's namespaces.
pub(super) fn inside(node: Node, program: impl AsRef<std::ffi::OsStr>) -> Result<Command> {
    let mut command = Command::new("nsenter");
    command.arg(format!("--target={}", node.holder()?)).args(["--net", "--mount", "--cgroup", "--"]).arg(program);
    Ok(command)
}

/// The node's root folder, as seen from outside.
pub(super) fn root(node: Node) -> Result<PathBuf> {
    Ok(PathBuf::from(format!("/proc/{}/root", node.holder()?)))
}

/// A process that does nothing but keep the node's namespaces while everything else restarts.
fn hold_namespaces(node: Node) -> Result<()> {
    if processes::running(&node.process(HOLDER)).is_some() {
        return Ok(());
    }
    // A namespace of cgroups begins where the process that makes it is. That is another than this one, which may
    // have more to do than the node has time to live: whoever is in its cgroup ends with it.
    let own = env::current_exe().context("finding this program")?;
    command::run(Command::new(own).args(["cluster", "hold-namespaces", &node.to_string()]))
}

/// Makes the node's namespaces and starts what keeps them, in a process that ends thereafter.
pub(super) fn make_namespaces(node: Node) -> Result<()> {
    let cgroup = node.cgroup();
    cgroups::enter_top(&cgroup, std::process::id())?;
    let started = node.member().netns().run(|| {
        mounts::enter(node)?;
        processes::ensure(&node.process(HOLDER), || {
            let mut holder = Command::new("sleep");
            holder.arg("infinity");
            Ok(holder)
        })
    })?;
    cgroups::enter_programs(&cgroup, started?)
}

fn daemon(node: Node, name: &str, arguments: impl FnOnce(&mut Command)) -> Result<()> {
    let process = node.process(name);
    if processes::running(&process).is_some() {
        return Ok(());
    }
    let built = programs::path(name);
    let program = if built.exists() { built } else { PathBuf::from(name) };
    let pid = processes::ensure(&process, || {
        let mut command = inside(node, program)?;
        arguments(&mut command);
        Ok(command)
    })?;
    cgroups::enter_programs(&node.cgroup(), pid)
}
