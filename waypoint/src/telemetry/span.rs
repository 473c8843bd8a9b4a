//! The spans of a request: the waypoint's as a server, and, where it went on, as the client of a backend.

use std::num::{NonZeroU64, NonZeroU128};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ambit_l7::telemetry::{Attribute, Ended, TagValue, Tracing};
use http::{HeaderMap, HeaderName};

use super::Report;
use super::trace::Trace;

/// A longer `tracestate` goes on to the backend, and into no span (W3C asks to keep 512 characters at least).
const MAX_STATE: usize = 512;
use crate::config;

/// A span that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) trace_id: NonZeroU128,
    pub(super) is_short: bool,
    pub(super) id: NonZeroU64,
    pub(super) parent: Option<NonZeroU64>,
    pub(super) state: String,
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) began: SystemTime,
    pub(super) duration: Duration,
    pub(super) tags: Vec<(Arc<str>, String)>,
    pub(super) is_error: bool,
}

/// Whose part it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Server,
    Client,
}

impl Span {
    /// What is to be sent of a request that is traced.
    pub(super) fn of(report: &Report, trace: &Trace, tracing: &Tracing, ended: &Ended<'_>) -> Vec<Self> {
        let is_error = ended.status.is_none_or(|status| status >= 500);
        let state = trace.state.as_ref().and_then(|state| state.to_str().ok()).filter(|state| state.len() <= MAX_STATE);
        let cluster = ended.upstream_cluster.unwrap_or_default();
        let server = Self {
            trace_id: trace.trace_id,
            is_short: trace.is_short,
            id: trace.server,
            parent: trace.parent,
            state: state.unwrap_or_default().to_owned(),
            kind: Kind::Server,
            name: name(ended),
            began: report.began,
            duration: ended.duration,
            tags: tags(report, tracing, ended, is_error),
            is_error,
        };
        let Some(waited) = report.waited else { return vec![server] };
        let client = Self {
            id: trace.client,
            parent: Some(trace.server),
            kind: Kind::Client,
            name: format!("router {cluster} egress"),
            began: report.began + waited,
            duration: ended.duration.saturating_sub(waited),
            ..server.clone()
        };
        vec![server, client]
    }

    /// Roughly how many bytes it is.
    pub(super) fn size(&self) -> usize {
        256 + self.state.len()
            + self.name.len()
            + self.tags.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
    }
}

/// `reviews.shop.svc.cluster.local:80/*`, as the field's proxies call what they serve.
fn name(ended: &Ended<'_>) -> String {
    let parts: Vec<_> = ended.upstream_cluster.unwrap_or_default().split('|').collect();
    match parts.as_slice() {
        ["outbound", port, _, host] => format!("{host}:{port}/*"),
        _ => format!("{}/*", ended.authority),
    }
}

fn tags(report: &Report, tracing: &Tracing, ended: &Ended<'_>, is_error: bool) -> Vec<(Arc<str>, String)> {
    let header = |name: &HeaderName| text(ended.request_headers, name);
    let url: String = format!("http://{}{}", ended.authority, ended.path);
    let said = [
        ("component", Some("proxy".to_owned())),
        ("node_id", Some(report.own.to_string())),
        ("guid:x-request-id", header(&super::REQUEST_ID)),
        ("http.url", Some(url.chars().take(tracing.max_url_length).collect())),
        ("http.method", Some(ended.method.to_owned())),
        ("http.protocol", Some(ended.protocol.to_owned())),
        ("http.status_code", Some(ended.status.unwrap_or_default().to_string())),
        ("user_agent", header(&http::header::USER_AGENT)),
        ("downstream_cluster", Some("-".to_owned())),
        ("peer.address", Some(ended.client.ip().to_string())),
        ("request_size", Some(ended.received.to_string())),
        ("response_size", Some(ended.sent.to_string())),
        ("response_flags", Some(ended.flags.to_owned())),
        ("upstream_cluster", ended.upstream_cluster.map(str::to_owned)),
        ("upstream_cluster.name", ended.upstream_cluster.map(str::to_owned)),
        ("upstream_address", ended.upstream_host.map(str::to_owned)),
        ("grpc.status_code", ended.grpc_status.map(|status| status.to_string())),
        ("error", is_error.then(|| "true".to_owned())),
    ];
    let said = said.into_iter().filter_map(|(name, value)| Some((Arc::from(name), value?)));
    let mut tags: Vec<_> = said.chain(istio(report, tracing)).collect();
    tags.extend(tracing.tags.iter().filter_map(|(name, value)| Some((Arc::clone(name), custom(value, ended)?))));
    tags
}

/// The field's own.
fn istio(report: &Report, tracing: &Tracing) -> Vec<(Arc<str>, String)> {
    let Some(own) = report.own_workload.as_ref().filter(|_| tracing.istio_tags) else { return Vec::new() };
    [
        ("istio.canonical_service", &own.canonical_name),
        ("istio.canonical_revision", &own.canonical_revision),
        ("istio.namespace", &own.namespace),
        ("istio.cluster_id", &own.cluster),
    ]
    .into_iter()
    .map(|(name, value)| (name.into(), value.to_string()))
    .collect()
}

/// What a tag of the users' own says; one that says nothing is not there.
fn custom(value: &TagValue, ended: &Ended<'_>) -> Option<String> {
    let said = match value {
        TagValue::Literal(text) => text.to_string(),
        TagValue::Environment(name, or) => config::variable(name).unwrap_or_else(|| or.to_string()),
        TagValue::Header(name, or) => {
            let of = Attribute::RequestHeader(name.clone()).of(ended);
            of.map_or_else(|| or.to_string(), |value| value.to_string())
        }
        TagValue::Format(format) => format.text(ended),
    };
    (!said.is_empty()).then_some(said)
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}
