//! Which requests rules are about.

use std::sync::Arc;

use ambit_l7::{HeaderMatch, HttpMatch, PathMatch, Pattern, QueryMatch};
use ambit_resources::gateway_api::{
    GrpcMethodMatch, GrpcRouteMatch, HttpRouteMatch, MatchType, NameMatch, PathMatch as WrittenPath, PathMatchType,
};
use http::Method;

use crate::l7::L7Problem;
use crate::l7::at::At;
use crate::l7::cx::Cx;
use crate::l7::text::header_name;

/// Requests that an HTTPRoute's rule is about; at least one match.
pub(super) fn http(written: &[HttpRouteMatch], at: &At<'_>, cx: &mut Cx<'_>) -> Vec<HttpMatch> {
    if written.is_empty() {
        return vec![http_match(&HttpRouteMatch::default(), at, cx)];
    }
    written.iter().enumerate().map(|(i, written)| http_match(written, &at.index(i), cx)).collect()
}

fn http_match(written: &HttpRouteMatch, at: &At<'_>, cx: &mut Cx<'_>) -> HttpMatch {
    let default = WrittenPath::default();
    let path = path(written.path.as_ref().unwrap_or(&default), &at.field("path"), cx);
    let method = written.method.as_deref().map(|method| {
        if Method::from_bytes(method.as_bytes()).is_err() {
            let value = method.to_owned();
            cx.error(&at.field("method"), L7Problem::Value { value, expected: "a method, like GET" });
        }
        Pattern::Exact(method.into())
    });
    HttpMatch {
        path,
        method,
        headers: headers(&written.headers, &at.field("headers"), cx),
        query: query(&written.query_params, &at.field("queryParams"), cx),
        ..HttpMatch::default()
    }
}

/// A path; where nothing is said the prefix `/`.
fn path(written: &WrittenPath, at: &At<'_>, cx: &mut Cx<'_>) -> Option<PathMatch> {
    let WrittenPath { kind, value } = written;
    let at = at.field("value");
    if *kind != PathMatchType::RegularExpression && !value.starts_with('/') {
        cx.error(&at, L7Problem::Value { value: value.clone(), expected: "a path that begins with /" });
    }
    let text = |pattern| PathMatch::Text { pattern, ignore_case: false };
    Some(match kind {
        PathMatchType::Exact => text(Pattern::Exact(value.as_str().into())),
        PathMatchType::PathPrefix => PathMatch::Elements(value.trim_end_matches('/').into()),
        PathMatchType::RegularExpression => text(Pattern::Regex(cx.regex(value, &at)?)),
    })
}

/// Of several conditions on one header the first counts.
fn headers(written: &[NameMatch], at: &At<'_>, cx: &mut Cx<'_>) -> Vec<HeaderMatch> {
    let mut found: Vec<HeaderMatch> = Vec::with_capacity(written.len());
    for (i, written) in written.iter().enumerate() {
        let at = at.index(i);
        let Some(name) = header_name(&written.name, &at.field("name"), cx) else { continue };
        let Some(value) = value(written, &at, cx) else { continue };
        if found.iter().all(|known| known.name != name) {
            found.push(HeaderMatch { name, value, inverted: false });
        }
    }
    found
}

/// Of several conditions on one parameter the first counts.
fn query(written: &[NameMatch], at: &At<'_>, cx: &mut Cx<'_>) -> Vec<QueryMatch> {
    let mut found: Vec<QueryMatch> = Vec::with_capacity(written.len());
    for (i, written) in written.iter().enumerate() {
        let at = at.index(i);
        if written.name.is_empty() {
            cx.error(&at.field("name"), L7Problem::Required { what: "a name" });
        }
        let Some(value) = value(written, &at, cx) else { continue };
        if found.iter().all(|known| *known.name != *written.name) {
            found.push(QueryMatch { name: written.name.as_str().into(), value });
        }
    }
    found
}

fn value(written: &NameMatch, at: &At<'_>, cx: &mut Cx<'_>) -> Option<Pattern> {
    Some(match written.kind {
        MatchType::Exact => Pattern::Exact(written.value.as_str().into()),
        MatchType::RegularExpression => Pattern::Regex(cx.regex(&written.value, &at.field("value"))?),
    })
}

/// Requests that a GRPCRoute's rule is about; at least one match.
pub(super) fn grpc(written: &[GrpcRouteMatch], at: &At<'_>, cx: &mut Cx<'_>) -> Vec<HttpMatch> {
    if written.is_empty() {
        return vec![HttpMatch::default()];
    }
    let one = |(i, written): (usize, &GrpcRouteMatch)| {
        let at = at.index(i);
        HttpMatch {
            path: written.method.as_ref().and_then(|method| call(method, &at.field("method"), cx)),
            headers: headers(&written.headers, &at.field("headers"), cx),
            ..HttpMatch::default()
        }
    };
    written.iter().enumerate().map(one).collect()
}

/// What is called, `/service/method`, as a path.
fn call(written: &GrpcMethodMatch, at: &At<'_>, cx: &mut Cx<'_>) -> Option<PathMatch> {
    let part = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let (service, method) = (part(&written.service), part(&written.method));
    if service.is_none() && method.is_none() {
        cx.error(at, L7Problem::Required { what: "service or method" });
        return None;
    }
    let exact = |text: String| -> Arc<str> { text.into() };
    let pattern = match (written.kind, service, method) {
        (MatchType::Exact, Some(service), Some(method)) => Pattern::Exact(exact(format!("/{service}/{method}"))),
        (MatchType::Exact, Some(service), None) => Pattern::Prefix(exact(format!("/{service}/"))),
        (MatchType::Exact, None, method) => Pattern::Suffix(exact(format!("/{}", method.unwrap_or_default()))),
        (MatchType::RegularExpression, service, method) => {
            let any = || "[^/]+".to_owned();
            let (service, method) = (service.unwrap_or_else(any), method.unwrap_or_else(any));
            // Each by itself, so that brackets of one cannot be closed by the other.
            cx.regex(&service, &at.field("service"))?;
            cx.regex(&method, &at.field("method"))?;
            Pattern::Regex(cx.regex(&format!("/(?:{service})/(?:{method})"), at)?)
        }
    };
    Some(PathMatch::Text { pattern, ignore_case: false })
}
