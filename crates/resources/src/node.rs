//! Node: the part that a mesh needs.

use serde::Deserialize;

use crate::Metadata;
use crate::unknown_field::FieldTable;

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Node {
    /// Metadata, of which the labels matter.
    pub metadata: Metadata,
    /// What is known of it.
    pub status: NodeStatus,
}

/// What is known of a node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    /// Its addresses.
    pub addresses: Vec<NodeAddress>,
}

/// An address of a node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct NodeAddress {
    /// An IP address or a name.
    pub address: String,
}

#[rustfmt::skip]
pub(crate) const FIELDS: FieldTable = &[
    ("", &["spec"]),
    ("status", &[
        "allocatable", "capacity", "conditions", "config", "daemonEndpoints", "declaredFeatures", "features", "images",
        "nodeInfo", "phase", "runtimeHandlers", "volumesAttached", "volumesInUse",
    ]),
    ("status.addresses[*]", &["type"]),
];
