//! VirtualService, every field of it.

use serde::Deserialize;

use crate::Metadata;

mod http;
mod http_action;
mod http_match;
mod l4;

pub use http::{
    Delegate, Destination, DirectResponse, HeaderOperations, Headers, HttpBody, HttpDestination, HttpRoute, Mirror,
    PortSelector, Retries,
};
pub use http_action::{
    Abort, CorsPolicy, Delay, Fault, Redirect, RedirectPort, RegexRewrite, Rewrite, UnmatchedPreflights,
};
pub use http_match::HttpMatch;
pub use l4::{L4Match, RouteDestination, TcpRoute, TlsMatch, TlsRoute};

/// Where requests and connections to some hosts go.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct VirtualService {
    /// Metadata.
    pub metadata: Metadata,
    /// What it says.
    pub spec: VirtualServiceSpec,
}

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct VirtualServiceSpec {
    /// The hosts it is about, as services are called; none for one that is only delegated to.
    pub hosts: Vec<String>,
    /// The gateways it is in force at, `mesh` for the mesh itself; none means `mesh`.
    pub gateways: Vec<String>,
    /// Rules for HTTP; the first that matches.
    pub http: Vec<HttpRoute>,
    /// Rules for TLS that is passed on as it is; the first that matches.
    pub tls: Vec<TlsRoute>,
    /// Rules for everything else; the first that matches.
    pub tcp: Vec<TcpRoute>,
    /// The namespaces that see it; none means all.
    pub export_to: Vec<String>,
}
