//! Who is asked and told.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{GrpcAuthorizer, HttpAuthorizer};
use crate::Duration;

/// Somebody by a name: one of these.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Provider {
    /// The name.
    pub name: String,
    /// Asked whether a request is allowed, by HTTP.
    pub envoy_ext_authz_http: Option<HttpAuthorizer>,
    /// Asked whether a request is allowed, by gRPC.
    pub envoy_ext_authz_grpc: Option<GrpcAuthorizer>,
    /// Told of spans, in Zipkin's way.
    pub zipkin: Option<Zipkin>,
    /// Told of spans, by OTLP.
    pub opentelemetry: Option<OpenTelemetry>,
    /// Told of requests: a file.
    pub envoy_file_access_log: Option<FileAccessLog>,
    /// Told of requests, by OTLP.
    pub envoy_otel_als: Option<OtelAccessLog>,
    /// Asks for metrics.
    pub prometheus: Option<Prometheus>,
}

/// Told of spans, in Zipkin's way.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Zipkin {
    /// Its host.
    pub service: String,
    /// Its port.
    pub port: u16,
    /// The longest a tag may be.
    pub max_tag_length: Option<u32>,
    /// Whether trace ids have 64 bits in the place of 128.
    #[serde(rename = "enable64bitTraceId")]
    pub enable_64bit_trace_id: bool,
    /// The path; `/api/v2/spans` unless it is given.
    pub path: String,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// Headers it sees.
    pub headers: Vec<ExporterHeader>,
    /// Which contexts are read and written.
    pub trace_context_option: ZipkinContext,
}

/// Which contexts are read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ZipkinContext {
    /// B3.
    #[default]
    #[serde(rename = "USE_B3")]
    UseB3,
    /// B3, and W3C's as well.
    #[serde(rename = "USE_B3_WITH_W3C_PROPAGATION")]
    UseB3WithW3cPropagation,
}

/// Told of spans, by OTLP: over gRPC unless `http` is given.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct OpenTelemetry {
    /// Its host.
    pub service: String,
    /// Its port.
    pub port: u16,
    /// The longest a tag may be.
    pub max_tag_length: Option<u32>,
    /// Over HTTP.
    pub http: Option<ExporterHttp>,
    /// Over gRPC.
    pub grpc: Option<ExporterGrpc>,
}

/// OTLP over HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct ExporterHttp {
    /// The path.
    pub path: String,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// Headers it sees.
    pub headers: Vec<ExporterHeader>,
}

/// OTLP over gRPC.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct ExporterGrpc {
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// Headers it sees.
    pub initial_metadata: Vec<ExporterHeader>,
}

/// A header that an exporter sends: `value` or `envName`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct ExporterHeader {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Option<String>,
    /// The variable of the waypoint's environment that has its value.
    pub env_name: Option<String>,
}

/// A file that has a line a request.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct FileAccessLog {
    /// Where; `/dev/stdout` for the waypoint's own output.
    pub path: String,
    /// How a line looks.
    pub log_format: Option<LogFormat>,
    /// Whether what has no value is left out, in the place of `-`.
    pub omit_empty_values: bool,
}

/// How a record of a request looks: `text` or `labels`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct LogFormat {
    /// A line.
    pub text: Option<String>,
    /// The fields of an object, and what they say.
    pub labels: BTreeMap<String, String>,
}

/// Told of requests, by OTLP.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct OtelAccessLog {
    /// Its host.
    pub service: String,
    /// Its port.
    pub port: u16,
    /// What the log is called.
    pub log_name: String,
    /// How a record looks.
    pub log_format: Option<LogFormat>,
}

/// Asks for metrics; there is nothing to say of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Prometheus {}
