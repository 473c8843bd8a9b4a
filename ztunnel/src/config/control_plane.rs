//! Settings of cluster mode: the control plane, who this agent is to it, and where pods are to be found.

use std::net::IpAddr;
use std::path::PathBuf;

use ambit_uplink::{ControlPlaneSettings, NotHostPort};
use clap::Args;

/// Settings of cluster mode.
#[derive(Debug, Args)]
#[command(next_help_heading = "Cluster mode")]
pub(crate) struct ClusterArgs {
    #[command(flatten)]
    uplink: ambit_uplink::ControlPlaneArgs,

    /// Name of this agent's own pod.
    #[arg(long, env = "POD_NAME", value_name = "NAME", default_value = "ztunnel")]
    pub(crate) pod_name: String,

    /// Namespace of this agent's own pod.
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE", default_value = "ambit-system")]
    pub(crate) pod_namespace: String,

    /// Address of this agent's own pod.
    #[arg(long, env = "INSTANCE_IP", value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub(crate) pod_ip: IpAddr,

    /// Folders where the container runtime keeps the network namespaces of pods.
    #[arg(
        long,
        env = "AMBIT_NETNS_DIRS",
        value_name = "DIRS",
        value_delimiter = ',',
        default_value = "/run/netns,/var/run/netns,/run/docker/netns"
    )]
    pub(crate) netns_dirs: Vec<PathBuf>,
}

/// Settings of cluster mode, checked.
#[derive(Debug, Clone)]
pub(crate) struct ControlPlaneConfig {
    /// Where it is, and how it is believed.
    pub(crate) uplink: ControlPlaneSettings,
    /// This agent's own pod.
    pub(crate) pod: AgentPod,
    /// Where pods' namespaces may be.
    pub(crate) netns_dirs: Vec<PathBuf>,
}

/// This agent's own pod.
#[derive(Debug, Clone)]
pub(crate) struct AgentPod {
    /// Name.
    pub(crate) name: String,
    /// Namespace.
    pub(crate) namespace: String,
    /// Address.
    pub(crate) ip: IpAddr,
}

impl ControlPlaneConfig {
    /// What the settings say; `None` without a control plane.
    pub(super) fn of(args: &ClusterArgs) -> Result<Option<Self>, NotHostPort> {
        Ok(args.uplink.settings()?.map(|uplink| Self {
            uplink,
            pod: AgentPod { name: args.pod_name.clone(), namespace: args.pod_namespace.clone(), ip: args.pod_ip },
            netns_dirs: args.netns_dirs.clone(),
        }))
    }
}
