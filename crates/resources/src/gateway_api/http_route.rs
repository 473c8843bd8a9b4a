//! HTTPRoute.

use serde::Deserialize;

use super::{BackendRef, ParentRef, RouteFilter, RouteRetry, RouteTimeouts, SessionPersistence};
use crate::Metadata;

/// Where HTTP requests go.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct HttpRoute {
    /// Metadata.
    pub metadata: Metadata,
    /// What it says.
    pub spec: HttpRouteSpec,
}

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRouteSpec {
    /// What it is attached to.
    pub parent_refs: Vec<ParentRef>,
    /// Whether it is also attached to gateways that are a default.
    pub use_default_gateways: String,
    /// The hosts it is about; none: all. Of no meaning in the mesh, where the service says it.
    pub hostnames: Vec<String>,
    /// Rules; which matches best is decided over all routes of a parent.
    pub rules: Vec<HttpRouteRule>,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRouteRule {
    /// Its name.
    pub name: Option<String>,
    /// Requests it is about, ORed; none: all.
    pub matches: Vec<HttpRouteMatch>,
    /// What is done to them.
    pub filters: Vec<RouteFilter>,
    /// Where they go, by weight; nowhere: they are answered with an error.
    pub backend_refs: Vec<BackendRef>,
    /// How long they may take.
    pub timeouts: Option<RouteTimeouts>,
    /// When they are tried again.
    pub retry: Option<RouteRetry>,
    /// Whether requests of one session go to one endpoint.
    pub session_persistence: Option<SessionPersistence>,
}

/// What must hold of a request, all of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRouteMatch {
    /// The path.
    pub path: Option<PathMatch>,
    /// Headers.
    pub headers: Vec<NameMatch>,
    /// Parameters of the query.
    pub query_params: Vec<NameMatch>,
    /// The method.
    pub method: Option<String>,
}

/// A condition on the path.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PathMatch {
    /// How it is compared.
    #[serde(rename = "type")]
    pub kind: PathMatchType,
    /// What with.
    pub value: String,
}

impl Default for PathMatch {
    fn default() -> Self {
        Self { kind: PathMatchType::PathPrefix, value: "/".to_owned() }
    }
}

/// How a path is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum PathMatchType {
    /// It is this.
    Exact,
    /// It begins with this, by whole elements.
    #[default]
    PathPrefix,
    /// The expression matches the whole of it.
    RegularExpression,
}

/// A condition on something that has a name: a header, a parameter of the query.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NameMatch {
    /// How it is compared.
    #[serde(rename = "type")]
    pub kind: MatchType,
    /// Its name.
    pub name: String,
    /// What with.
    pub value: String,
}

/// How a text is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum MatchType {
    /// It is this.
    #[default]
    Exact,
    /// The expression matches the whole of it.
    RegularExpression,
}
