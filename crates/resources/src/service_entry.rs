//! ServiceEntry: a service that Kubernetes does not know.

use serde::Deserialize;

use crate::{Metadata, WorkloadEntrySpec};

/// A service.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct ServiceEntry {
    /// Metadata.
    pub metadata: Metadata,
    /// What it says.
    pub spec: ServiceEntrySpec,
}

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceEntrySpec {
    /// Its host names.
    pub hosts: Vec<String>,
    /// Its virtual addresses.
    pub addresses: Vec<String>,
    /// Ports.
    pub ports: Vec<ServiceEntryPort>,
    /// Whether its endpoints are part of the mesh.
    pub location: Location,
    /// How its endpoints are found.
    pub resolution: Resolution,
    /// Its endpoints.
    pub endpoints: Vec<WorkloadEntrySpec>,
    /// Labels of its endpoints, pods or WorkloadEntries.
    pub workload_selector: Option<EntrySelector>,
    /// The namespaces that see it.
    pub export_to: Vec<String>,
    /// Identities its endpoints may show.
    pub subject_alt_names: Vec<String>,
}

/// Workloads, by their labels.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct EntrySelector {
    /// Labels a workload must have, all of them.
    pub labels: std::collections::BTreeMap<String, String>,
}

/// A port.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ServiceEntryPort {
    /// The port clients ask for.
    pub number: u16,
    /// Name.
    #[serde(default)]
    pub name: String,
    /// What is spoken on it.
    #[serde(default)]
    pub protocol: String,
    /// The port of the endpoints; absent means the same.
    #[serde(default)]
    pub target_port: Option<u16>,
}

/// Whether endpoints are part of the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Location {
    /// They are not.
    #[default]
    MeshExternal,
    /// They are.
    MeshInternal,
}

/// How endpoints are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Resolution {
    /// They are not: a connection goes where it was going.
    #[default]
    None,
    /// By the addresses given.
    Static,
    /// By looking up names.
    Dns,
    /// By looking up names, one address at a time.
    DnsRoundRobin,
    /// By names looked up anew for each connection.
    DynamicDns,
}
