//! RateLimitPolicy: how many requests there may be. An object of this mesh's own.
//!
//! ```yaml
//! apiVersion: ambit.io/v1alpha1
//! kind: RateLimitPolicy
//! metadata: {name: checkout, namespace: shop}
//! spec:
//!   targetRefs: [{kind: Service, name: checkout}]
//!   rules:
//!   - name: each-client
//!     match: {methods: [POST], paths: [{prefix: /pay}]}
//!     key: [{clientIdentity: true}]
//!     local: {requests: 100, per: 1s, burst: 200}
//! ```

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{Duration, Metadata, StringMatch};

mod key;

pub use key::LimitKey;

/// How many requests there may be.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct RateLimitPolicy {
    /// Metadata.
    pub metadata: Metadata,
    /// What it says.
    pub spec: RateLimitPolicySpec,
}

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct RateLimitPolicySpec {
    /// What it is attached to, in its own namespace: a Gateway of class `istio-waypoint`, a Service, a ServiceEntry,
    /// an HTTPRoute, a GRPCRoute or a VirtualService.
    pub target_refs: Vec<LimitTarget>,
    /// The limits. A request is counted by every rule it matches, and refused (429) if it is over any.
    pub rules: Vec<LimitRule>,
    /// The service that counts for all waypoints together, for rules with `global`.
    pub global: Option<LimitService>,
    /// Whether clients of gRPC that are over a limit are told RESOURCE_EXHAUSTED, in the place of UNAVAILABLE.
    pub rate_limited_as_resource_exhausted: bool,
}

/// What a policy is attached to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct LimitTarget {
    /// API group; empty for Kubernetes' core.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// One rule of a route, or one port of a service, by its name; none: all.
    pub section_name: Option<String>,
}

/// A limit, counted here (`local`) or for all waypoints together (`global`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct LimitRule {
    /// Its name, in metrics and the response's headers.
    pub name: String,
    /// Requests it is about; none: all.
    #[serde(rename = "match")]
    pub matches: Option<LimitMatch>,
    /// What requests have in common that count together; none: all count together. A request that lacks one of
    /// them counts with all others that do.
    pub key: Vec<LimitKey>,
    /// A bucket in each waypoint pod.
    pub local: Option<LocalLimit>,
    /// A question to the service in `spec.global`.
    pub global: Option<GlobalLimit>,
    /// Whether what is over the limit is only counted.
    pub dry_run: bool,
    /// Whether responses tell the limit (`RateLimit` and `RateLimit-Policy`); they do unless this is false or `dryRun` is true.
    pub response_headers: Option<bool>,
}

/// What must hold of a request: fields ANDed, the values of a list ORed, headers ANDed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct LimitMatch {
    /// Its method.
    pub methods: Vec<String>,
    /// Its path, without the query.
    pub paths: Vec<StringMatch>,
    /// Its headers, by name; `{}` asks only that it is there.
    pub headers: BTreeMap<String, StringMatch>,
    /// The client's principal, with or without `*` before or after it, as in an AuthorizationPolicy.
    pub principals: Vec<String>,
    /// The client's namespace, likewise.
    pub namespaces: Vec<String>,
}

/// A bucket in each waypoint pod: it fills evenly.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct LocalLimit {
    /// So many requests
    pub requests: u32,
    /// in this time.
    pub per: Duration,
    /// How many it holds, and so may come at once; `requests` unless it is given.
    pub burst: Option<u32>,
}

/// What the service that counts is told.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct GlobalLimit {
    /// The domain, in the place of the service's.
    pub domain: Option<String>,
    /// Entries of the descriptor, before those that `key` makes.
    pub descriptors: Vec<LimitDescriptor>,
}

/// An entry of a descriptor.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct LimitDescriptor {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// A service that counts, as Envoy's global rate limiting has it (`envoy.service.ratelimit.v3`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct LimitService {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How long it may take to answer; 20ms unless it is given.
    pub timeout: Option<Duration>,
    /// What becomes of requests that it does not answer.
    pub failure_mode: LimitFailureMode,
    /// The domain.
    pub domain: String,
}

/// What becomes of requests nobody could count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum LimitFailureMode {
    /// They are refused.
    #[default]
    Deny,
    /// They go on.
    Allow,
}
