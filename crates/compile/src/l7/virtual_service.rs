//! VirtualService: where requests and connections to some hosts go.
//!
//! What one means is found out in two steps. [`VirtualService::prepare`] depends on the object alone and takes
//! nearly all of the time; [`VirtualService::rules`] looks its destinations up, for one of the services it is about.

mod answers;
mod cors;
mod delegate;
mod fault;
mod headers;
mod http;
mod http_match;
mod l4;
mod look_up;
mod retry;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ambit_l7::{TcpRule, TlsRule};
use ambit_resources::virtual_service::{HttpRoute, VirtualServiceSpec};
use ambit_resources::{Kind, ObjectId};

use self::http::HttpDraft;
use super::L7Problem;
use super::at::At;
use super::cx::Cx;
use super::hosts::{HostPattern, is_exported, is_host};
use l4::L4Draft;
pub(crate) use look_up::{LookUp, Rules};
pub(crate) use retry::retry;

/// A VirtualService by itself.
#[derive(Debug)]
pub(crate) struct VirtualService {
    /// The services it is about; none for one that is only delegated to.
    pub(crate) hosts: BTreeSet<HostPattern>,
    export_to: Vec<String>,
    http: Vec<Part>,
    /// With their places in the object.
    tls: Vec<(usize, L4Draft<TlsRule>)>,
    tcp: Vec<(usize, L4Draft<TcpRule>)>,
    /// The rules as they are written, where others delegate to them.
    delegated: Vec<HttpRoute>,
}

/// A rule, or what stands for the rules of another VirtualService.
#[derive(Debug)]
enum Part {
    Rule {
        at: usize,
        draft: Arc<HttpDraft>,
        /// What it is known again by in the next version of the object; none where something is to be said of it.
        print: Option<u64>,
    },
    Delegate {
        to: ObjectId,
        at: usize,
        route: Box<HttpRoute>,
    },
}

impl VirtualService {
    /// What an object means by itself; nothing where it is for gateways alone. Worth something only where there
    /// are no errors among the findings.
    pub(crate) fn prepare(spec: &VirtualServiceSpec, cx: &mut Cx<'_>) -> Option<Self> {
        let at = At::SPEC;
        check(spec, &at, cx);
        let hosts = hosts(&spec.hosts, &at.field("hosts"), cx);
        let is_root = !spec.hosts.is_empty();
        let parts = |(i, route): (usize, &HttpRoute)| match is_root {
            true => part(i, route, &at.field("http"), cx),
            false => delegate::check(route, &at.field("http").index(i), cx),
        };
        let http = spec.http.iter().enumerate().filter_map(parts).collect();
        let tls = spec.tls.iter().enumerate();
        let tls = tls.filter_map(|(i, route)| Some((i, l4::tls(route, &at.field("tls").index(i), cx)?))).collect();
        let tcp = spec.tcp.iter().enumerate();
        let tcp = tcp.filter_map(|(i, route)| Some((i, l4::tcp(route, &at.field("tcp").index(i), cx)?))).collect();
        let delegated = if is_root { Vec::new() } else { spec.http.clone() };
        let own = Self { hosts, export_to: spec.export_to.clone(), http, tls, tcp, delegated };
        (spec.gateways.is_empty() || is_for_mesh(&spec.gateways)).then_some(own)
    }

    /// The VirtualServices it delegates to.
    pub(crate) fn delegates(&self) -> impl Iterator<Item = &ObjectId> {
        self.http.iter().filter_map(|part| match part {
            Part::Delegate { to, .. } => Some(to),
            Part::Rule { .. } => None,
        })
    }

    /// Whether it is in force for services of a namespace, at a waypoint of another: by the API's documents it is
    /// where it is written that counts, in the namespace of either; and it must not be hidden from that one.
    pub(crate) fn is_seen(&self, own: &str, service: &str, waypoint: &str, default: &[String]) -> bool {
        (own == service || own == waypoint)
            && [service, waypoint].iter().any(|namespace| is_exported(&self.export_to, default, own, namespace))
    }
}

/// Whether gateways are, or contain, the mesh itself.
fn is_for_mesh(gateways: &[String]) -> bool {
    gateways.iter().any(|gateway| gateway == "mesh")
}

fn part(index: usize, route: &HttpRoute, list: &At<'_>, cx: &mut Cx<'_>) -> Option<Part> {
    let at = list.index(index);
    let Some(to) = &route.delegate else {
        return rule(index, route, &at, cx);
    };
    delegate::check_root(route, &at, cx);
    let namespace = if to.namespace.is_empty() { cx.namespace().clone() } else { to.namespace.as_str().into() };
    let to = ObjectId { kind: Kind::VirtualService, namespace, name: to.name.as_str().into() };
    Some(Part::Delegate { to, at: index, route: Box::new(delegate::qualified(route, cx)) })
}

/// A rule, as it was made for the version before where it is the same: of thousands of rules one changes at a time.
fn rule(index: usize, route: &HttpRoute, at: &At<'_>, cx: &mut Cx<'_>) -> Option<Part> {
    let print = cx.print_of(route);
    let before = cx.before.as_ref().and_then(|before| before.http.get(index));
    if let Some(Part::Rule { at, draft, print: Some(known) }) = before
        && (*at, *known) == (index, print)
    {
        return Some(Part::Rule { at: index, draft: Arc::clone(draft), print: Some(print) });
    }
    let said = cx.findings.issues.len();
    let draft = Arc::new(http::rule(route, at, cx)?);
    let print = (cx.findings.issues.len() == said).then_some(print);
    Some(Part::Rule { at: index, draft, print })
}

fn check(spec: &VirtualServiceSpec, at: &At<'_>, cx: &mut Cx<'_>) {
    if spec.http.is_empty() && spec.tls.is_empty() && spec.tcp.is_empty() {
        cx.error(at, L7Problem::Required { what: "http, tls or tcp" });
    }
    let delegated = spec.hosts.is_empty();
    for (field, there) in
        [("gateways", !spec.gateways.is_empty()), ("tls", !spec.tls.is_empty()), ("tcp", !spec.tcp.is_empty())]
    {
        if delegated && there {
            cx.error(&at.field(field), L7Problem::RequiredWith { what: "hosts" });
        }
    }
    for (i, namespace) in spec.export_to.iter().enumerate() {
        if !matches!(namespace.as_str(), "*" | "." | "~") && !ambit_resources::is_name(namespace, false) {
            let value = namespace.clone();
            let expected = "the name of a namespace, *, . or ~";
            cx.error(&at.field("exportTo").index(i), L7Problem::Value { value, expected });
        }
    }
}

fn hosts(written: &[String], at: &At<'_>, cx: &mut Cx<'_>) -> BTreeSet<HostPattern> {
    let mut found = BTreeSet::new();
    for (i, host) in written.iter().enumerate() {
        let at = at.index(i);
        if host == "*" {
            cx.error(&at, L7Problem::EveryHost);
        } else if host.parse::<IpAddr>().is_ok() {
            let reason = "services are known by their host names, not by addresses";
            cx.error(&at, L7Problem::Unsupported { reason });
        } else if !is_host(host) {
            let expected = "a host name, with or without *. before it";
            cx.error(&at, L7Problem::Value { value: host.clone(), expected });
        }
        found.extend(HostPattern::of(host, cx.namespace(), &cx.options.cluster_domain));
    }
    found
}

/// The weights of destinations. One alone needs none.
fn weights(written: impl Iterator<Item = u32>, at: &At<'_>, cx: &mut Cx<'_>) -> Vec<u32> {
    let weights: Vec<u32> = written.collect();
    if let [_] = weights.as_slice() {
        return vec![1];
    }
    let sum: u64 = weights.iter().copied().map(u64::from).sum();
    if sum == 0 && !weights.is_empty() {
        cx.error(at, L7Problem::NoWeight);
    }
    if sum > u32::MAX.into() {
        cx.error(at, L7Problem::TooMuchWeight);
    }
    weights
}

#[cfg(test)]
mod tests;
