//! Settings of cluster mode: where the control plane is, how it is believed, and who this agent is to it.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;

use super::Problem;

/// Settings of cluster mode.
#[derive(Debug, Args)]
#[command(next_help_heading = "Cluster mode")]
pub(crate) struct ControlPlaneArgs {
    /// Control plane, as host:port: cluster mode, the configuration comes from there. Instead of --config.
    #[arg(long, env = "AMBIT_CONTROL_PLANE", value_name = "ADDRESS", conflicts_with = "config")]
    pub(crate) control_plane: Option<String>,

    /// Certificates (PEM) behind which the control plane is believed, as it is behind those it said itself; read
    /// again for every connection.
    #[arg(
        long,
        env = "AMBIT_CONTROL_PLANE_ROOTS",
        value_name = "FILE",
        default_value = "/var/run/secrets/istio/root-cert.pem"
    )]
    pub(crate) control_plane_roots: PathBuf,

    /// Name in the control plane's certificate [default: the host of --control-plane]
    #[arg(long, env = "AMBIT_CONTROL_PLANE_NAME", value_name = "NAME")]
    pub(crate) control_plane_name: Option<String>,

    /// This agent's service account token; read again for every request.
    #[arg(long, env = "AMBIT_TOKEN", value_name = "FILE", default_value = "/var/run/secrets/tokens/istio-token")]
    pub(crate) token: PathBuf,

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
    /// `host:port`.
    pub(crate) address: String,
    /// The name its certificate must have.
    pub(crate) name: String,
    /// Roots behind which it is believed.
    pub(crate) roots: PathBuf,
    /// What this agent proves itself by.
    pub(crate) token: PathBuf,
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
    pub(super) fn of(args: &ControlPlaneArgs, problems: &mut Vec<Problem>) -> Option<Self> {
        let address = args.control_plane.clone()?;
        let host = host_of(&address).unwrap_or_else(|| {
            problems.push(Problem::NotHostPort(address.clone()));
            String::new()
        });
        Some(Self {
            name: args.control_plane_name.clone().unwrap_or(host),
            address,
            roots: args.control_plane_roots.clone(),
            token: args.token.clone(),
            pod: AgentPod { name: args.pod_name.clone(), namespace: args.pod_namespace.clone(), ip: args.pod_ip },
            netns_dirs: args.netns_dirs.clone(),
        })
    }
}

/// The host of `host:port`; an IPv6 address stands in brackets.
fn host_of(address: &str) -> Option<String> {
    let (host, port) = address.rsplit_once(':')?;
    port.parse::<u16>().ok().filter(|port| *port != 0)?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_address = host.parse::<IpAddr>().is_ok();
    let is_name = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    (!host.is_empty() && (is_address || is_name)).then(|| host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for (address, host) in [
            ("ambitd.ambit-system.svc:15012", Some("ambitd.ambit-system.svc")),
            ("10.0.0.1:15012", Some("10.0.0.1")),
            ("[fd00::1]:15012", Some("fd00::1")),
            ("ambitd", None),
            ("ambitd:", None),
            (":15012", None),
            ("ambitd:0", None),
            ("https://ambitd:15012", None),
            ("ambitd:15012/x", None),
        ] {
            assert_eq!(host_of(address).as_deref(), host, "{address}");
        }
    }
}
