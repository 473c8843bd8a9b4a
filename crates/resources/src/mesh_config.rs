//! MeshConfig: what holds for all waypoints. An object of this mesh's own, with the field's names; one of the name
//! `default`, in the root namespace.
//!
//! ```yaml
//! apiVersion: ambit.io/v1alpha1
//! kind: MeshConfig
//! metadata: {name: default, namespace: istio-system}
//! spec:
//!   extensionProviders:
//!   - name: traces
//!     opentelemetry: {service: collector.observability.svc.cluster.local, port: 4317}
//!   defaultProviders: {tracing: [traces]}
//! ```

use serde::Deserialize;

use crate::destination_rule::LocalityLbSetting;
use crate::virtual_service::Retries;
use crate::{Duration, Metadata};

mod authorizer;
mod provider;
mod proxy_config;

pub use authorizer::{CheckedBody, GrpcAuthorizer, HttpAuthorizer};
pub use provider::{
    ExporterGrpc, ExporterHeader, ExporterHttp, FileAccessLog, LogFormat, OpenTelemetry, OtelAccessLog, Prometheus,
    Provider, Zipkin, ZipkinContext,
};
pub use proxy_config::{ForwardClientCertDetails, GatewayTopology, ProxyConfig};

/// What holds for all waypoints.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct MeshConfig {
    /// Metadata.
    pub metadata: Metadata,
    /// What it says.
    pub spec: MeshConfigSpec,
}

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct MeshConfigSpec {
    /// Who is asked and told, by a name that policies and Telemetry objects use.
    pub extension_providers: Vec<Provider>,
    /// Who is told, where no Telemetry object says so.
    pub default_providers: Option<DefaultProviders>,
    /// When requests are tried again, where no route says so.
    pub default_http_retry_policy: Option<Retries>,
    /// How long making a connection may take, where no DestinationRule says so.
    pub connect_timeout: Option<Duration>,
    /// The file access logs go to, `/dev/stdout` for the waypoint's own output; empty: none.
    pub access_log_file: String,
    /// How a line of it looks; empty: as the field's do.
    pub access_log_format: String,
    /// Whether a line of it is text.
    pub access_log_encoding: AccessLogEncoding,
    /// What becomes of paths before anybody looks at them.
    pub path_normalization: Option<PathNormalization>,
    /// Which endpoints are preferred, where no DestinationRule says so.
    pub locality_lb_setting: Option<LocalityLbSetting>,
    /// The namespaces that see a Service or ServiceEntry which does not say so; none: all.
    pub default_service_export_to: Vec<String>,
    /// The same of VirtualServices.
    pub default_virtual_service_export_to: Vec<String>,
    /// The same of DestinationRules.
    pub default_destination_rule_export_to: Vec<String>,
    /// What is configured of waypoints, where their Gateway's annotation does not say so.
    pub default_config: Option<ProxyConfig>,
}

/// Who is told, by the names of providers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct DefaultProviders {
    /// Of spans.
    pub tracing: Vec<String>,
    /// Of metrics.
    pub metrics: Vec<String>,
    /// Of requests.
    pub access_logging: Vec<String>,
}

/// What a line of an access log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AccessLogEncoding {
    /// Text.
    #[default]
    Text,
    /// An object.
    Json,
}

/// What becomes of paths.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct PathNormalization {
    /// How much.
    pub normalization: Normalization,
}

/// How much becomes of paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Normalization {
    /// As `BASE`.
    #[default]
    Default,
    /// Nothing.
    None,
    /// RFC 3986: `.` and `..` are followed, `\` is `/`, what need not be encoded is not.
    Base,
    /// And slashes after slashes are taken out.
    MergeSlashes,
    /// And before that, slashes that are encoded are decoded.
    DecodeAndMergeSlashes,
}
