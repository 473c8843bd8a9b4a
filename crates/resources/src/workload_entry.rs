//! WorkloadEntry: what runs on no node of the cluster.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::Metadata;

/// A workload that is no pod.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct WorkloadEntry {
    /// Metadata.
    pub metadata: Metadata,
    /// What it says.
    pub spec: WorkloadEntrySpec,
}

/// What it says; also an endpoint of a ServiceEntry.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadEntrySpec {
    /// Its address.
    pub address: String,
    /// Its port for each port of a service that has another number there, by that port's name.
    pub ports: BTreeMap<String, u16>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its service account; empty means `default`.
    pub service_account: String,
    /// Where it is: `region/zone/subzone`.
    pub locality: String,
    /// The network it is in.
    pub network: String,
    /// How much of the traffic it takes.
    pub weight: u32,
}
