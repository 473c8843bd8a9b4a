//! Who is told: the mesh configuration's providers of logs, spans and metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ambit_l7::telemetry::{Collector, CollectorHeader, CollectorProtocol, Contexts, LogFormat, LogSink};
use ambit_resources::MeshConfigSpec;
use ambit_resources::mesh_config::{ExporterHeader, OpenTelemetry, OtelAccessLog, Provider, Zipkin, ZipkinContext};
use http::HeaderValue;

use super::format::{log_format, mesh_format};
use crate::l7::L7Problem;
use crate::l7::at::At;
use crate::l7::cx::Cx;
use crate::l7::hosts::full_names;
use crate::l7::text::header_name;

/// Who is told, by name, and who where nobody says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reporting {
    /// Of logs.
    pub(super) sinks: BTreeMap<String, Arc<LogSink>>,
    /// Of spans.
    pub(super) tracers: BTreeMap<String, Tracer>,
    /// Of metrics: who asks for them.
    pub(super) scraped: BTreeSet<String>,
    pub(super) default_logs: Vec<String>,
    pub(super) default_tracing: Vec<String>,
    pub(super) default_metrics: Vec<String>,
    /// The log of all requests, where nobody says anything.
    pub(super) file: Option<Arc<LogSink>>,
}

/// Who takes spans, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tracer {
    pub(super) collector: Arc<Collector>,
    pub(super) contexts: Contexts,
    pub(super) max_url_length: usize,
    pub(super) short_ids: bool,
}

/// Names that mean something without being written down, as in the field.
const OUTPUT: &str = "envoy";
const PROMETHEUS: &str = "prometheus";

/// The field's defaults.
const MAX_URL_LENGTH: usize = 256;
const TIMEOUT: Duration = Duration::from_secs(10);
const ZIPKIN_PATH: &str = "/api/v2/spans";
const OTLP_PATH: &str = "/v1/traces";

impl Reporting {
    /// What there is without a mesh configuration.
    pub(crate) fn built_in() -> Self {
        let mut reporting = Self::default();
        reporting.add_built_in(LogFormat::DefaultText);
        reporting
    }

    pub(crate) fn prepare(spec: &MeshConfigSpec, at: &At<'_>, cx: &mut Cx<'_>) -> Self {
        let mut reporting = Self::default();
        let format = &spec.access_log_format;
        let format = mesh_format(format, spec.access_log_encoding, &at.field("accessLogFormat"), cx);
        reporting.add_built_in(format.clone());
        if !spec.access_log_file.is_empty() {
            let path = spec.access_log_file.as_str().into();
            reporting.file = Some(Arc::new(LogSink::File { path, format }));
        }
        let list = at.field("extensionProviders");
        for (i, provider) in spec.extension_providers.iter().enumerate() {
            reporting.add(provider, &list.index(i), cx);
        }
        let defaults = spec.default_providers.clone().unwrap_or_default();
        reporting.default_logs = defaults.access_logging;
        reporting.default_tracing = defaults.tracing;
        reporting.default_metrics = defaults.metrics;
        reporting.check_defaults(&at.field("defaultProviders"), cx);
        reporting
    }

    fn add_built_in(&mut self, format: LogFormat) {
        let path = "/dev/stdout".into();
        self.sinks.insert(OUTPUT.to_owned(), Arc::new(LogSink::File { path, format }));
        self.scraped.insert(PROMETHEUS.to_owned());
    }

    fn add(&mut self, provider: &Provider, at: &At<'_>, cx: &mut Cx<'_>) {
        let name = &provider.name;
        if let Some(file) = &provider.envoy_file_access_log {
            let at = at.field("envoyFileAccessLog");
            if !file.path.starts_with('/') {
                let expected = "the path of a file, beginning with /";
                cx.error(&at.field("path"), L7Problem::Value { value: file.path.clone(), expected });
            }
            if file.log_format.as_ref().is_some_and(|format| format.text.is_some() && !format.labels.is_empty()) {
                let at = at.field("logFormat");
                cx.error(&at.field("labels"), L7Problem::Exclusive { other: "text" });
            }
            let format = log_format(file.log_format.as_ref(), file.omit_empty_values, &at, cx);
            let path = file.path.as_str().into();
            self.sinks.insert(name.clone(), Arc::new(LogSink::File { path, format }));
        }
        if let Some(log) = &provider.envoy_otel_als {
            self.sinks.insert(name.clone(), Arc::new(otel_log(log, &at.field("envoyOtelAls"), cx)));
        }
        if let Some(written) = &provider.zipkin {
            self.tracers.insert(name.clone(), zipkin(written, &at.field("zipkin"), cx));
        }
        if let Some(written) = &provider.opentelemetry {
            self.tracers.insert(name.clone(), opentelemetry(written, &at.field("opentelemetry"), cx));
        }
        if provider.prometheus.is_some() {
            self.scraped.insert(name.clone());
        }
    }

    fn check_defaults(&self, at: &At<'_>, cx: &mut Cx<'_>) {
        let logs = self.default_logs.iter().filter(|name| !self.sinks.contains_key(*name));
        let tracing = self.default_tracing.iter().filter(|name| !self.tracers.contains_key(*name));
        let metrics = self.default_metrics.iter().filter(|name| !self.scraped.contains(*name));
        let unknown = logs.map(|name| ("accessLogging", name)).chain(tracing.map(|name| ("tracing", name)));
        for (part, name) in unknown.chain(metrics.map(|name| ("metrics", name))) {
            cx.warning(&at.field(part), L7Problem::NoReporter { name: name.clone(), part });
        }
    }
}

fn otel_log(written: &OtelAccessLog, at: &At<'_>, cx: &mut Cx<'_>) -> LogSink {
    let (host, port) = address(&written.service, written.port, at, cx);
    let collector =
        Collector { host, port, protocol: CollectorProtocol::OtlpGrpc, timeout: TIMEOUT, headers: Vec::new() };
    let name = if written.log_name.is_empty() { "otel_envoy_accesslog" } else { &written.log_name };
    let format = log_format(written.log_format.as_ref(), false, at, cx);
    LogSink::Otlp { collector: Arc::new(collector), name: name.into(), format }
}

fn zipkin(written: &Zipkin, at: &At<'_>, cx: &mut Cx<'_>) -> Tracer {
    let (host, port) = address(&written.service, written.port, at, cx);
    let path = path(&written.path, ZIPKIN_PATH, at, cx);
    let collector = Collector {
        host,
        port,
        protocol: CollectorProtocol::Zipkin(path),
        timeout: written.timeout.map_or(TIMEOUT, |timeout| timeout.0),
        headers: headers(&written.headers, &at.field("headers"), cx),
    };
    let contexts = match written.trace_context_option {
        ZipkinContext::UseB3 => Contexts::B3,
        ZipkinContext::UseB3WithW3cPropagation => Contexts::Both,
    };
    tracer(collector, contexts, written.max_tag_length, written.enable_64bit_trace_id)
}

fn opentelemetry(written: &OpenTelemetry, at: &At<'_>, cx: &mut Cx<'_>) -> Tracer {
    let (host, port) = address(&written.service, written.port, at, cx);
    if written.http.is_some() && written.grpc.is_some() {
        cx.error(&at.field("grpc"), L7Problem::Exclusive { other: "http" });
    }
    let grpc = written.grpc.clone().unwrap_or_default();
    let (protocol, timeout, headers) = match &written.http {
        Some(http) => {
            let at = at.field("http");
            let path = path(&http.path, OTLP_PATH, &at, cx);
            let headers = headers(&http.headers, &at.field("headers"), cx);
            (CollectorProtocol::OtlpHttp(path), http.timeout, headers)
        }
        None => {
            let at = at.field("grpc");
            (
                CollectorProtocol::OtlpGrpc,
                grpc.timeout,
                headers(&grpc.initial_metadata, &at.field("initialMetadata"), cx),
            )
        }
    };
    let timeout = timeout.map_or(TIMEOUT, |timeout| timeout.0);
    tracer(Collector { host, port, protocol, timeout, headers }, Contexts::W3c, written.max_tag_length, false)
}

fn tracer(collector: Collector, contexts: Contexts, max_tag_length: Option<u32>, short_ids: bool) -> Tracer {
    let max_url_length = max_tag_length.and_then(|length| usize::try_from(length).ok()).unwrap_or(MAX_URL_LENGTH);
    Tracer { collector: Arc::new(collector), contexts, max_url_length, short_ids }
}

/// Where a collector is. The namespace that may stand before its host tells apart what has one host only here.
fn address(service: &str, port: u16, at: &At<'_>, cx: &mut Cx<'_>) -> (Arc<str>, u16) {
    let (namespace, host) = match service.split_once('/') {
        Some((namespace, host)) => (namespace, host),
        None => (&**cx.namespace(), service),
    };
    if host.is_empty() {
        cx.error(&at.field("service"), L7Problem::Required { what: "the host of a service" });
    }
    if port == 0 {
        cx.error(&at.field("port"), L7Problem::Required { what: "the number of a port" });
    }
    let full = full_names(host, namespace, &cx.options.cluster_domain).into_iter().next();
    (full.unwrap_or_default(), port)
}

fn path(written: &str, default: &str, at: &At<'_>, cx: &mut Cx<'_>) -> Arc<str> {
    let is_path = written.starts_with('/') && written.parse::<http::uri::PathAndQuery>().is_ok();
    if !written.is_empty() && !is_path {
        let expected = "a path, beginning with /";
        cx.error(&at.field("path"), L7Problem::Value { value: written.to_owned(), expected });
    }
    if written.is_empty() { default.into() } else { written.into() }
}

fn headers(written: &[ExporterHeader], at: &At<'_>, cx: &mut Cx<'_>) -> Vec<(http::HeaderName, CollectorHeader)> {
    let mut found = Vec::new();
    for (i, header) in written.iter().enumerate() {
        let at = at.index(i);
        let Some(name) = header_name(&header.name, &at.field("name"), cx) else { continue };
        let value = match (&header.value, &header.env_name) {
            (Some(value), None) => match HeaderValue::from_str(value) {
                Ok(value) => CollectorHeader::Value(value),
                Err(_) => {
                    cx.error(&at.field("value"), L7Problem::HeaderValue { value: value.clone() });
                    continue;
                }
            },
            (None, Some(variable)) => CollectorHeader::Environment(variable.as_str().into()),
            (Some(_), Some(_)) => {
                cx.error(&at.field("envName"), L7Problem::Exclusive { other: "value" });
                continue;
            }
            (None, None) => {
                cx.error(&at, L7Problem::Required { what: "value or envName" });
                continue;
            }
        };
        found.push((name, value));
    }
    found
}
