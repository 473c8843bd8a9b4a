//! A rule for requests.

use std::sync::{Arc, Mutex, PoisonError};

use ambit_l7::{BackendRef, Forward, Fraction, HttpAction, HttpRule, Mirror, PathRewrite, Rewrite};
use ambit_resources::virtual_service::{self, HttpRoute};

use super::headers::{self, Changes};
use super::{answers, cors, fault, http_match, retry, weights};
use crate::l7::L7Problem;
use crate::l7::at::At;
use crate::l7::cx::Cx;
use crate::l7::destination::Destination;
use crate::l7::text::text;

/// A rule whose destinations are not yet looked up.
#[derive(Debug)]
pub(crate) struct HttpDraft {
    rule: Mutex<Arc<HttpRule>>,
    /// Of the action's backends, one by one.
    pub(crate) destinations: Vec<Destination>,
    /// Of the rule's mirrors, one by one.
    pub(crate) mirrors: Vec<Destination>,
}

impl HttpDraft {
    /// The rule. Whom it leads to says nothing.
    pub(crate) fn rule(&self) -> HttpRule {
        HttpRule::clone(&self.rule.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A rule that differs from the draft's in nothing but whom it leads to takes its place: one of them in memory is
    /// enough.
    pub(crate) fn share(&self, rule: &Arc<HttpRule>) {
        *self.rule.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(rule);
    }
}

/// A rule; nothing for one that is for gateways alone.
pub(super) fn rule(route: &HttpRoute, at: &At<'_>, cx: &mut Cx<'_>) -> Option<HttpDraft> {
    check_combination(route, at, cx);
    rest(route, at, cx)
}

/// A rule, whether there is anything to be done with requests or not.
pub(super) fn rest(route: &HttpRoute, at: &At<'_>, cx: &mut Cx<'_>) -> Option<HttpDraft> {
    let matches = http_match::matches(&route.matches, &at.field("match"), cx);
    let Changes { request, response, authority } = headers::changes(route.headers.as_deref(), &at.field("headers"), cx);
    let rewrite = rewrite(route, authority, &at.field("rewrite"), cx);
    let (action, destinations) = action(route, rewrite, at, cx);
    let (copies, mirrors) = mirrors(route, at, cx);
    let rule = HttpRule {
        origin: cx.origin_of(at, &route.name),
        matches: matches?,
        action,
        timeout: route.timeout.map(|timeout| timeout.0).filter(|timeout| !timeout.is_zero()),
        retry: route.retries.as_ref().and_then(|retries| retry::retry(retries, &at.field("retries"), cx)),
        fault: fault::fault(route.fault.as_deref(), &at.field("fault"), cx),
        mirrors: copies,
        cors: route.cors_policy.as_ref().map(|cors| cors::cors(cors, &at.field("corsPolicy"), cx)),
        request_headers: request,
        response_headers: response,
    };
    Some(HttpDraft { rule: Mutex::new(Arc::new(rule)), destinations, mirrors })
}

/// Fields that exclude each other, and those of which one there must be.
fn check_combination(route: &HttpRoute, at: &At<'_>, cx: &mut Cx<'_>) {
    let answers = [("redirect", route.redirect.is_some()), ("directResponse", route.direct_response.is_some())];
    let forwards =
        [("route", !route.route.is_empty()), ("rewrite", route.rewrite.is_some()), ("fault", route.fault.is_some())];
    for (answer, _) in answers.iter().filter(|(_, there)| *there) {
        for (other, _) in forwards.iter().filter(|(_, there)| *there) {
            cx.error(&at.field(other), L7Problem::Exclusive { other: answer });
        }
    }
    match (&route.redirect, &route.direct_response) {
        (Some(_), Some(_)) => cx.error(&at.field("directResponse"), L7Problem::Exclusive { other: "redirect" }),
        (None, None) if route.route.is_empty() => {
            cx.error(at, L7Problem::Required { what: "one of route, redirect, directResponse and delegate" });
        }
        _ => {}
    }
}

fn action(route: &HttpRoute, rewrite: Rewrite, at: &At<'_>, cx: &mut Cx<'_>) -> (HttpAction, Vec<Destination>) {
    if let Some(redirect) = &route.redirect {
        return (HttpAction::Redirect(answers::redirect(redirect, &at.field("redirect"), cx)), Vec::new());
    }
    if let Some(response) = &route.direct_response {
        return (HttpAction::Respond(answers::respond(response, &at.field("directResponse"), cx)), Vec::new());
    }
    let at = at.field("route");
    let weights = weights(route.route.iter().map(|to| to.weight), &at, cx);
    let mut destinations = Vec::with_capacity(route.route.len());
    let mut backends = Vec::with_capacity(route.route.len());
    for (i, (written, weight)) in route.route.iter().zip(weights).enumerate() {
        let at = at.index(i);
        let destination = Destination::of(&written.destination, &at.field("destination"), cx);
        backends.push(backend(written, (weight, &destination), &rewrite, &at, cx));
        destinations.push(destination);
    }
    (HttpAction::Forward(Forward { backends, rewrite, rewrite_to_backend: false }), destinations)
}

fn backend(
    written: &virtual_service::HttpDestination,
    (weight, destination): (u32, &Destination),
    rewrite: &Rewrite,
    at: &At<'_>,
    cx: &mut Cx<'_>,
) -> BackendRef {
    let Changes { request, response, authority } =
        headers::changes(written.headers.as_deref(), &at.field("headers"), cx);
    BackendRef {
        weight,
        backend: destination.invalid(),
        request_headers: request,
        response_headers: response,
        // What is the backend's takes the place of all of the rule's: so it brings the rule's path along.
        rewrite: authority.map(|authority| Rewrite { authority: Some(authority), ..rewrite.clone() }),
        mirrors: Vec::new(),
    }
}

/// What is written over; a `Host` that is set among the headers is the authority.
fn rewrite(route: &HttpRoute, host: Option<std::sync::Arc<str>>, at: &At<'_>, cx: &mut Cx<'_>) -> Rewrite {
    let Some(written) = &route.rewrite else { return Rewrite { authority: host, path: None } };
    let regex = written.uri_regex_rewrite.as_ref();
    if written.uri.is_some() && regex.is_some() {
        cx.error(&at.field("uriRegexRewrite"), L7Problem::Exclusive { other: "uri" });
    }
    if written.uri.is_none() && regex.is_none() && written.authority.is_none() {
        cx.error(at, L7Problem::Required { what: "uri, authority or uriRegexRewrite" });
    }
    let by_regex = regex.and_then(|rewrite| {
        let at = at.field("uriRegexRewrite");
        if rewrite.pattern.is_empty() {
            cx.error(&at.field("match"), L7Problem::Required { what: "an expression" });
        }
        let regex = cx.regex(&rewrite.pattern, &at.field("match"))?;
        Some(PathRewrite::Regex { regex, replacement: rewrite.rewrite.as_str().into() })
    });
    let by_prefix = written.uri.as_deref().map(|uri| PathRewrite::Prefix(uri.into()));
    Rewrite { authority: host.or_else(|| text(written.authority.as_deref()?)), path: by_regex.or(by_prefix) }
}

/// Copies, and where they go, one by one.
fn mirrors(route: &HttpRoute, at: &At<'_>, cx: &mut Cx<'_>) -> (Vec<Mirror>, Vec<Destination>) {
    let mut mirrors = Vec::new();
    if route.mirror.is_some() && !route.mirrors.is_empty() {
        cx.error(&at.field("mirrors"), L7Problem::Exclusive { other: "mirror" });
    }
    if route.mirror.is_none() && (route.mirror_percentage.is_some() || route.mirror_percent.is_some()) {
        cx.error(&at.field("mirrorPercentage"), L7Problem::Required { what: "mirror" });
    }
    if let Some(destination) = &route.mirror {
        let at = at.field("mirrorPercent");
        let percent = fault::share(route.mirror_percentage, route.mirror_percent, &at, cx);
        mirrors.push((destination, percent, None));
    }
    for (i, mirror) in route.mirrors.iter().enumerate() {
        mirrors.push((&mirror.destination, fault::share(mirror.percentage, None, at, cx), Some(i)));
    }
    let compile = |(written, fraction, index): (_, Fraction, Option<usize>)| {
        let destination = match index {
            Some(i) => Destination::of(written, &at.field("mirrors").index(i).field("destination"), cx),
            None => Destination::of(written, &at.field("mirror"), cx),
        };
        (Mirror { backend: destination.invalid(), fraction }, destination)
    };
    mirrors.into_iter().map(compile).unzip()
}
