//! What is done to a request besides sending it on.

use serde::Deserialize;

use crate::{Duration, Percent, StringMatch};

/// Where the client is sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Redirect {
    /// The path it is to ask for, all of it.
    pub uri: Option<String>,
    /// What the part of the path that a prefix match found becomes.
    pub prefix_rewrite: Option<String>,
    /// The authority it is to ask.
    pub authority: Option<String>,
    /// The port it is to ask.
    pub port: Option<u16>,
    /// Or what that port follows from.
    pub derive_port: Option<RedirectPort>,
    /// The scheme it is to use.
    pub scheme: Option<String>,
    /// The status, 301 unless it is given.
    pub redirect_code: Option<u32>,
}

/// What the port of a redirect follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RedirectPort {
    /// The scheme: 80 or 443.
    #[default]
    FromProtocolDefault,
    /// The request.
    FromRequestPort,
}

/// What is changed in a request's target.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Rewrite {
    /// The path, or what the part of it that a prefix match found becomes.
    pub uri: Option<String>,
    /// The authority.
    pub authority: Option<String>,
    /// The path, by an expression; not together with `uri`.
    pub uri_regex_rewrite: Option<RegexRewrite>,
}

/// What an expression finds is replaced.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct RegexRewrite {
    /// The expression.
    #[serde(rename = "match")]
    pub pattern: String,
    /// What stands in its place, with `\1` for what its first group found.
    pub rewrite: String,
}

/// Faults that are injected: to see what clients make of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Fault {
    /// Requests are held up.
    pub delay: Option<Delay>,
    /// Requests are answered with an error.
    pub abort: Option<Abort>,
}

/// Some requests are held up.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Delay {
    /// The old spelling of `percentage`, in whole per cent.
    pub percent: Option<u32>,
    /// For how long.
    pub fixed_delay: Option<Duration>,
    /// Of no effect with any mesh; in the API all the same.
    pub exponential_delay: Option<Duration>,
    /// How many of them; none: all.
    pub percentage: Option<Percent>,
}

/// Some requests are answered with an error.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Abort {
    /// A status of HTTP.
    pub http_status: Option<u32>,
    /// Or one of gRPC, by its name or its number.
    pub grpc_status: Option<String>,
    /// Of no effect with any mesh; in the API all the same.
    pub http2_error: Option<String>,
    /// How many of them; none: all.
    pub percentage: Option<Percent>,
}

/// What browsers are told about other origins.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct CorsPolicy {
    /// The old spelling of `allowOrigins`, exact, or `*`.
    pub allow_origin: Vec<String>,
    /// The origins that may ask.
    pub allow_origins: Vec<StringMatch>,
    /// The methods they may use.
    pub allow_methods: Vec<String>,
    /// The headers they may send.
    pub allow_headers: Vec<String>,
    /// The headers they may read.
    pub expose_headers: Vec<String>,
    /// How long a browser may remember this.
    pub max_age: Option<Duration>,
    /// Whether credentials may be sent.
    pub allow_credentials: Option<bool>,
    /// What becomes of a preflight of an origin that is not allowed.
    pub unmatched_preflights: UnmatchedPreflights,
}

/// What becomes of a preflight of an origin that is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum UnmatchedPreflights {
    /// As `FORWARD`.
    #[default]
    Unspecified,
    /// It goes on to the service.
    Forward,
    /// It is answered, without leave.
    Ignore,
}
