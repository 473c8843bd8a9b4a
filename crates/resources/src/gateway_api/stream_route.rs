//! TCPRoute and TLSRoute: routes of whole connections.

use serde::Deserialize;

use super::{BackendRef, ParentRef};
use crate::Metadata;

/// Where connections go.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct TcpRoute {
    /// Metadata.
    pub metadata: Metadata,
    /// What it says.
    pub spec: TcpRouteSpec,
}

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpRouteSpec {
    /// What it is attached to.
    pub parent_refs: Vec<ParentRef>,
    /// Whether it is also attached to gateways that are a default.
    pub use_default_gateways: String,
    /// Rules, of which there is one.
    pub rules: Vec<StreamRouteRule>,
}

/// Where TLS connections go, which are passed on as they are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct TlsRoute {
    /// Metadata.
    pub metadata: Metadata,
    /// What it says.
    pub spec: TlsRouteSpec,
}

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TlsRouteSpec {
    /// What it is attached to.
    pub parent_refs: Vec<ParentRef>,
    /// Whether it is also attached to gateways that are a default.
    pub use_default_gateways: String,
    /// The names a client may ask for, with or without `*.` before them.
    pub hostnames: Vec<String>,
    /// Rules, of which there is one.
    pub rules: Vec<StreamRouteRule>,
}

/// A rule: everything it gets goes to one of these.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StreamRouteRule {
    /// Its name.
    pub name: Option<String>,
    /// Where, by weight.
    pub backend_refs: Vec<BackendRef>,
}
