//! PeerAuthentication.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{Metadata, WorkloadSelector};

/// A policy on whether a workload takes connections that are not mutual TLS.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct PeerAuthentication {
    /// Metadata.
    pub metadata: Metadata,
    /// What it says.
    pub spec: PeerAuthenticationSpec,
}

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct PeerAuthenticationSpec {
    /// The workloads it applies to; absent: all of its namespace.
    pub selector: Option<WorkloadSelector>,
    /// The mode.
    pub mtls: MutualTls,
    /// Other modes for some ports of the workload, by port number.
    pub port_level_mtls: BTreeMap<String, MutualTls>,
}

/// A mode, in its wrapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct MutualTls {
    /// The mode.
    pub mode: Mode,
}

/// Whether connections must be mutual TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum Mode {
    /// As the wider policy says.
    #[default]
    Unset,
    /// They are not; for a tunnel, the same as permissive.
    Disable,
    /// They may be.
    Permissive,
    /// They must be.
    Strict,
}
