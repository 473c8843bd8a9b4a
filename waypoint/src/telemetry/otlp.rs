//! Spans and records of logs in OTLP.

mod messages;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::export::Own;
use super::record::Record;
use super::span::{Kind, Span};
use messages::{
    AnyValue, ExportLogsRequest, ExportTraceRequest, InstrumentationScope, KeyValue, LogRecord, Resource, ResourceLogs,
    ResourceSpans, ScopeLogs, ScopeSpans, Status,
};

/// Where spans are sent to by gRPC.
pub(super) const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// Where records are.
pub(super) const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

/// `Status.code` of a span that is an error.
const ERROR: i32 = 2;
const SERVER: i32 = 2;
const CLIENT: i32 = 3;

/// Spans as they are sent.
pub(super) fn spans(spans: &[Span], own: &Own) -> ExportTraceRequest {
    let spans = spans.iter().map(span).collect();
    let scope_spans = vec![ScopeSpans { scope: Some(scope()), spans }];
    ExportTraceRequest { resource_spans: vec![ResourceSpans { resource: Some(resource(own, None)), scope_spans }] }
}

/// Records as they are sent, those of each log together.
pub(super) fn records(records: &[Record], own: &Own) -> ExportLogsRequest {
    let mut resource_logs = Vec::new();
    for of_log in records.chunk_by(|a, b| a.log == b.log) {
        let log = of_log.first().map(|record| &*record.log);
        let log_records = of_log.iter().map(record).collect();
        let scope_logs = vec![ScopeLogs { scope: Some(scope()), log_records }];
        resource_logs.push(ResourceLogs { resource: Some(resource(own, log)), scope_logs });
    }
    ExportLogsRequest { resource_logs }
}

fn span(span: &Span) -> messages::Span {
    let end = span.began + span.duration;
    messages::Span {
        trace_id: span.trace_id.get().to_be_bytes().to_vec(),
        span_id: span.id.get().to_be_bytes().to_vec(),
        trace_state: span.state.clone(),
        parent_span_id: span.parent.map(|parent| parent.get().to_be_bytes().to_vec()).unwrap_or_default(),
        name: span.name.clone(),
        kind: match span.kind {
            Kind::Server => SERVER,
            Kind::Client => CLIENT,
        },
        start_time_unix_nano: nanos(span.began),
        end_time_unix_nano: nanos(end),
        attributes: attributes(&span.tags),
        status: span.is_error.then_some(Status { code: ERROR }),
    }
}

fn record(record: &Record) -> LogRecord {
    let (trace_id, span_id) = match record.trace {
        Some((trace, span)) => (trace.to_be_bytes().to_vec(), span.to_be_bytes().to_vec()),
        None => (Vec::new(), Vec::new()),
    };
    let body = (!record.body.is_empty()).then(|| text(record.body.clone()));
    let time_unix_nano = nanos(record.at);
    LogRecord { time_unix_nano, body, attributes: attributes(&record.attributes), trace_id, span_id }
}

fn resource(own: &Own, log: Option<&str>) -> Resource {
    let mut attributes = vec![key_value("service.name", own.service.clone())];
    attributes.extend(log.map(|log| key_value("log_name", log.to_owned())));
    Resource { attributes }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope { name: "ambit".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }
}

fn attributes(of: &[(Arc<str>, String)]) -> Vec<KeyValue> {
    of.iter().map(|(name, value)| key_value(name, value.clone())).collect()
}

fn key_value(key: &str, value: String) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(text(value)) }
}

fn text(text: String) -> AnyValue {
    AnyValue { string_value: Some(text) }
}

fn nanos(time: SystemTime) -> u64 {
    u64::try_from(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}
