//! Rules for requests, whose backends are not yet looked up.

use std::sync::Arc;

use ambit_l7::{
    BackendRef, DirectResponse, Fault, Forward, HttpAction, HttpMatch, HttpRule, Mirror, PathMatch, Retry, RetryOn,
    Rewrite, SourceMatch,
};
use ambit_resources::gateway_api::{self as written, GrpcRouteRule, HttpRouteRule, RouteRetry, RouteTimeouts};
use bytes::Bytes;
use http::StatusCode;

use super::filters::{Filters, Place};
use super::matches;
use super::problem::RouteProblem;
use super::references::{Finder, Reference};
use crate::l7::L7Problem;
use crate::l7::at::At;
use crate::l7::cx::Cx;
use crate::l7::text::status;

/// A rule whose backends are not yet looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HttpDraft {
    rule: HttpRule,
    /// Of the action's backends, one by one, each with its mirrors.
    backends: Vec<(Reference, Vec<Reference>)>,
    mirrors: Vec<Reference>,
    /// What we cannot do, so that its requests are answered with an error.
    pub(super) unsupported: Option<RouteProblem>,
    /// What is answered in the place of what leads nowhere.
    invalid: StatusCode,
}

pub(super) fn http(written: &HttpRouteRule, at: &At<'_>, cx: &mut Cx<'_>) -> HttpDraft {
    let HttpRouteRule { name, matches, filters, backend_refs, timeouts, retry: written_retry, session_persistence } =
        written;
    let matches = matches::http(matches, &at.field("matches"), cx);
    let filters = Filters::of(filters, Place::Rule, &at.field("filters"), cx);
    let is_prefix = |found: &HttpMatch| matches!(found.path, Some(PathMatch::Elements(_)));
    if filters.replaces_prefix && !matches.iter().all(is_prefix) {
        let what = "matches of PathPrefix alone, for ReplacePrefixMatch";
        cx.error(&at.field("filters"), L7Problem::RequiredWith { what });
    }
    if filters.redirect.is_some() && !backend_refs.is_empty() {
        cx.error(&at.field("backendRefs"), L7Problem::Exclusive { other: "RequestRedirect" });
    }
    if session_persistence.is_some() {
        no_sessions(at, cx);
    }
    let timeouts = timeouts.clone().unwrap_or_default();
    let retry = retry(written_retry.as_ref(), &timeouts, at, cx);
    let origin = cx.origin_of(at, name.as_deref().unwrap_or_default());
    let mut draft =
        HttpDraft::of(origin, (matches, filters), (backend_refs, StatusCode::INTERNAL_SERVER_ERROR), at, cx);
    draft.rule.timeout = timeouts.request.map(|timeout| timeout.0).filter(|timeout| !timeout.is_zero());
    draft.rule.retry = retry;
    draft
}

/// What leads nowhere is unavailable, and not an error of the application.
pub(super) fn grpc(written: &GrpcRouteRule, at: &At<'_>, cx: &mut Cx<'_>) -> HttpDraft {
    let GrpcRouteRule { name, matches, filters, backend_refs, session_persistence } = written;
    let matches = matches::grpc(matches, &at.field("matches"), cx);
    let filters = Filters::of(filters, Place::Rule, &at.field("filters"), cx);
    if filters.redirect.is_some() || filters.rewrite.path.is_some() {
        cx.error(&at.field("filters"), L7Problem::Unsupported { reason: "a GRPCRoute has no such filter" });
    }
    if session_persistence.is_some() {
        no_sessions(at, cx);
    }
    let origin = cx.origin_of(at, name.as_deref().unwrap_or_default());
    HttpDraft::of(origin, (matches, filters), (backend_refs, StatusCode::SERVICE_UNAVAILABLE), at, cx)
}

fn no_sessions(at: &At<'_>, cx: &mut Cx<'_>) {
    let reason = "sessions are kept by the consistentHash of a DestinationRule";
    cx.warning(&at.field("sessionPersistence"), L7Problem::Unsupported { reason });
}

impl HttpDraft {
    fn of(
        origin: ambit_l7::Origin,
        (matches, filters): (Vec<HttpMatch>, Filters),
        (backend_refs, invalid): (&[written::BackendRef], StatusCode),
        at: &At<'_>,
        cx: &mut Cx<'_>,
    ) -> Self {
        let Filters { request, response, rewrite, redirect, cors, mirrors, mirrored, unsupported, .. } = filters;
        let list = at.field("backendRefs");
        let written = backend_refs.iter().enumerate();
        let (backends, references): (Vec<_>, Vec<_>) =
            written.map(|(i, written)| backend(written, (&rewrite, invalid), &list.index(i), cx)).unzip();
        let error = || HttpAction::Respond(DirectResponse { status: invalid, body: Bytes::new() });
        let action = match redirect {
            _ if unsupported.is_some() => error(),
            Some(redirect) => HttpAction::Redirect(redirect),
            None if backends.is_empty() => error(),
            None => HttpAction::Forward(Forward { backends, rewrite, rewrite_to_backend: false }),
        };
        let rule = HttpRule {
            origin,
            matches,
            action,
            timeout: None,
            retry: None,
            fault: Fault::default(),
            mirrors,
            cors,
            request_headers: request,
            response_headers: response,
        };
        Self { rule, backends: references, mirrors: mirrored, invalid, unsupported }
    }

    /// Everything it refers to.
    pub(super) fn references(&self) -> impl Iterator<Item = &Reference> {
        let of_backends = self.backends.iter().flat_map(|(backend, mirrors)| std::iter::once(backend).chain(mirrors));
        of_backends.chain(&self.mirrors)
    }

    /// The rule with its backends, once for each match, so that each can find its own place among those of other
    /// rules; for clients of a namespace alone, if one is given.
    pub(super) fn rules(&self, client: Option<&Arc<str>>, finder: &mut Finder<'_>) -> Vec<Arc<HttpRule>> {
        finder.status = self.invalid;
        let mut rule = HttpRule { matches: Vec::new(), ..self.rule.clone() };
        set(&mut rule.mirrors, &self.mirrors, finder);
        if let HttpAction::Forward(forward) = &mut rule.action {
            for (backend, (to, mirrors)) in forward.backends.iter_mut().zip(&self.backends) {
                backend.backend = finder.find(to);
                set(&mut backend.mirrors, mirrors, finder);
            }
        }
        let source = SourceMatch { namespace: client.cloned(), ..SourceMatch::default() };
        let one = |found: &HttpMatch| {
            let matches = vec![HttpMatch { source: source.clone(), ..found.clone() }];
            Arc::new(HttpRule { matches, ..rule.clone() })
        };
        self.rule.matches.iter().map(one).collect()
    }
}

fn set(mirrors: &mut [Mirror], references: &[Reference], finder: &mut Finder<'_>) {
    for (mirror, to) in mirrors.iter_mut().zip(references) {
        mirror.backend = finder.find(to);
    }
}

/// A backend, where it leads, and where its mirrors do.
fn backend(
    written: &written::BackendRef,
    (of_rule, invalid): (&Rewrite, StatusCode),
    at: &At<'_>,
    cx: &mut Cx<'_>,
) -> (BackendRef, (Reference, Vec<Reference>)) {
    let mut reference = Reference::of(written, at, cx);
    let Filters { request, response, rewrite, mirrors, mirrored, unsupported, .. } =
        Filters::of(&written.filters, Place::Backend, &at.field("filters"), cx);
    if let Some(problem) = unsupported {
        reference = reference.unusable(problem);
    }
    // What is the backend's takes the place of all of the rule's: so it brings the rest of that along.
    let rewrite = (rewrite != Rewrite::default()).then(|| Rewrite {
        authority: rewrite.authority.or_else(|| of_rule.authority.clone()),
        path: rewrite.path.or_else(|| of_rule.path.clone()),
    });
    let backend = BackendRef {
        weight: written.weight,
        backend: reference.invalid(invalid),
        request_headers: request,
        response_headers: response,
        rewrite,
        mirrors,
    };
    (backend, (reference, mirrored))
}

/// When attempts are made again: after the statuses named, and where there was no answer at all.
fn retry(written: Option<&RouteRetry>, timeouts: &RouteTimeouts, at: &At<'_>, cx: &mut Cx<'_>) -> Option<Retry> {
    let each = timeouts.backend_request.map(|timeout| timeout.0).filter(|timeout| !timeout.is_zero());
    let all = timeouts.request.map(|timeout| timeout.0).filter(|timeout| !timeout.is_zero());
    if let (Some(each), Some(all)) = (each, all)
        && each > all
    {
        let (value, expected) = (format!("{each:?}"), "no more than the timeout of the request");
        cx.error(&at.field("timeouts").field("backendRequest"), L7Problem::Value { value, expected });
    }
    let default = &cx.options.default_retry;
    let Some(RouteRetry { codes, attempts, backoff }) = written else {
        return each.map(|each| Retry { per_try_timeout: Some(each), ..default.clone() });
    };
    let at = at.field("retry");
    let list = at.field("codes");
    let statuses = codes.iter().enumerate().filter_map(|(i, code)| status((*code).into(), 400, &list.index(i), cx));
    let on = RetryOn {
        connect_failure: true,
        refused_stream: true,
        reset: true,
        statuses: statuses.collect(),
        ..RetryOn::default()
    };
    Some(Retry {
        attempts: attempts.unwrap_or(default.attempts),
        per_try_timeout: each,
        on,
        remote_localities: default.remote_localities,
        avoid_previous_hosts: default.avoid_previous_hosts,
        backoff: backoff.map(|backoff| backoff.0).filter(|backoff| !backoff.is_zero()).or(default.backoff),
    })
}
