//! Spans in Zipkin's JSON, version 2.

use std::time::UNIX_EPOCH;

use serde_json::{Map, Value, json};

use super::export::Own;
use super::span::{Kind, Span};

/// Spans as they are sent.
pub(super) fn spans(spans: &[Span], own: &Own) -> String {
    Value::Array(spans.iter().map(|span| one(span, own)).collect()).to_string()
}

fn one(span: &Span, own: &Own) -> Value {
    let trace = if span.is_short { format!("{:016x}", span.trace_id) } else { format!("{:032x}", span.trace_id) };
    let micros = |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let tags: Map<_, _> = span.tags.iter().map(|(name, value)| (name.to_string(), value.as_str().into())).collect();
    let address = match own.address {
        Some(std::net::IpAddr::V4(address)) => json!({"serviceName": own.service, "ipv4": address}),
        Some(std::net::IpAddr::V6(address)) => json!({"serviceName": own.service, "ipv6": address}),
        None => json!({"serviceName": own.service}),
    };
    let mut object = json!({
        "traceId": trace,
        "id": format!("{:016x}", span.id),
        "kind": match span.kind { Kind::Server => "SERVER", Kind::Client => "CLIENT" },
        "name": span.name,
        "timestamp": micros(span.began.duration_since(UNIX_EPOCH).unwrap_or_default()),
        // 0 is no duration there.
        "duration": micros(span.duration).max(1),
        "localEndpoint": address,
        "tags": tags,
    });
    if let (Some(parent), Some(object)) = (span.parent, object.as_object_mut()) {
        object.insert("parentId".to_owned(), format!("{parent:016x}").into());
    }
    object
}
