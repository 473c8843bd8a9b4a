//! Who is asked whether a request is allowed.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::Duration;

/// An authorizer that is asked by HTTP: a 200 allows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct HttpAuthorizer {
    /// Its host, with or without its namespace before it: `namespace/host`.
    pub service: String,
    /// Its port.
    pub port: u16,
    /// How long it may take; ten minutes unless it is given.
    pub timeout: Option<Duration>,
    /// What stands before the path.
    pub path_prefix: String,
    /// Whether requests that it does not answer are allowed.
    pub fail_open: bool,
    /// Whether a route is looked for again after it has changed headers.
    pub clear_route_cache: bool,
    /// The status if it does not answer; 403 unless it is given.
    pub status_on_error: String,
    /// The old spelling of `includeRequestHeadersInCheck`.
    pub include_headers_in_check: Vec<String>,
    /// The headers it sees besides those it always sees, with or without `*` before or after them.
    pub include_request_headers_in_check: Vec<String>,
    /// Headers it sees that the request does not have.
    pub include_additional_headers_in_check: BTreeMap<String, String>,
    /// Whether it sees the body.
    pub include_request_body_in_check: Option<CheckedBody>,
    /// The headers of its response that go on with a request it allows.
    pub headers_to_upstream_on_allow: Vec<String>,
    /// The headers of its response that the client gets with a denial; none: all.
    pub headers_to_downstream_on_deny: Vec<String>,
    /// The headers of its response that the client gets with the response.
    pub headers_to_downstream_on_allow: Vec<String>,
}

/// An authorizer that is asked by gRPC (`envoy.service.auth.v3`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcAuthorizer {
    /// Its host, with or without its namespace before it: `namespace/host`.
    pub service: String,
    /// Its port.
    pub port: u16,
    /// How long it may take; ten minutes unless it is given.
    pub timeout: Option<Duration>,
    /// Whether requests that it does not answer are allowed.
    pub fail_open: bool,
    /// Whether a route is looked for again after it has changed headers.
    pub clear_route_cache: bool,
    /// The status if it does not answer; 403 unless it is given.
    pub status_on_error: String,
    /// Whether it sees the body.
    pub include_request_body_in_check: Option<CheckedBody>,
}

/// An authorizer sees the body.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct CheckedBody {
    /// How many bytes of it at most.
    pub max_request_bytes: u32,
    /// Whether a longer one is cut there, or refused.
    pub allow_partial_message: bool,
    /// Whether it comes as bytes, by gRPC.
    pub pack_as_bytes: bool,
}
