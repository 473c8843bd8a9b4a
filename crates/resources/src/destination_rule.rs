//! DestinationRule, every field of it.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{Duration, Metadata, Percentage, WorkloadSelector};

mod connection_pool;
mod load_balancer;
mod outlier_detection;
mod tls;

pub use connection_pool::{ConnectionPool, H2UpgradePolicy, Http2KeepAlive, HttpSettings, TcpKeepalive, TcpSettings};
pub use load_balancer::{
    ConsistentHash, CookieAttribute, Distribute, Failover, HttpCookie, LoadBalancer, LocalityLbSetting, Maglev,
    RingHash, SimpleLb, Warmup, ZoneAwareLbSetting,
};
pub use outlier_detection::OutlierDetection;
pub use tls::{ClientTls, TlsMode};

/// How connections to a host are made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct DestinationRule {
    /// Metadata.
    pub metadata: Metadata,
    /// What it says.
    pub spec: DestinationRuleSpec,
}

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct DestinationRuleSpec {
    /// The host it is about; a short name is one of the rule's own namespace.
    pub host: String,
    /// How connections to it are made.
    pub traffic_policy: Option<TrafficPolicy>,
    /// Parts of it that routes can name.
    pub subsets: Vec<Subset>,
    /// The namespaces that see it; none means all.
    pub export_to: Vec<String>,
    /// The clients it is for; none means all of its namespaces.
    pub workload_selector: Option<WorkloadSelector>,
}

/// Some of a host's endpoints, by a name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Subset {
    /// Its name.
    pub name: String,
    /// Labels an endpoint must have, all of them.
    pub labels: BTreeMap<String, String>,
    /// What is said in the place of the host's.
    pub traffic_policy: Option<TrafficPolicy>,
}

/// How connections are made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct TrafficPolicy {
    /// Which endpoint is chosen.
    pub load_balancer: Option<LoadBalancer>,
    /// How many connections and requests there may be.
    pub connection_pool: Option<ConnectionPool>,
    /// When an endpoint is left alone for a time.
    pub outlier_detection: Option<OutlierDetection>,
    /// Whether and how they are TLS.
    pub tls: Option<ClientTls>,
    /// What is said of some ports in the place of all of the above.
    pub port_level_settings: Vec<PortTrafficPolicy>,
    /// Whether they go through a proxy of somebody else.
    pub tunnel: Option<Tunnel>,
    /// Whether the endpoint is told who the client is.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// How many retries there may be at a time.
    pub retry_budget: Option<RetryBudget>,
}

/// How connections to one port are made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct PortTrafficPolicy {
    /// Which.
    pub port: Option<crate::virtual_service::PortSelector>,
    /// Which endpoint is chosen.
    pub load_balancer: Option<LoadBalancer>,
    /// How many connections and requests there may be.
    pub connection_pool: Option<ConnectionPool>,
    /// When an endpoint is left alone for a time.
    pub outlier_detection: Option<OutlierDetection>,
    /// Whether and how they are TLS.
    pub tls: Option<ClientTls>,
}

/// A proxy of somebody else on the way.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Tunnel {
    /// `CONNECT` (which empty means) or `POST`.
    pub protocol: String,
    /// The host it is asked for.
    pub target_host: String,
    /// The port it is asked for.
    pub target_port: u16,
}

/// The endpoint is told who the client is, before the first byte.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct ProxyProtocol {
    /// In which form.
    pub version: ProxyProtocolVersion,
}

/// A version of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ProxyProtocolVersion {
    /// Text.
    #[default]
    V1,
    /// Binary.
    V2,
}

/// How many retries there may be at a time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct RetryBudget {
    /// The share of requests that may be retries; 20 unless it is given.
    pub percent: Option<Percentage>,
    /// How many there may be in any case; 3 unless it is given.
    pub min_retry_concurrency: Option<u32>,
    /// How far back requests count.
    pub budget_interval: Option<Duration>,
}
