//! How many connections and requests there may be.

use serde::Deserialize;

use crate::Duration;

/// How many connections and requests there may be. Overflow is refused at once.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct ConnectionPool {
    /// Of connections of any kind.
    pub tcp: Option<TcpSettings>,
    /// Of HTTP.
    pub http: Option<HttpSettings>,
}

/// Connections of any kind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct TcpSettings {
    /// How many there may be to the host.
    pub max_connections: Option<u32>,
    /// How long making one may take.
    pub connect_timeout: Option<Duration>,
    /// How the kernel finds that nobody is there any more.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// How old one may get.
    pub max_connection_duration: Option<Duration>,
    /// How long one may be silent.
    pub idle_timeout: Option<Duration>,
}

/// How the kernel finds that nobody is there any more.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct TcpKeepalive {
    /// How many probes may stay without an answer.
    pub probes: Option<u32>,
    /// How long a connection is silent before the first.
    pub time: Option<Duration>,
    /// How long between probes.
    pub interval: Option<Duration>,
}

/// HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct HttpSettings {
    /// How many requests may wait for a connection.
    pub http1_max_pending_requests: Option<u32>,
    /// How many may be under way.
    pub http2_max_requests: Option<u32>,
    /// How many a connection carries before it is given up; zero: any number.
    pub max_requests_per_connection: Option<u32>,
    /// How many retries may be under way.
    pub max_retries: Option<u32>,
    /// How long a connection may be without a request.
    pub idle_timeout: Option<Duration>,
    /// Whether HTTP/1.1 becomes HTTP/2 on the way.
    pub h2_upgrade_policy: H2UpgradePolicy,
    /// Whether the endpoint is spoken to as the client speaks.
    pub use_client_protocol: bool,
    /// How many requests may be under way on one HTTP/2 connection.
    pub max_concurrent_streams: Option<u32>,
    /// How a peer that is not there any more is found.
    pub http2_keep_alive: Option<Http2KeepAlive>,
}

/// Whether HTTP/1.1 becomes HTTP/2 on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum H2UpgradePolicy {
    /// As the mesh has it: it does not.
    #[default]
    Default,
    /// It does not.
    DoNotUpgrade,
    /// It does.
    Upgrade,
}

/// Pings on HTTP/2 connections.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Http2KeepAlive {
    /// How long between them.
    pub interval: Option<Duration>,
    /// How long an answer may take.
    pub timeout: Option<Duration>,
}
