//! Routes of the Gateway API: HTTPRoute, GRPCRoute, TLSRoute and TCPRoute, attached to services (a mesh's routes)
//! or to the waypoint, whose services they then all are for.
//!
//! Where routes are attached to a service, only they count there: of those of its own namespace (producer routes)
//! all clients' requests, of those of another (consumer routes) the requests of clients of that namespace, which no
//! other routes are then for; those attached to the waypoint where the service has none. A port for which
//! there is none is served as if there were none at all. VirtualServices for such a service are out of
//! force. In a group the most specific match counts, of whichever route ([`merge`](mod@merge)); of routes of several
//! kinds for one port GRPCRoutes count, then HTTPRoutes, TLSRoutes, TCPRoutes.
//!
//! Routes that are attached to services may lead to any namespace, as the API has it for meshes: they say nothing that
//! their clients could not do themselves, and it is the clients that policies judge. Those that are attached to
//! the waypoint need a ReferenceGrant.

mod admission;
mod backend_tls;
mod cors;
mod filters;
mod matches;
mod merge;
mod parents;
mod problem;
mod references;
mod rule;
mod status;
mod stream;

use std::collections::BTreeSet;

use ambit_l7::Pattern;
use ambit_resources::ObjectId;
use ambit_resources::gateway_api::{
    GrpcRouteSpec, HttpRouteRule, HttpRouteSpec, ParentRef, TcpRouteSpec, TlsRouteSpec,
};
use http::StatusCode;

use super::L7Problem;
use super::at::At;
use super::cx::Cx;
use super::directory::Directory;
use super::targets::Target;
use super::virtual_service::Rules;
pub(crate) use admission::{Admission, Grant, Listeners};
pub(crate) use backend_tls::{BackendTls, secured};
pub(crate) use merge::{Attached, Merged, as_without_routes, merge};
use parents::Parent;
pub(crate) use parents::{Group, Scope, ServiceParent};
pub use problem::RouteProblem;
use references::{Finder, Lookup, Reference};
use rule::HttpDraft;
pub use status::{Accepted, ParentStatus, ResolvedRefs, RouteCondition, RouteStatus};
pub(crate) use status::{Known, why_refused};
use stream::StreamDraft;

/// A route by itself.
#[derive(Debug)]
pub(crate) struct Route {
    /// What it is attached to.
    pub(crate) targets: BTreeSet<Target>,
    parents: Vec<Parent>,
    /// The services it is for, of those of the waypoint it is attached to.
    hostnames: Vec<String>,
    rules: Drafts,
}

#[derive(Debug)]
enum Drafts {
    Http(Vec<HttpDraft>),
    Tls { names: Vec<Pattern>, rules: Vec<StreamDraft> },
    Tcp(Vec<StreamDraft>),
}

impl Route {
    /// What an HTTPRoute means by itself; nothing for one that is none of this waypoint's. Worth something only where
    /// there are no errors among the findings, here as below.
    pub(crate) fn http(spec: &HttpRouteSpec, cx: &mut Cx<'_>) -> Option<Self> {
        let parents = parents(&spec.parent_refs, cx)?;
        // As the API has it: without rules there is one for all requests, which leads nowhere.
        let default = [HttpRouteRule::default()];
        let rules = if spec.rules.is_empty() { &default } else { spec.rules.as_slice() };
        let rules = Drafts::Http(each(rules, rule::http, cx));
        Some(Self::of(parents, &spec.hostnames, rules, cx))
    }

    /// What a GRPCRoute means by itself.
    pub(crate) fn grpc(spec: &GrpcRouteSpec, cx: &mut Cx<'_>) -> Option<Self> {
        let parents = parents(&spec.parent_refs, cx)?;
        let rules = Drafts::Http(each(&spec.rules, rule::grpc, cx));
        Some(Self::of(parents, &spec.hostnames, rules, cx))
    }

    /// What a TLSRoute means by itself. Its host names are what clients of any service ask for.
    pub(crate) fn tls(spec: &TlsRouteSpec, cx: &mut Cx<'_>) -> Option<Self> {
        let parents = parents(&spec.parent_refs, cx)?;
        let names = stream::server_names(&spec.hostnames, &At::SPEC.field("hostnames"), cx);
        let rules = each(&spec.rules, StreamDraft::of, cx);
        Some(Self::of(parents, &[], Drafts::Tls { names, rules }, cx))
    }

    /// What a TCPRoute means by itself.
    pub(crate) fn tcp(spec: &TcpRouteSpec, cx: &mut Cx<'_>) -> Option<Self> {
        let parents = parents(&spec.parent_refs, cx)?;
        let rules = Drafts::Tcp(each(&spec.rules, StreamDraft::of, cx));
        Some(Self::of(parents, &[], rules, cx))
    }

    fn of(parents: Vec<Parent>, hostnames: &[String], rules: Drafts, cx: &mut Cx<'_>) -> Self {
        let targets: BTreeSet<_> = parents.iter().map(|parent| parent.target.clone()).collect();
        if !hostnames.is_empty() && !targets.contains(&Target::Waypoint) {
            let reason = "the services it is attached to say which requests it is about";
            cx.warning(&At::SPEC.field("hostnames"), L7Problem::NoEffect { reason });
        }
        Self { targets, parents, hostnames: hostnames.to_vec(), rules }
    }

    /// Which requests to a service it is about; nothing if none are.
    pub(crate) fn scope(&self, id: &ObjectId, of: &ServiceParent<'_>) -> Option<Scope> {
        of.scope(id, &self.parents, &self.hostnames)
    }

    /// What it routes of one of the services it is attached to.
    pub(crate) fn rules(&self, of: &ServiceParent<'_>, directory: &Directory, cx: &mut Cx<'_>) -> Rules {
        let from = &cx.origin.id;
        let Some(scope) = self.scope(from, of) else { return Rules::default() };
        let client = match &scope.group {
            Group::Consumer(namespace) => Some(namespace),
            Group::Producer | Group::Waypoint => None,
        };
        let mut finder = Finder {
            with: Lookup { directory, grants: of.grants(&scope.group), from },
            status: StatusCode::INTERNAL_SERVER_ERROR,
            problems: Vec::new(),
            looked_up: BTreeSet::new(),
        };
        let mut rules = Rules::default();
        let spec = At::SPEC;
        let list = spec.field("rules");
        for at in 0..self.rules.len() {
            match &self.rules {
                Drafts::Http(of) => {
                    let found = of.get(at).map(|of| of.rules(client, &mut finder));
                    rules.http.extend(found.into_iter().flatten());
                }
                Drafts::Tls { names, rules: of } => {
                    let found = of.get(at).map(|of| of.tls(names, client, &mut finder));
                    rules.tls.extend(found.into_iter().flatten());
                }
                Drafts::Tcp(of) => rules.tcp.extend(of.get(at).map(|of| of.tcp(client, &mut finder))),
            }
            for problem in finder.problems.drain(..) {
                cx.warning(&list.index(at).field("backendRefs"), problem.into());
            }
        }
        rules.looked_up = finder.looked_up;
        rules
    }

    /// Everything its rules refer to.
    fn references(&self) -> Vec<&Reference> {
        match &self.rules {
            Drafts::Http(rules) => rules.iter().flat_map(HttpDraft::references).collect(),
            Drafts::Tls { rules, .. } | Drafts::Tcp(rules) => rules.iter().flat_map(StreamDraft::references).collect(),
        }
    }

    /// Of each rule, what of it cannot be done.
    fn unsupported(&self) -> Vec<Option<&RouteProblem>> {
        match &self.rules {
            Drafts::Http(rules) => rules.iter().map(|rule| rule.unsupported.as_ref()).collect(),
            Drafts::Tls { rules, .. } | Drafts::Tcp(rules) => rules.iter().map(|_| None).collect(),
        }
    }
}

impl Drafts {
    fn len(&self) -> usize {
        match self {
            Self::Http(rules) => rules.len(),
            Self::Tls { rules, .. } | Self::Tcp(rules) => rules.len(),
        }
    }
}

/// What an object is attached to; nothing for one that is attached to nothing of a waypoint's.
fn parents(written: &[ParentRef], cx: &Cx<'_>) -> Option<Vec<Parent>> {
    let found: Vec<_> = written.iter().enumerate().filter_map(|(at, written)| Parent::of(at, written, cx)).collect();
    (!found.is_empty()).then_some(found)
}

/// Rules one by one.
fn each<W, D>(written: &[W], compile: impl Fn(&W, &At<'_>, &mut Cx<'_>) -> D, cx: &mut Cx<'_>) -> Vec<D> {
    let spec = At::SPEC;
    let list = spec.field("rules");
    written.iter().enumerate().map(|(i, written)| compile(written, &list.index(i), cx)).collect()
}

#[cfg(test)]
mod tests;
