//! A rule for HTTP, and where it sends a request.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{CorsPolicy, Fault, HttpMatch, Redirect, Rewrite};
use crate::{Duration, Percent};

// There may be thousands, and most of what one may have it has not: so that is in boxes.
/// A rule for HTTP requests: one of `route`, `redirect`, `directResponse` and `delegate`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct HttpRoute {
    /// Its name, in logs.
    pub name: String,
    /// Requests it is about, ORed; none: all.
    #[serde(rename = "match")]
    pub matches: Vec<HttpMatch>,
    /// Where they go, by weight.
    pub route: Vec<HttpDestination>,
    /// Send the client elsewhere.
    pub redirect: Option<Box<Redirect>>,
    /// Answer at once.
    pub direct_response: Option<Box<DirectResponse>>,
    /// Go on with the rules of another VirtualService.
    pub delegate: Option<Delegate>,
    /// What is changed in the request's target.
    pub rewrite: Option<Box<Rewrite>>,
    /// How long a request may take, all tries together; none and zero: as long as it likes.
    pub timeout: Option<Duration>,
    /// When it is tried again.
    pub retries: Option<Box<Retries>>,
    /// Faults that are injected.
    pub fault: Option<Box<Fault>>,
    /// Where a copy goes.
    pub mirror: Option<Destination>,
    /// Where copies go.
    pub mirrors: Vec<Mirror>,
    /// The old spelling of `mirrorPercentage`, in whole per cent.
    #[serde(alias = "mirror_percent")]
    pub mirror_percent: Option<u32>,
    /// The share of requests of which `mirror` gets a copy; none: all.
    pub mirror_percentage: Option<Percent>,
    /// What browsers are told about other origins.
    pub cors_policy: Option<Box<CorsPolicy>>,
    /// What is changed in headers.
    pub headers: Option<Box<Headers>>,
}

/// A destination of requests, and its share of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct HttpDestination {
    /// Where.
    pub destination: Destination,
    /// Its share, of the sum of all; the only destination needs none.
    pub weight: u32,
    /// What is changed in headers, after those of the rule.
    pub headers: Option<Box<Headers>>,
}

/// A service, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Destination {
    /// The service's host; a short name is one of the rule's own namespace.
    pub host: String,
    /// A subset of it, by the DestinationRule of the host.
    pub subset: String,
    /// Its port; needed only where it has several.
    pub port: Option<PortSelector>,
}

/// A port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct PortSelector {
    /// Its number.
    pub number: u16,
}

/// What is changed in headers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Headers {
    /// Of the request.
    pub request: Option<HeaderOperations>,
    /// Of the response.
    pub response: Option<HeaderOperations>,
}

/// What is changed in headers of one direction.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct HeaderOperations {
    /// Put in the place of any there are.
    pub set: BTreeMap<String, String>,
    /// Put after those there are.
    pub add: BTreeMap<String, String>,
    /// Taken out.
    pub remove: Vec<String>,
}

/// Another VirtualService, which has no hosts of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Delegate {
    /// Its name.
    pub name: String,
    /// Its namespace; empty: the rule's own.
    pub namespace: String,
}

/// A response that no service makes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct DirectResponse {
    /// Its status.
    pub status: u32,
    /// Its body.
    pub body: Option<HttpBody>,
}

/// A body: one of the two.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct HttpBody {
    /// As text.
    pub string: Option<String>,
    /// In base64.
    pub bytes: Option<String>,
}

/// Where a copy of a request goes; nobody waits for its response.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Mirror {
    /// Where.
    pub destination: Destination,
    /// The share of requests; none: all.
    pub percentage: Option<Percent>,
}

/// When a request is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Retries {
    /// How many more tries there are at most; zero: none.
    pub attempts: u32,
    /// How long each may take; none: as long as all together.
    pub per_try_timeout: Option<Duration>,
    /// What is worth another try, words of Envoy's separated by commas, or statuses.
    pub retry_on: String,
    /// Whether endpoints of other localities are tried.
    pub retry_remote_localities: Option<bool>,
    /// Whether endpoints that failed before are avoided; they are unless this is false.
    pub retry_ignore_previous_hosts: Option<bool>,
    /// The least time between tries, which grows with each.
    pub backoff: Option<Duration>,
}
