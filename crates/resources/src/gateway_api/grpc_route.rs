//! GRPCRoute.

use serde::Deserialize;

use super::{BackendRef, MatchType, NameMatch, ParentRef, RouteFilter, SessionPersistence};
use crate::Metadata;

/// Where gRPC requests go.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct GrpcRoute {
    /// Metadata.
    pub metadata: Metadata,
    /// What it says.
    pub spec: GrpcRouteSpec,
}

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcRouteSpec {
    /// What it is attached to.
    pub parent_refs: Vec<ParentRef>,
    /// Whether it is also attached to gateways that are a default.
    pub use_default_gateways: String,
    /// The hosts it is about; none: all. Of no meaning in the mesh, where the service says it.
    pub hostnames: Vec<String>,
    /// Rules; which matches best is decided over all routes of a parent.
    pub rules: Vec<GrpcRouteRule>,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcRouteRule {
    /// Its name.
    pub name: Option<String>,
    /// Requests it is about, ORed; none: all.
    pub matches: Vec<GrpcRouteMatch>,
    /// What is done to them: those that HTTP has no more than gRPC.
    pub filters: Vec<RouteFilter>,
    /// Where they go, by weight; nowhere: they are answered with an error.
    pub backend_refs: Vec<BackendRef>,
    /// Whether requests of one session go to one endpoint.
    pub session_persistence: Option<SessionPersistence>,
}

/// What must hold of a request, all of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcRouteMatch {
    /// What is called.
    pub method: Option<GrpcMethodMatch>,
    /// Headers.
    pub headers: Vec<NameMatch>,
}

/// A condition on what is called.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcMethodMatch {
    /// How it is compared.
    #[serde(rename = "type")]
    pub kind: MatchType,
    /// The service; none: any.
    pub service: Option<String>,
    /// Its method; none: any.
    pub method: Option<String>,
}
