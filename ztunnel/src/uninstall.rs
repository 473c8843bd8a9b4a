//! `--uninstall`: takes everything of this node out of the kernel, and out of its pods.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use ambit_runtime::{Readiness, Signals, http, readiness};
use ambit_sys::NetNs;
use anyhow::Context;
use tokio_util::sync::CancellationToken;

use crate::cluster::LastGood;
use crate::config::{self, Args};
use crate::outlet::Place;
use crate::routing::{self, Families};
use crate::{cni, folder, netns_finder};

/// Removes the CNI plugin, then pins (with them programs and maps), the routing rule in each pod, and what
/// cluster mode keeps for the next start. Open connections through the agent end with the agent.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let node = args.node.as_deref().context("--node is missing")?;
    if let Some(settings) = args.cni.settings(&args.state) {
        // First: pods that start from now on are not to wait for an agent.
        cni::uninstall(&settings)?;
    }
    let pins = config::pins(args, node);
    let captured = ambit_ebpf_loader::captured(&pins);
    ambit_ebpf_loader::uninstall(&pins)?;
    if args.config.is_some() {
        return in_named_pods(args, node);
    }
    in_captured_pods(args, &captured)?;
    let kept = LastGood::new(&args.state, node);
    kept.remove().context("cannot remove the last good state")?;
    for folder in kept.folders(&args.state) {
        remove_empty(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}

/// Says that all is away, until told to stop: for who waits until every node is clean.
pub(crate) async fn stay(address: SocketAddr) -> anyhow::Result<()> {
    let mut signals = Signals::listen().context("cannot handle signals")?;
    let (readiness, stop) = (Readiness::default(), CancellationToken::new());
    let clean = readiness.condition("uninstalled");
    clean.ok();
    let listener = http::bind(address).with_context(|| format!("cannot listen on {address}"))?;
    let served = http::serve(listener, Arc::new(readiness::routes(readiness.clone())), stop);
    tokio::select! {
        () = served => {}
        _ = signals.next() => {}
    }
    Ok(())
}

/// What others have put into a folder keeps it, and so does a mount on it.
fn remove_empty(folder: &Path) -> io::Result<()> {
    match fs::remove_dir(folder) {
        Err(error)
            if !matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::ResourceBusy
            ) =>
        {
            Err(error)
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Those of the folder.
fn in_named_pods(args: &Args, node: &str) -> anyhow::Result<()> {
    let Some(path) = &args.config else { return Ok(()) };
    let options = folder::options(args.trust_domain.as_str(), args.cluster.as_str(), args.root_namespace.as_str());
    let (compiled, _issues) = folder::check(path, options)?;
    for pod in folder::local_pods(&compiled, node).iter() {
        let addresses =
            compiled.workloads.iter().find(|workload| workload.uid == pod.uid).map(|found| &found.addresses);
        let (Some(Place::File(netns)), Some(addresses)) = (&pod.netns, addresses) else { continue };
        // A pod whose namespace is gone took its rules with it.
        let Ok(netns) = NetNs::open(netns) else { continue };
        routing::remove(&netns, Families::of(addresses))?;
    }
    Ok(())
}

/// Those the kernel captured, as far as their namespaces are found. Nobody says any more which they were.
fn in_captured_pods(args: &Args, captured: &BTreeSet<u64>) -> anyhow::Result<()> {
    let namespaces = netns_finder::namespaces(&args.control_plane.netns_dirs)?;
    let families = Families { v4: true, v6: Path::new("/proc/sys/net/ipv6").exists() };
    for netns in namespaces.iter().filter(|netns| captured.contains(&netns.cookie())) {
        routing::remove(netns, families)?;
    }
    Ok(())
}
