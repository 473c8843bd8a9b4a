//! The routes of one service, together.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ambit_l7::{
    Backend, BackendRef, DirectResponse, HeaderChanges, HttpAction, HttpMatch, HttpRule, Origin, PathMatch, Pattern,
    ServiceRules, SourceMatch, TcpRule, TlsMatch, TlsRule, Weighted,
};
use ambit_model::Service;
use ambit_resources::{Kind, ObjectId};
use http::StatusCode;

use super::parents::{Group, Scope, ports_of};
use super::stream::{for_requests, forwarding};
use crate::l7::virtual_service::Rules;

/// A route of a service.
pub(crate) struct Attached {
    pub(crate) id: ObjectId,
    pub(crate) scope: Scope,
    pub(crate) rules: Arc<Rules>,
}

/// What routes come to.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    pub(crate) rules: ServiceRules,
    /// Ports that routes did not get, since another kind has them.
    pub(crate) lost: BTreeMap<ObjectId, BTreeMap<u16, Kind>>,
}

/// What the routes of a service come to, given the oldest first.
pub(crate) fn merge(service: &Service, routes: &[Attached]) -> Merged {
    let all = ports_of(service);
    let mut groups: BTreeMap<&Group, Vec<&Attached>> = BTreeMap::new();
    for route in routes {
        groups.entry(&route.scope.group).or_default().push(route);
    }
    let mut merged = Merged::default();
    // For all clients: ports that are taken, and those of them that requests are routed of.
    let (mut taken, mut governed) = (BTreeSet::new(), BTreeSet::new());
    for (group, routes) in groups {
        let kinds = kinds(&routes, &taken);
        let of = |wanted: &[Kind]| -> BTreeSet<u16> {
            kinds.iter().filter(|(_, kind)| wanted.contains(kind)).map(|(port, _)| *port).collect()
        };
        let requests = of(&[Kind::GrpcRoute, Kind::HttpRoute]);
        merged.add(&routes, &kinds, &all);
        match group {
            Group::Consumer(namespace) => {
                merged.rules.http.extend(narrowed(&nothing_else(namespace), &requests, &all));
            }
            Group::Producer | Group::Waypoint => {
                taken.extend(kinds.keys().copied());
                governed.extend(requests);
                governed.extend(of(&[Kind::TcpRoute]));
            }
        }
    }
    if !merged.rules.http.is_empty() {
        for port in all.difference(&governed) {
            merged.rules.http.push(Arc::new(as_without_routes(service, *port, all.len() > 1)));
        }
    }
    merged
}

/// The kind of routes that has each of the ports that are not taken.
fn kinds(routes: &[&Attached], taken: &BTreeSet<u16>) -> BTreeMap<u16, Kind> {
    let mut kinds: BTreeMap<u16, Kind> = BTreeMap::new();
    for route in routes {
        for port in route.scope.ports.difference(taken) {
            let has = kinds.entry(*port).or_insert(route.id.kind);
            if precedence(route.id.kind) < precedence(*has) {
                *has = route.id.kind;
            }
        }
    }
    kinds
}

/// Of routes of several kinds for one port the first of these count.
const PRECEDENCE: [Kind; 4] = [Kind::GrpcRoute, Kind::HttpRoute, Kind::TlsRoute, Kind::TcpRoute];

fn precedence(kind: Kind) -> Option<usize> {
    PRECEDENCE.iter().position(|known| *known == kind)
}

impl Merged {
    /// Adds the routes of a group, each for the ports that its kind has.
    fn add(&mut self, routes: &[&Attached], kinds: &BTreeMap<u16, Kind>, all: &BTreeSet<u16>) {
        let (mut http, mut grpc, mut tls, mut tcp) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for route in routes {
            let mut won = BTreeSet::new();
            for port in &route.scope.ports {
                match kinds.get(port) {
                    Some(kind) if *kind == route.id.kind => drop(won.insert(*port)),
                    Some(kind) => drop(self.lost.entry(route.id.clone()).or_default().insert(*port, *kind)),
                    // Routes of the service's own have it: these are for where there are none.
                    None => {}
                }
            }
            let requests = if route.id.kind == Kind::GrpcRoute { &mut grpc } else { &mut http };
            requests.extend(route.rules.http.iter().flat_map(|rule| narrowed(rule, &won, all)));
            tls.extend(route.rules.tls.iter().flat_map(|rule| narrowed(rule, &won, all)));
            tcp.extend(route.rules.tcp.iter().flat_map(|rule| narrowed(rule, &won, all)));
        }
        // Stable: of matches alike the oldest route's comes first, and of one route's the first.
        http.sort_by_cached_key(|rule| Reverse(http_rank(rule)));
        grpc.sort_by_cached_key(|rule| Reverse(grpc_rank(rule)));
        tls.sort_by_cached_key(|rule| Reverse(tls_rank(rule)));
        self.rules.http.extend(grpc.into_iter().chain(http));
        self.rules.http.extend(tcp.iter().map(|rule| Arc::new(for_requests(rule))));
        let closing = last_of(&tls);
        self.rules.tls.extend(tls.into_iter().chain(closing));
        self.rules.tcp.extend(tcp);
    }
}

/// How much an HTTPRoute's match asks for. Where expressions stand is left open by the API: before prefixes,
/// since every request has one of these.
fn http_rank(rule: &HttpRule) -> (u8, usize, bool, usize, usize) {
    let Some(HttpMatch { path, method, headers, query, .. }) = rule.matches.first() else {
        return (0, 0, false, 0, 0);
    };
    let (sort, length) = match path {
        Some(PathMatch::Text { pattern: Pattern::Exact(path), .. }) => (3, path.len()),
        Some(PathMatch::Text { pattern: Pattern::Regex(regex), .. }) => (2, regex.source().len()),
        Some(PathMatch::Elements(prefix)) => (1, prefix.len()),
        Some(PathMatch::Text { .. }) | None => (0, 0),
    };
    (sort, length, method.is_some(), headers.len(), query.len())
}

/// How much a GRPCRoute's match asks for: of the service, of the method, of headers.
fn grpc_rank(rule: &HttpRule) -> (usize, usize, usize) {
    let Some(HttpMatch { path, headers, .. }) = rule.matches.first() else { return (0, 0, 0) };
    let Some(PathMatch::Text { pattern, .. }) = path else { return (0, 0, headers.len()) };
    let (service, method) = match pattern {
        Pattern::Exact(call) | Pattern::Prefix(call) => {
            let (service, method) = call.trim_start_matches('/').split_once('/').unwrap_or_default();
            (service.len(), method.len())
        }
        Pattern::Suffix(method) => (0, method.len().saturating_sub(1)),
        Pattern::Regex(_) | Pattern::Present => (0, 0),
    };
    (service, method, headers.len())
}

/// How much a TLSRoute's server name says.
fn tls_rank(rule: &TlsRule) -> (u8, usize) {
    match rule.matches.first().and_then(|found| found.server_names.first()) {
        Some(Pattern::Exact(name)) => (2, name.len()),
        Some(Pattern::Suffix(end)) => (1, end.len()),
        _ => (0, 0),
    }
}

/// What connections for other server names come to: they are refused.
fn last_of(rules: &[Arc<TlsRule>]) -> Vec<Arc<TlsRule>> {
    let mut places: Vec<&TlsMatch> = Vec::new();
    for found in rules.iter().flat_map(|rule| &rule.matches) {
        if !places.iter().any(|known| known.connection == found.connection) {
            places.push(found);
        }
    }
    let close = |found: &TlsMatch| {
        let matches = vec![TlsMatch { server_names: Vec::new(), connection: found.connection.clone() }];
        let reference = "no TLSRoute has this server name".into();
        let backend = Backend::Invalid { status: StatusCode::INTERNAL_SERVER_ERROR, reference };
        let origin = Origin { object: "TLSRoutes".into(), field: "spec.hostnames".into(), name: "".into() };
        Arc::new(TlsRule { origin, matches, backends: vec![Weighted { weight: 1, backend }] })
    };
    places.into_iter().map(close).collect()
}

/// What requests of a namespace with routes of its own come to where none matches: nobody else's count for them.
fn nothing_else(namespace: &Arc<str>) -> Arc<HttpRule> {
    let source = SourceMatch { namespace: Some(Arc::clone(namespace)), ..SourceMatch::default() };
    let object = format!("routes of namespace {namespace}").into();
    let origin = Origin { object, field: "spec.rules".into(), name: "no match".into() };
    let mut rule = forwarding(origin, vec![HttpMatch { source, ..HttpMatch::default() }], Vec::new());
    rule.action = HttpAction::Respond(DirectResponse { status: StatusCode::NOT_FOUND, body: bytes::Bytes::new() });
    Arc::new(rule)
}

/// A rule for a port, or all of them, that has no routes: as if the others had none either.
pub(crate) fn as_without_routes(service: &Service, port: u16, one_of_several: bool) -> HttpRule {
    let found = HttpMatch { port: one_of_several.then_some(port), ..HttpMatch::default() };
    let object = format!("Service {}", service.key).into();
    let origin = Origin { object, field: "spec.ports".into(), name: "no routes".into() };
    let backend = BackendRef {
        weight: 1,
        backend: Backend::Service { service: service.key.clone(), port, subset: None },
        request_headers: HeaderChanges::default(),
        response_headers: HeaderChanges::default(),
        rewrite: None,
        mirrors: Vec::new(),
    };
    forwarding(origin, vec![found], vec![backend])
}

/// A rule that can be narrowed to a port.
trait Narrow: Clone {
    fn to_port(&mut self, port: u16);
}

impl Narrow for HttpRule {
    fn to_port(&mut self, port: u16) {
        self.matches.iter_mut().for_each(|found| found.port = Some(port));
    }
}

impl Narrow for TlsRule {
    fn to_port(&mut self, port: u16) {
        self.matches.iter_mut().for_each(|found| found.connection.port = Some(port));
    }
}

impl Narrow for TcpRule {
    fn to_port(&mut self, port: u16) {
        self.matches.iter_mut().for_each(|found| found.port = Some(port));
    }
}

/// A rule for some ports of all: itself, where they are all.
fn narrowed<R: Narrow>(rule: &Arc<R>, ports: &BTreeSet<u16>, all: &BTreeSet<u16>) -> Vec<Arc<R>> {
    if ports == all {
        return vec![Arc::clone(rule)];
    }
    let one = |port: &u16| {
        let mut rule = R::clone(rule);
        rule.to_port(*port);
        Arc::new(rule)
    };
    ports.iter().map(one).collect()
}
