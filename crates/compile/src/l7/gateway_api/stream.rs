//! Rules for whole connections, whose backends are not yet looked up.

use std::sync::Arc;

use ambit_l7::{
    BackendRef, Fault, Forward, HeaderChanges, HttpAction, HttpMatch, HttpRule, L4Match, Origin, Pattern, Rewrite,
    SourceMatch, TcpRule, TlsMatch, TlsRule, Weighted,
};
use ambit_resources::gateway_api::StreamRouteRule;
use http::StatusCode;

use super::references::{Finder, Reference};
use crate::l7::L7Problem;
use crate::l7::at::At;
use crate::l7::cx::Cx;
use crate::l7::hosts::is_host;

/// A rule for whole connections, whose backends are not yet looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StreamDraft {
    origin: Origin,
    backends: Vec<(u32, Reference)>,
}

impl StreamDraft {
    pub(super) fn of(written: &StreamRouteRule, at: &At<'_>, cx: &mut Cx<'_>) -> Self {
        let origin = cx.origin_of(at, written.name.as_deref().unwrap_or_default());
        let list = at.field("backendRefs");
        if written.backend_refs.is_empty() {
            cx.error(&list, L7Problem::Required { what: "at least one backend" });
        }
        let backends = written.backend_refs.iter().enumerate();
        let backends = backends.map(|(i, to)| (to.weight, Reference::of(to, &list.index(i), cx))).collect();
        Self { origin, backends }
    }

    /// Everything it refers to.
    pub(super) fn references(&self) -> impl Iterator<Item = &Reference> {
        self.backends.iter().map(|(_, to)| to)
    }

    fn backends(&self, finder: &mut Finder<'_>) -> Vec<Weighted> {
        finder.status = StatusCode::INTERNAL_SERVER_ERROR;
        self.backends.iter().map(|(weight, to)| Weighted { weight: *weight, backend: finder.find(to) }).collect()
    }

    pub(super) fn tcp(&self, client: Option<&Arc<str>>, finder: &mut Finder<'_>) -> Arc<TcpRule> {
        let matches = vec![L4Match { source: source(client), ..L4Match::default() }];
        Arc::new(TcpRule { origin: self.origin.clone(), matches, backends: self.backends(finder) })
    }

    /// One rule for each server name, so that each can find its own place among those of other routes.
    pub(super) fn tls(
        &self,
        names: &[Pattern],
        client: Option<&Arc<str>>,
        finder: &mut Finder<'_>,
    ) -> Vec<Arc<TlsRule>> {
        let backends = self.backends(finder);
        let connection = L4Match { source: source(client), ..L4Match::default() };
        let one = |server_names: Vec<Pattern>| {
            let matches = vec![TlsMatch { server_names, connection: connection.clone() }];
            Arc::new(TlsRule { origin: self.origin.clone(), matches, backends: backends.clone() })
        };
        match names {
            [] => vec![one(Vec::new())],
            names => names.iter().map(|name| one(vec![name.clone()])).collect(),
        }
    }
}

/// A rule for requests, where connections of a TCPRoute turn out to carry some: they go where the others go.
pub(super) fn for_requests(rule: &TcpRule) -> HttpRule {
    let matches = rule.matches.iter().map(|found| HttpMatch {
        port: found.port,
        source: found.source.clone(),
        ..HttpMatch::default()
    });
    let backend = |to: &Weighted| BackendRef {
        weight: to.weight,
        backend: to.backend.clone(),
        request_headers: HeaderChanges::default(),
        response_headers: HeaderChanges::default(),
        rewrite: None,
        mirrors: Vec::new(),
    };
    forwarding(rule.origin.clone(), matches.collect(), rule.backends.iter().map(backend).collect())
}

/// A rule that changes nothing.
pub(super) fn forwarding(origin: Origin, matches: Vec<HttpMatch>, backends: Vec<BackendRef>) -> HttpRule {
    HttpRule {
        origin,
        matches,
        action: HttpAction::Forward(Forward { backends, rewrite: Rewrite::default(), rewrite_to_backend: false }),
        timeout: None,
        retry: None,
        fault: Fault::default(),
        mirrors: Vec::new(),
        cors: None,
        request_headers: HeaderChanges::default(),
        response_headers: HeaderChanges::default(),
    }
}

fn source(client: Option<&Arc<str>>) -> SourceMatch {
    SourceMatch { namespace: client.cloned(), ..SourceMatch::default() }
}

/// The server names of a TLSRoute.
pub(super) fn server_names(written: &[String], at: &At<'_>, cx: &mut Cx<'_>) -> Vec<Pattern> {
    let mut names = Vec::with_capacity(written.len());
    for (i, name) in written.iter().enumerate() {
        if !is_host(name) {
            let expected = "a host name, with or without *. before it";
            cx.error(&at.index(i), L7Problem::Value { value: name.clone(), expected });
        }
        let name = name.to_ascii_lowercase();
        names.push(match name.strip_prefix('*') {
            Some(end) => Pattern::Suffix(end.into()),
            None => Pattern::Exact(name.into()),
        });
    }
    names
}
