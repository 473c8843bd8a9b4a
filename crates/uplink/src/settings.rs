//! Settings of cluster mode: where the control plane is, how it is believed, and who asks.

use std::net::IpAddr;
use std::path::PathBuf;

use ambit_xds::NodeInfo;
use clap::Args;

/// Settings of cluster mode. The program must have a setting of the name `config`, in place of which this is.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Cluster mode")]
pub struct ControlPlaneArgs {
    /// Control plane, as host:port: cluster mode, the configuration comes from there. Instead of --config.
    #[arg(long, env = "AMBIT_CONTROL_PLANE", value_name = "ADDRESS", conflicts_with = "config")]
    control_plane: Option<String>,

    /// Certificates (PEM) behind which the control plane is believed, as it is behind those it said itself; read
    /// again for every connection.
    #[arg(
        long,
        env = "AMBIT_CONTROL_PLANE_ROOTS",
        value_name = "FILE",
        default_value = "/var/run/secrets/istio/root-cert.pem"
    )]
    control_plane_roots: PathBuf,

    /// Name in the control plane's certificate [default: the host of --control-plane]
    #[arg(long, env = "AMBIT_CONTROL_PLANE_NAME", value_name = "NAME")]
    control_plane_name: Option<String>,

    /// This program's service account token; read again for every request.
    #[arg(long, env = "AMBIT_TOKEN", value_name = "FILE", default_value = "/var/run/secrets/tokens/istio-token")]
    token: PathBuf,
}

/// Settings of cluster mode, checked.
#[derive(Debug, Clone)]
pub struct ControlPlaneSettings {
    /// `host:port`.
    pub address: String,
    /// The name its certificate must have.
    pub name: String,
    /// Roots behind which it is believed.
    pub roots: PathBuf,
    /// What the program proves itself by.
    pub token: PathBuf,
}

/// An address that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("--control-plane {0:?} is not of the form host:port")]
pub struct NotHostPort(pub String);

/// The pod a program runs in, for the control plane's log; what it may have is judged by its token.
#[derive(Debug, Clone)]
pub struct OwnPod {
    /// Name.
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// Address.
    pub ip: IpAddr,
    /// Name of its node.
    pub node: String,
    /// Name of its cluster.
    pub cluster: String,
}

impl ControlPlaneArgs {
    /// What the settings say; nothing without a control plane.
    ///
    /// # Errors
    /// If its address is none.
    pub fn settings(&self) -> Result<Option<ControlPlaneSettings>, NotHostPort> {
        let Some(address) = self.control_plane.clone() else { return Ok(None) };
        let host = host_of(&address).ok_or_else(|| NotHostPort(address.clone()))?;
        Ok(Some(ControlPlaneSettings {
            name: self.control_plane_name.clone().unwrap_or(host),
            address,
            roots: self.control_plane_roots.clone(),
            token: self.token.clone(),
        }))
    }
}

impl OwnPod {
    /// Who asks, as a program of this name.
    #[must_use]
    pub fn node_info(&self, program: &str) -> NodeInfo {
        let Self { name, namespace, ip, node, cluster } = self;
        let metadata = [
            ("NAME", name.clone()),
            ("NAMESPACE", namespace.clone()),
            ("INSTANCE_IPS", ip.to_string()),
            ("NODE_NAME", node.clone()),
            ("CLUSTER_ID", cluster.clone()),
        ];
        NodeInfo {
            id: format!("{program}~{ip}~{name}.{namespace}~{namespace}.svc.cluster.local"),
            cluster: cluster.clone(),
            metadata: metadata.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        }
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
