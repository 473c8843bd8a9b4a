//! Which endpoint is chosen.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{Duration, Finite, Percentage};

/// Which endpoint is chosen: `simple` or `consistentHash`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct LoadBalancer {
    /// Without regard to the request.
    pub simple: Option<SimpleLb>,
    /// The same for all requests that are alike.
    pub consistent_hash: Option<ConsistentHash>,
    /// By where endpoints are.
    pub locality_lb_setting: Option<LocalityLbSetting>,
    /// By where endpoints are, in the place of `localityLbSetting`.
    pub zone_aware_lb_setting: Option<ZoneAwareLbSetting>,
    /// The old spelling of `warmup`, its duration alone.
    pub warmup_duration_secs: Option<Duration>,
    /// New endpoints get their share little by little.
    pub warmup: Option<Warmup>,
}

/// A choice without regard to the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SimpleLb {
    /// As `LEAST_REQUEST`.
    #[default]
    Unspecified,
    /// The old spelling of `LEAST_REQUEST`.
    LeastConn,
    /// Any.
    Random,
    /// The one the client asked for by its address.
    Passthrough,
    /// Each in turn.
    RoundRobin,
    /// Of two, the one with fewer requests under way.
    LeastRequest,
}

/// The same endpoint for requests that are alike in one of these.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct ConsistentHash {
    /// A header.
    pub http_header_name: Option<String>,
    /// A cookie.
    pub http_cookie: Option<HttpCookie>,
    /// The client's address.
    pub use_source_ip: Option<bool>,
    /// A parameter of the query.
    pub http_query_parameter_name: Option<String>,
    /// By a ring.
    pub ring_hash: Option<RingHash>,
    /// By a table.
    pub maglev: Option<Maglev>,
    /// The old spelling of `ringHash.minimumRingSize`.
    pub minimum_ring_size: Option<u64>,
}

/// A cookie; made where a request has none and there is a time to live.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct HttpCookie {
    /// Its name.
    pub name: String,
    /// The path it is set for.
    pub path: String,
    /// How long it lives; zero: as long as the browser's session.
    pub ttl: Option<Duration>,
    /// What else is said when it is set.
    pub attributes: Vec<CookieAttribute>,
}

/// An attribute of a cookie.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct CookieAttribute {
    /// Its name.
    pub name: String,
    /// Its value; empty: it has none.
    pub value: String,
}

/// Endpoints on a ring.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct RingHash {
    /// The least number of places on it; 1024 unless it is given.
    pub minimum_ring_size: Option<u64>,
}

/// Endpoints in a table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Maglev {
    /// Its size, a prime; 65537 unless it is given.
    pub table_size: Option<u64>,
}

/// By where endpoints are: one of `distribute`, `failover`, `failoverPriority`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct LocalityLbSetting {
    /// Shares by locality.
    pub distribute: Vec<Distribute>,
    /// Where traffic of a region goes when it has no endpoint left.
    pub failover: Vec<Failover>,
    /// Labels that make an endpoint the nearer the more of them it shares, in this order.
    pub failover_priority: Vec<String>,
    /// Whether any of this is in force.
    pub enabled: Option<bool>,
}

/// Where traffic of a locality goes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Distribute {
    /// The client's, `region/zone/subzone`, with or without `*` at the end.
    pub from: String,
    /// Per cent by locality; they make a hundred.
    pub to: BTreeMap<String, u32>,
}

/// Where traffic of a region goes when it has no endpoint left.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Failover {
    /// The region.
    pub from: String,
    /// The other one.
    pub to: String,
}

/// Endpoints of the client's zone, others only as far as those do not do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct ZoneAwareLbSetting {
    /// Whether it is in force.
    pub enabled: Option<bool>,
    /// Where traffic of a region goes when it has no endpoint left.
    pub failover: Vec<Failover>,
    /// Labels that make an endpoint the nearer the more of them it shares, in this order.
    pub failover_priority: Vec<String>,
    /// The least number of endpoints for which it is in force.
    pub min_cluster_size: Option<u64>,
}

/// New endpoints get their share little by little.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Warmup {
    /// How long it takes to the whole of it.
    pub duration: Option<Duration>,
    /// What they begin with; 10 unless it is given.
    pub minimum_percent: Option<Percentage>,
    /// How much faster than evenly it grows at first; 1 is evenly, and what is not given.
    pub aggression: Option<Finite>,
}
