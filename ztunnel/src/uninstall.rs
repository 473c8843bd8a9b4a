//! `--uninstall`: takes everything of this node out of the kernel, and out of its pods.

use ambit_sys::NetNs;
use anyhow::Context;

use crate::config::{self, Args};
use crate::folder;
use crate::routing::{self, Families};

/// Removes pins (with them programs and maps) and, where the configuration says which pods there are,
/// the routing rule in each. Open connections through the agent end with the agent.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let node = args.node.as_deref().context("--node is missing")?;
    ambit_ebpf_loader::uninstall(&config::pins(args, node))?;
    let Some(path) = &args.config else { return Ok(()) };
    let options = folder::options(args.trust_domain.as_str(), args.cluster.as_str(), args.root_namespace.as_str());
    let (compiled, _issues) = folder::check(path, options)?;
    for pod in compiled.local_pods_of(node) {
        let addresses =
            compiled.workloads.iter().find(|workload| workload.uid == pod.uid).map(|found| &found.addresses);
        let (Some(netns), Some(addresses)) = (&pod.netns, addresses) else { continue };
        // A pod whose namespace is gone took its rules with it.
        let Ok(netns) = NetNs::open(netns) else { continue };
        routing::remove(&netns, Families::of(addresses))?;
    }
    Ok(())
}
