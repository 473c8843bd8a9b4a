//! What policies apply to.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Workloads, by their labels. No labels: all of the namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadSelector {
    /// Labels a workload must have, all of them.
    pub match_labels: BTreeMap<String, String>,
}

/// An object a policy is attached to: a waypoint, or what a waypoint serves.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct TargetRef {
    /// API group; empty for Kubernetes' core.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Namespace.
    pub namespace: String,
}
