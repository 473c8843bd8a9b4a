//! What browsers of other origins may do.

use std::sync::Arc;

use ambit_l7::{Cors, Pattern};
use ambit_resources::StringMatch;
use ambit_resources::virtual_service::{CorsPolicy, UnmatchedPreflights};
use http::Method;

use crate::l7::L7Problem;
use crate::l7::at::At;
use crate::l7::cx::Cx;
use crate::l7::text::{header_name, pattern};

pub(super) fn cors(written: &CorsPolicy, at: &At<'_>, cx: &mut Cx<'_>) -> Cors {
    let forward_unmatched = match written.unmatched_preflights {
        UnmatchedPreflights::Unspecified | UnmatchedPreflights::Forward => true,
        UnmatchedPreflights::Ignore => false,
    };
    let (any_method, methods) = methods(&written.allow_methods, &at.field("allowMethods"), cx);
    Cors {
        origins: origins(written, at, cx),
        methods,
        headers: names(&written.allow_headers, &at.field("allowHeaders"), cx),
        expose: names(&written.expose_headers, &at.field("exposeHeaders"), cx),
        max_age: written.max_age.map(|age| age.0),
        credentials: written.allow_credentials.unwrap_or(false),
        any_method,
        forward_unmatched,
    }
}

/// The origins in the present spelling, or else in the old one.
fn origins(written: &CorsPolicy, at: &At<'_>, cx: &mut Cx<'_>) -> Vec<Pattern> {
    if written.allow_origins.is_empty() {
        let old = written.allow_origin.iter();
        return old.map(|origin| exact(origin)).collect();
    }
    if !written.allow_origin.is_empty() {
        cx.error(&at.field("allowOrigin"), L7Problem::Exclusive { other: "allowOrigins" });
    }
    let at = at.field("allowOrigins");
    let origin = |(i, origin): (usize, &StringMatch)| match origin {
        StringMatch::Exact(text) => Some(exact(text)),
        StringMatch::Present | StringMatch::Prefix(_) | StringMatch::Regex(_) => pattern(origin, &at.index(i), cx),
    };
    written.allow_origins.iter().enumerate().filter_map(origin).collect()
}

fn exact(origin: &str) -> Pattern {
    if origin == "*" { Pattern::Present } else { Pattern::Exact(origin.into()) }
}

/// Whether any method may be used, and which.
fn methods(written: &[String], at: &At<'_>, cx: &mut Cx<'_>) -> (bool, Vec<Method>) {
    let mut found = Vec::new();
    for (i, name) in written.iter().enumerate().filter(|(_, name)| *name != "*") {
        match Method::from_bytes(name.as_bytes()) {
            Ok(method) => found.push(method),
            Err(_) => {
                cx.error(&at.index(i), L7Problem::Value { value: name.clone(), expected: "a method, like GET, or *" });
            }
        }
    }
    (written.iter().any(|name| name == "*"), found)
}

fn names(written: &[String], at: &At<'_>, cx: &mut Cx<'_>) -> Vec<Arc<str>> {
    for (i, name) in written.iter().enumerate().filter(|(_, name)| *name != "*") {
        header_name(name, &at.index(i), cx);
    }
    written.iter().map(|name| name.as_str().into()).collect()
}
