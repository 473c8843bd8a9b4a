//! What browsers of other origins may do.

use std::sync::Arc;
use std::time::Duration;

use ambit_l7::{Cors, Pattern};
use ambit_resources::gateway_api;
use http::Method;

use crate::l7::L7Problem;
use crate::l7::at::At;
use crate::l7::cx::Cx;
use crate::l7::text::header_name;

/// How long a browser may remember an answer where nothing is said of it.
const MAX_AGE: Duration = Duration::from_secs(5);

pub(super) fn cors(written: &gateway_api::Cors, at: &At<'_>, cx: &mut Cx<'_>) -> Cors {
    let origins = at.field("allowOrigins");
    let found = written.allow_origins.iter().enumerate();
    Cors {
        origins: found.filter_map(|(i, text)| origin(text, &origins.index(i), cx)).collect(),
        methods: methods(&written.allow_methods, &at.field("allowMethods"), cx),
        headers: names(&written.allow_headers, &at.field("allowHeaders"), cx),
        expose: names(&written.expose_headers, &at.field("exposeHeaders"), cx),
        max_age: Some(written.max_age.map_or(MAX_AGE, |seconds| Duration::from_secs(seconds.into()))),
        credentials: written.allow_credentials.unwrap_or(false),
        any_method: written.allow_methods.iter().any(|name| name == "*"),
        forward_unmatched: false,
    }
}

/// An origin; a `*` in its host is any text.
fn origin(written: &str, at: &At<'_>, cx: &mut Cx<'_>) -> Option<Pattern> {
    if written == "*" {
        return Some(Pattern::Present);
    }
    let Some((scheme, host)) = written.split_once("://").filter(|(_, host)| !host.is_empty()) else {
        let expected = "an origin, like https://example.com, or *";
        cx.error(at, L7Problem::Value { value: written.to_owned(), expected });
        return None;
    };
    if !host.contains('*') {
        return Some(Pattern::Exact(written.into()));
    }
    if host == "*" {
        return Some(Pattern::Prefix(format!("{scheme}://").into()));
    }
    let expression = written.split('*').map(literal).collect::<Vec<_>>().join(".*");
    cx.regex(&expression, at).map(Pattern::Regex)
}

/// An expression for a text as it stands.
fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn methods(written: &[String], at: &At<'_>, cx: &mut Cx<'_>) -> Vec<Method> {
    let mut found = Vec::new();
    for (i, name) in written.iter().enumerate().filter(|(_, name)| *name != "*") {
        match Method::from_bytes(name.as_bytes()) {
            Ok(method) => found.push(method),
            Err(_) => {
                cx.error(&at.index(i), L7Problem::Value { value: name.clone(), expected: "a method, like GET, or *" });
            }
        }
    }
    found
}

fn names(written: &[String], at: &At<'_>, cx: &mut Cx<'_>) -> Vec<Arc<str>> {
    for (i, name) in written.iter().enumerate().filter(|(_, name)| *name != "*") {
        header_name(name, &at.index(i), cx);
    }
    written.iter().map(|name| name.as_str().into()).collect()
}
