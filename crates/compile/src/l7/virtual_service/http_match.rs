//! Which requests a rule is about.

use std::collections::BTreeMap;
use std::sync::Arc;

use ambit_l7::{HeaderMatch, HttpMatch, PathMatch, Pattern, QueryMatch, SourceMatch};
use ambit_resources::{StringMatch, virtual_service};

use super::is_for_mesh;
use crate::l7::at::At;
use crate::l7::cx::Cx;
use crate::l7::text::{labels, lower, pattern, pattern_or_present, port, text};
use crate::l7::{L7Problem, hosts};

/// A rule's matches in the mesh; nothing where all of them are for gateways, so that the rule is for nobody.
pub(super) fn matches(written: &[virtual_service::HttpMatch], at: &At<'_>, cx: &mut Cx<'_>) -> Option<Vec<HttpMatch>> {
    let mut found = Vec::with_capacity(written.len());
    for (i, written) in written.iter().enumerate() {
        let compiled = one(written, &at.index(i), cx);
        if written.gateways.is_empty() || is_for_mesh(&written.gateways) {
            found.push(compiled);
        }
    }
    (written.is_empty() || !found.is_empty()).then_some(found)
}

fn one(written: &virtual_service::HttpMatch, at: &At<'_>, cx: &mut Cx<'_>) -> HttpMatch {
    if !written.stat_prefix.is_empty() {
        let reason = "metrics of a route are told apart by the names of rules";
        cx.warning(&at.field("statPrefix"), L7Problem::NoEffect { reason });
    }
    let method = written.method.as_ref().and_then(|method| required(method, &at.field("method"), cx));
    let scheme = written.scheme.as_ref().and_then(|scheme| required(scheme, &at.field("scheme"), cx));
    let authority = written.authority.as_ref().and_then(|host| required(host, &at.field("authority"), cx));
    let mut headers = header_matches(&written.headers, false, &at.field("headers"), cx);
    headers.extend(header_matches(&written.without_headers, true, &at.field("withoutHeaders"), cx));
    HttpMatch {
        name: written.name.as_str().into(),
        path: path(written, &at.field("uri"), cx),
        scheme: scheme.map(lower),
        method,
        authority: authority.map(lower),
        headers,
        query: query(&written.query_params, &at.field("queryParams"), cx),
        port: port(written.port, &at.field("port"), cx),
        source: source(&written.source_labels, &written.source_namespace, at, cx),
    }
}

/// Who asks.
pub(super) fn source(
    source_labels: &BTreeMap<String, String>,
    namespace: &str,
    at: &At<'_>,
    cx: &mut Cx<'_>,
) -> SourceMatch {
    if !namespace.is_empty() && !ambit_resources::is_name(namespace, false) {
        let value = namespace.to_owned();
        cx.error(&at.field("sourceNamespace"), L7Problem::Value { value, expected: "the name of a namespace" });
    }
    SourceMatch { labels: labels(source_labels), namespace: text(namespace), subnets: Vec::new() }
}

/// A condition that must not be empty: as a prefix it would match everything, as a text nothing.
fn required(condition: &StringMatch, at: &At<'_>, cx: &mut Cx<'_>) -> Option<Pattern> {
    match condition {
        StringMatch::Present => {
            cx.error(at, L7Problem::Required { what: "exact, prefix or regex" });
            None
        }
        StringMatch::Exact(text) | StringMatch::Prefix(text) if text.is_empty() => {
            cx.error(at, L7Problem::Required { what: "a text that is not empty" });
            None
        }
        StringMatch::Exact(_) | StringMatch::Prefix(_) | StringMatch::Regex(_) => pattern(condition, at, cx),
    }
}

fn path(written: &virtual_service::HttpMatch, at: &At<'_>, cx: &mut Cx<'_>) -> Option<PathMatch> {
    let pattern = required(written.uri.as_ref()?, at, cx)?;
    // As in the field: an expression says itself whether case counts.
    let ignore_case = written.ignore_uri_case && !matches!(pattern, Pattern::Regex(_));
    let pattern = if ignore_case { lower(pattern) } else { pattern };
    Some(PathMatch::Text { pattern, ignore_case })
}

/// Names of the request's own parts, which are no headers, and the fields to match them with.
const NO_HEADERS: [&str; 4] = ["authority", "method", "scheme", "uri"];

fn header_matches(
    written: &BTreeMap<String, StringMatch>,
    inverted: bool,
    at: &At<'_>,
    cx: &mut Cx<'_>,
) -> Vec<HeaderMatch> {
    let mut found = Vec::with_capacity(written.len());
    for (name, condition) in written {
        let at = at.field(name);
        if NO_HEADERS.contains(&name.as_str()) {
            let reason = "the request's own parts are matched by uri, scheme, method and authority";
            cx.warning(&at, L7Problem::NoEffect { reason });
            continue;
        }
        let header = crate::l7::text::header_name(name, &at, cx);
        let value = pattern_or_present(condition, &at, cx);
        if let (Some(name), Some(value)) = (header, value) {
            found.push(HeaderMatch { name, value, inverted });
        }
    }
    found
}

fn query(written: &BTreeMap<String, StringMatch>, at: &At<'_>, cx: &mut Cx<'_>) -> Vec<QueryMatch> {
    let one = |(name, condition): (&String, &StringMatch)| {
        let value = pattern(condition, &at.field(name), cx)?;
        Some(QueryMatch { name: Arc::from(name.as_str()), value })
    };
    written.iter().filter_map(one).collect()
}

/// The server names of a TLS match.
pub(super) fn server_name(name: &str, at: &At<'_>, cx: &mut Cx<'_>) -> Option<Pattern> {
    if name == "*" {
        return Some(Pattern::Present);
    }
    if !hosts::is_host(name) {
        let value = name.to_owned();
        cx.error(at, L7Problem::Value { value, expected: "a host name, with or without *. before it" });
        return None;
    }
    let name = name.to_ascii_lowercase();
    Some(match name.strip_prefix('*') {
        Some(end) => Pattern::Suffix(end.into()),
        None => Pattern::Exact(name.into()),
    })
}
