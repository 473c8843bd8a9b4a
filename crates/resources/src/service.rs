//! Service: the part that a mesh needs.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::Metadata;
use crate::unknown_field::FieldTable;

/// A service.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Service {
    /// Metadata.
    pub metadata: Metadata,
    /// What was asked for.
    pub spec: ServiceSpec,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSpec {
    /// `ClusterIP` (which empty means), `NodePort`, `LoadBalancer` or `ExternalName`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its first virtual address; `None` for a headless service.
    #[serde(rename = "clusterIP")]
    pub cluster_ip: String,
    /// All its virtual addresses, the first included.
    #[serde(rename = "clusterIPs")]
    pub cluster_ips: Vec<String>,
    /// Labels of its pods; none: its endpoints are made by somebody else.
    pub selector: BTreeMap<String, String>,
    /// Ports.
    pub ports: Vec<ServicePort>,
    /// Whether pods that are not ready take its traffic.
    pub publish_not_ready_addresses: bool,
    /// `Cluster` (which empty means) or `Local`.
    pub internal_traffic_policy: String,
    /// `PreferSameNode`, `PreferSameZone`, `PreferClose`, or empty.
    pub traffic_distribution: String,
    /// `None` (which empty means) or `ClientIP`.
    pub session_affinity: String,
}

/// A port of a service.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServicePort {
    /// Name; may be empty where there is only one.
    #[serde(default)]
    pub name: String,
    /// The port clients ask for.
    pub port: u16,
    /// The port of the pods; absent means the same.
    #[serde(default)]
    pub target_port: Option<PortName>,
    /// `TCP` (which empty means), `UDP` or `SCTP`.
    #[serde(default)]
    pub protocol: String,
    /// What is spoken on it.
    #[serde(default)]
    pub app_protocol: String,
}

/// A port of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "expected a port number or the name of a container port")]
pub enum PortName {
    /// By its number.
    Number(u16),
    /// By the name a container gives it, which may be another number in every pod.
    Name(String),
}

#[rustfmt::skip]
pub(crate) const FIELDS: FieldTable = &[
    ("", &["status"]),
    ("spec", &[
        "allocateLoadBalancerNodePorts", "externalIPs", "externalName", "externalTrafficPolicy", "healthCheckNodePort",
        "ipFamilies", "ipFamilyPolicy", "loadBalancerClass", "loadBalancerIP", "loadBalancerSourceRanges",
        "sessionAffinity", "sessionAffinityConfig",
    ]),
    ("spec.ports[*]", &["nodePort"]),
];
