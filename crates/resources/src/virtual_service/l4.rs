//! Rules for what is not HTTP.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Destination;

/// A rule for TLS that is passed on as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct TlsRoute {
    /// Connections it is about, ORed; each has `sniHosts`.
    #[serde(rename = "match")]
    pub matches: Vec<TlsMatch>,
    /// Where they go, by weight.
    pub route: Vec<RouteDestination>,
}

/// What must hold of a TLS connection, all of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct TlsMatch {
    /// The names it may ask for, with or without `*.` before them.
    pub sni_hosts: Vec<String>,
    /// Networks the address it is to is in one of.
    pub destination_subnets: Vec<String>,
    /// The port it is to.
    pub port: Option<u16>,
    /// Labels of the client's workload, all of them.
    pub source_labels: BTreeMap<String, String>,
    /// The gateways it is for, in the place of those of the whole object.
    pub gateways: Vec<String>,
    /// The client's namespace.
    pub source_namespace: String,
}

/// A rule for connections of which nothing more is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct TcpRoute {
    /// Connections it is about, ORed; none: all.
    #[serde(rename = "match")]
    pub matches: Vec<L4Match>,
    /// Where they go, by weight.
    pub route: Vec<RouteDestination>,
}

/// What must hold of a connection, all of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct L4Match {
    /// Networks the address it is to is in one of.
    pub destination_subnets: Vec<String>,
    /// The port it is to.
    pub port: Option<u16>,
    /// The network its client is in.
    pub source_subnet: String,
    /// Labels of the client's workload, all of them.
    pub source_labels: BTreeMap<String, String>,
    /// The gateways it is for, in the place of those of the whole object.
    pub gateways: Vec<String>,
    /// The client's namespace.
    pub source_namespace: String,
}

/// A destination of connections, and its share of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct RouteDestination {
    /// Where.
    pub destination: Destination,
    /// Its share, of the sum of all; the only destination needs none.
    pub weight: u32,
}
