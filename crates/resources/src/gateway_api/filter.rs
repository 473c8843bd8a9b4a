//! What is done to requests and responses.

use serde::Deserialize;

use super::{BackendRef, LocalReference};

/// Something that is done: `type` says which of the fields is meant.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteFilter {
    /// What.
    #[serde(rename = "type")]
    pub kind: FilterType,
    /// Headers of the request are changed.
    pub request_header_modifier: Option<HeaderModifier>,
    /// Headers of the response are changed.
    pub response_header_modifier: Option<HeaderModifier>,
    /// A copy goes somewhere.
    pub request_mirror: Option<RequestMirror>,
    /// The client is sent elsewhere.
    pub request_redirect: Option<RequestRedirect>,
    /// The request's target is changed.
    pub url_rewrite: Option<UrlRewrite>,
    /// Browsers are told about other origins.
    pub cors: Option<Cors>,
    /// Somebody else decides whether the request is allowed.
    pub external_auth: Option<ExternalAuth>,
    /// Something the API does not have.
    pub extension_ref: Option<LocalReference>,
}

/// What is done. Absent is what no API server accepts, and a filter that is lost would widen a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[expect(missing_docs, reason = "the words of the API, one by one")]
pub enum FilterType {
    #[default]
    #[serde(skip)]
    Absent,
    RequestHeaderModifier,
    ResponseHeaderModifier,
    RequestMirror,
    RequestRedirect,
    #[serde(rename = "URLRewrite")]
    UrlRewrite,
    #[serde(rename = "CORS")]
    Cors,
    ExternalAuth,
    ExtensionRef,
}

/// Headers are changed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HeaderModifier {
    /// Put in the place of any there are.
    pub set: Vec<HttpHeader>,
    /// Put after those there are.
    pub add: Vec<HttpHeader>,
    /// Taken out.
    pub remove: Vec<String>,
}

/// A header.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpHeader {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A copy goes somewhere; nobody waits for its response.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestMirror {
    /// Where.
    pub backend_ref: BackendRef,
    /// Of how many per cent of requests; neither this nor `fraction`: of all.
    pub percent: Option<u32>,
    /// Of which share of requests.
    pub fraction: Option<Fraction>,
}

/// A share.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Fraction {
    /// So many
    pub numerator: u32,
    /// of so many.
    pub denominator: u32,
}

impl Default for Fraction {
    fn default() -> Self {
        Self { numerator: 0, denominator: 100 }
    }
}

/// The client is sent elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestRedirect {
    /// The scheme it is to use.
    pub scheme: Option<String>,
    /// The host it is to ask.
    pub hostname: Option<String>,
    /// The path it is to ask for.
    pub path: Option<PathModifier>,
    /// The port it is to ask; none: that of a scheme that is given, else the request's.
    pub port: Option<u16>,
    /// The status, 302 unless it is given.
    pub status_code: Option<u16>,
}

/// The request's target is changed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UrlRewrite {
    /// The host.
    pub hostname: Option<String>,
    /// The path.
    pub path: Option<PathModifier>,
}

/// A path is changed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PathModifier {
    /// How.
    #[serde(rename = "type")]
    pub kind: PathModifierType,
    /// What it becomes.
    pub replace_full_path: Option<String>,
    /// What the part of it that a prefix match found becomes.
    pub replace_prefix_match: Option<String>,
}

/// How a path is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum PathModifierType {
    /// All of it.
    #[default]
    ReplaceFullPath,
    /// The part of it that a prefix match found.
    ReplacePrefixMatch,
}

/// Browsers are told about other origins.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cors {
    /// The origins that may ask, with or without `*` in them.
    pub allow_origins: Vec<String>,
    /// Whether credentials may be sent.
    pub allow_credentials: Option<bool>,
    /// The methods they may use.
    pub allow_methods: Vec<String>,
    /// The headers they may send.
    pub allow_headers: Vec<String>,
    /// The headers they may read.
    pub expose_headers: Vec<String>,
    /// How many seconds a browser may remember this; 5 unless it is given.
    pub max_age: Option<u32>,
}

/// Somebody else decides whether the request is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExternalAuth {
    /// How it is asked.
    pub protocol: ExternalAuthProtocol,
    /// Who.
    pub backend_ref: BackendRef,
    /// By gRPC.
    pub grpc: Option<GrpcAuth>,
    /// By HTTP.
    pub http: Option<HttpAuth>,
    /// Whether it sees the body.
    pub forward_body: Option<BodyForwarding>,
}

/// How an authorizer is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum ExternalAuthProtocol {
    /// By HTTP.
    #[default]
    #[serde(rename = "HTTP")]
    Http,
    /// By gRPC, as Envoy's is.
    #[serde(rename = "GRPC")]
    Grpc,
}

/// An authorizer that is asked by gRPC.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcAuth {
    /// The headers it sees; none: all.
    pub allowed_headers: Vec<String>,
}

/// An authorizer that is asked by HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpAuth {
    /// What stands before the path.
    pub path: Option<String>,
    /// The headers it sees, besides those it always sees.
    pub allowed_headers: Vec<String>,
    /// The headers of its response that go on; none: all.
    pub allowed_response_headers: Vec<String>,
}

/// An authorizer sees the body.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BodyForwarding {
    /// How many bytes of it; zero: none.
    pub max_size: u32,
}
