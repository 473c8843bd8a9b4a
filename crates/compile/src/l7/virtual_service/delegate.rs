//! A rule that goes on with the rules of another VirtualService.

use std::collections::BTreeMap;

use ambit_resources::StringMatch;
use ambit_resources::virtual_service::{HttpMatch, HttpRoute};

use super::{Part, http, is_for_mesh};
use crate::l7::L7Problem;
use crate::l7::at::At;
use crate::l7::cx::Cx;
use crate::l7::hosts::full_names;

/// A rule that others delegate to. What is wrong with it is said of its own object; what it means, only when it
/// is known who delegates.
pub(super) fn check(route: &HttpRoute, at: &At<'_>, cx: &mut Cx<'_>) -> Option<Part> {
    if route.delegate.is_some() {
        cx.error(
            &at.field("delegate"),
            L7Problem::RequiredWith { what: "hosts (there is one level of delegates only)" },
        );
    } else {
        http::rule(route, at, cx);
    }
    None
}

/// A rule that delegates: all of it but where the requests go.
pub(super) fn check_root(route: &HttpRoute, at: &At<'_>, cx: &mut Cx<'_>) {
    for (field, there) in [
        ("route", !route.route.is_empty()),
        ("redirect", route.redirect.is_some()),
        ("directResponse", route.direct_response.is_some()),
    ] {
        if there {
            cx.error(&at.field(field), L7Problem::Exclusive { other: "delegate" });
        }
    }
    if route.delegate.as_ref().is_some_and(|delegate| delegate.name.is_empty()) {
        cx.error(&at.field("delegate").field("name"), L7Problem::Required { what: "the name of a VirtualService" });
    }
    http::rest(route, at, cx);
}

/// A rule that delegates, with its hosts written so that they mean the same in another namespace.
pub(super) fn qualified(route: &HttpRoute, cx: &Cx<'_>) -> HttpRoute {
    let mut route = route.clone();
    for destination in route.mirror.iter_mut().chain(route.mirrors.iter_mut().map(|mirror| &mut mirror.destination)) {
        let names = full_names(&destination.host, cx.namespace(), &cx.options.cluster_domain);
        if let [only] = names.as_slice() {
            destination.host = only.to_string();
        }
    }
    route
}

/// A delegate's rule as its root narrows it; nothing where it asks for what the root excludes. What the delegate
/// does not say is the root's.
pub(super) fn merge(root: &HttpRoute, delegate: &HttpRoute) -> Option<HttpRoute> {
    let mut merged = delegate.clone();
    merged.matches = merge_matches(root, delegate)?;
    merged.name = joined(&root.name, &delegate.name);
    merged.rewrite = merged.rewrite.or_else(|| root.rewrite.clone());
    merged.timeout = merged.timeout.or(root.timeout);
    merged.retries = merged.retries.or_else(|| root.retries.clone());
    merged.fault = merged.fault.or_else(|| root.fault.clone());
    if merged.mirror.is_none() && merged.mirrors.is_empty() {
        merged.mirror.clone_from(&root.mirror);
        merged.mirrors.clone_from(&root.mirrors);
        merged.mirror_percent = root.mirror_percent;
        merged.mirror_percentage = root.mirror_percentage;
    }
    merged.cors_policy = merged.cors_policy.or_else(|| root.cors_policy.clone());
    merged.headers = merged.headers.or_else(|| root.headers.clone());
    if merged.redirect.is_some() || merged.direct_response.is_some() {
        merged.rewrite = None;
        merged.fault = None;
    }
    Some(merged)
}

fn joined(root: &str, delegate: &str) -> String {
    match (root, delegate) {
        ("", one) | (one, "") => one.to_owned(),
        (root, delegate) => format!("{root}-{delegate}"),
    }
}

/// Every match of the delegate with every match of the root that is as wide. A delegate's match for which there
/// is none makes the whole rule void, as the API has it.
fn merge_matches(root: &HttpRoute, delegate: &HttpRoute) -> Option<Vec<HttpMatch>> {
    let in_mesh = |found: &&HttpMatch| found.gateways.is_empty() || is_for_mesh(&found.gateways);
    let wide: Vec<_> = root.matches.iter().filter(in_mesh).collect();
    if root.matches.is_empty() {
        return Some(delegate.matches.clone());
    }
    if delegate.matches.is_empty() {
        return (!wide.is_empty()).then(|| wide.into_iter().cloned().collect());
    }
    let mut merged = Vec::new();
    for narrow in &delegate.matches {
        let before = merged.len();
        merged.extend(wide.iter().filter_map(|wide| merge_match(wide, narrow)));
        if merged.len() == before {
            return None;
        }
    }
    Some(merged)
}

/// One match and another, where the second asks for no more than the first allows.
fn merge_match(root: &HttpMatch, delegate: &HttpMatch) -> Option<HttpMatch> {
    if root.uri.is_some() && delegate.uri.is_some() && root.ignore_uri_case != delegate.ignore_uri_case {
        return None;
    }
    Some(HttpMatch {
        name: joined(&root.name, &delegate.name),
        uri: narrower(root.uri.as_ref(), delegate.uri.as_ref())?,
        ignore_uri_case: if delegate.uri.is_some() { delegate.ignore_uri_case } else { root.ignore_uri_case },
        scheme: narrower(root.scheme.as_ref(), delegate.scheme.as_ref())?,
        method: narrower(root.method.as_ref(), delegate.method.as_ref())?,
        authority: narrower(root.authority.as_ref(), delegate.authority.as_ref())?,
        headers: merge_maps(&root.headers, &delegate.headers, is_within)?,
        query_params: merge_maps(&root.query_params, &delegate.query_params, is_within)?,
        without_headers: merge_maps(&root.without_headers, &delegate.without_headers, PartialEq::eq)?,
        source_labels: merge_maps(&root.source_labels, &delegate.source_labels, PartialEq::eq)?,
        source_namespace: same(&root.source_namespace, &delegate.source_namespace, String::is_empty)?,
        port: same(&root.port, &delegate.port, Option::is_none)?,
        gateways: delegate.gateways.clone(),
        stat_prefix: delegate.stat_prefix.clone(),
    })
}

/// The one of two values that is there; nothing where both are and differ.
fn same<T: Clone + PartialEq>(root: &T, delegate: &T, is_absent: impl Fn(&T) -> bool) -> Option<T> {
    if is_absent(delegate) || root == delegate {
        return Some(root.clone());
    }
    is_absent(root).then(|| delegate.clone())
}

#[expect(clippy::option_option, reason = "a condition, or none, or two that exclude each other")]
fn narrower(root: Option<&StringMatch>, delegate: Option<&StringMatch>) -> Option<Option<StringMatch>> {
    match (root, delegate) {
        (Some(root), Some(delegate)) => is_within(root, delegate).then(|| Some(delegate.clone())),
        (one, other) => Some(other.or(one).cloned()),
    }
}

fn merge_maps<T: Clone>(
    root: &BTreeMap<String, T>,
    delegate: &BTreeMap<String, T>,
    fits: impl Fn(&T, &T) -> bool,
) -> Option<BTreeMap<String, T>> {
    let clash = delegate.iter().any(|(key, value)| root.get(key).is_some_and(|wide| !fits(wide, value)));
    let merged = || root.iter().chain(delegate).map(|(key, value)| (key.clone(), value.clone())).collect();
    (!clash).then(merged)
}

/// Whether whatever the second matches, the first does too. Of two expressions nobody knows, unless they are one.
fn is_within(root: &StringMatch, delegate: &StringMatch) -> bool {
    match (root, delegate) {
        (StringMatch::Present, _) => true,
        (StringMatch::Prefix(wide), StringMatch::Prefix(text) | StringMatch::Exact(text)) => text.starts_with(wide),
        (root, delegate) => root == delegate,
    }
}
