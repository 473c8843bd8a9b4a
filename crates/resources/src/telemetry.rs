//! Telemetry: what is reported of requests, and to whom.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{Metadata, Percentage, TargetRef, WorkloadSelector};

/// What is reported.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Telemetry {
    /// Metadata.
    pub metadata: Metadata,
    /// What it says.
    pub spec: TelemetrySpec,
}

/// What it says. What is left open is as the wider object has it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct TelemetrySpec {
    /// The workloads it applies to; absent: all of its namespace.
    pub selector: Option<WorkloadSelector>,
    /// The old spelling of one of `targetRefs`.
    pub target_ref: Option<TargetRef>,
    /// The objects it is attached to.
    pub target_refs: Vec<TargetRef>,
    /// Traces.
    pub tracing: Vec<Tracing>,
    /// Metrics.
    pub metrics: Vec<Metrics>,
    /// Access logs.
    pub access_logging: Vec<AccessLogging>,
}

/// One of those the mesh configuration names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct ProviderRef {
    /// Its name.
    pub name: String,
}

/// Traces.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Tracing {
    /// The side it is for; a waypoint is a server.
    #[serde(rename = "match")]
    pub selector: Option<TracingSelector>,
    /// Whom they go to; none: as the mesh configuration has it.
    pub providers: Vec<ProviderRef>,
    /// The share of requests traced, where the client has not decided.
    pub random_sampling_percentage: Option<Percentage>,
    /// Whether none are sent; the context goes on all the same.
    pub disable_span_reporting: Option<bool>,
    /// What else a span says, by name.
    pub custom_tags: BTreeMap<String, CustomTag>,
    /// Whether a span has the field's own tags.
    pub enable_istio_tags: Option<bool>,
    /// Whether the request id says if a request is traced.
    pub use_request_id_for_trace_sampling: Option<bool>,
    /// Whether the context does not go on to the service.
    pub disable_context_propagation: Option<bool>,
}

/// A side of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct TracingSelector {
    /// Which.
    pub mode: WorkloadMode,
}

/// A side of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum WorkloadMode {
    /// Both.
    #[default]
    ClientAndServer,
    /// The client's.
    Client,
    /// The server's.
    Server,
}

/// What a tag of a span says: one of these.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct CustomTag {
    /// Always the same.
    pub literal: Option<LiteralTag>,
    /// A variable of the waypoint's environment.
    pub environment: Option<NamedTag>,
    /// A header of the request.
    pub header: Option<NamedTag>,
    /// As an access log would have it.
    pub formatter: Option<LiteralTag>,
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct LiteralTag {
    /// The value.
    pub value: String,
}

/// Where a value is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct NamedTag {
    /// The name.
    pub name: String,
    /// The value where there is nothing of that name.
    pub default_value: String,
}

/// Metrics.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Metrics {
    /// Whom they go to; none: as the mesh configuration has it.
    pub providers: Vec<ProviderRef>,
    /// What is changed in them, one after the other.
    pub overrides: Vec<MetricsOverride>,
    /// How often they are reported, where they are sent.
    pub reporting_interval: Option<crate::Duration>,
}

/// A change in some metrics.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct MetricsOverride {
    /// Which; none: all.
    #[serde(rename = "match")]
    pub selector: Option<MetricSelector>,
    /// Whether they are not reported.
    pub disabled: Option<bool>,
    /// What becomes of their labels, by name.
    pub tag_overrides: BTreeMap<String, TagOverride>,
}

/// Some metrics.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct MetricSelector {
    /// One of the field's, or all.
    pub metric: Option<Metric>,
    /// Or one of some other name.
    pub custom_metric: Option<String>,
    /// The side that reports them.
    pub mode: WorkloadMode,
}

/// A metric of the field's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the words of the API, one by one")]
pub enum Metric {
    #[default]
    AllMetrics,
    RequestCount,
    RequestDuration,
    RequestSize,
    ResponseSize,
    TcpOpenedConnections,
    TcpClosedConnections,
    TcpSentBytes,
    TcpReceivedBytes,
    GrpcRequestMessages,
    GrpcResponseMessages,
}

/// What becomes of a label.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct TagOverride {
    /// Whether it is there.
    pub operation: TagOperation,
    /// Its value, an expression.
    pub value: String,
}

/// Whether a label is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TagOperation {
    /// It is.
    #[default]
    Upsert,
    /// It is not.
    Remove,
}

/// Access logs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct AccessLogging {
    /// The side it is for; a waypoint is a server.
    #[serde(rename = "match")]
    pub selector: Option<TracingSelector>,
    /// Whom they go to; none: as the mesh configuration has it.
    pub providers: Vec<ProviderRef>,
    /// Whether there are none.
    pub disabled: Option<bool>,
    /// Which requests are logged.
    pub filter: Option<LogFilter>,
}

/// Some requests.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct LogFilter {
    /// An expression that is true of them.
    pub expression: String,
}
