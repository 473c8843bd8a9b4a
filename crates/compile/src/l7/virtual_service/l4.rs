//! Rules for connections of which only the beginning is known.

use ambit_l7::{L4Match, TcpRule, TlsMatch, TlsRule, Weighted};
use ambit_resources::virtual_service;

use super::http_match::{server_name, source};
use super::{is_for_mesh, weights};
use crate::l7::L7Problem;
use crate::l7::at::At;
use crate::l7::cx::Cx;
use crate::l7::destination::Destination;
use crate::l7::text::{port, subnets};

/// A rule whose destinations are not yet looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct L4Draft<R> {
    pub(crate) rule: R,
    /// Of its backends, one by one.
    pub(crate) destinations: Vec<Destination>,
}

/// A rule for TLS; nothing for one that is for gateways alone.
pub(super) fn tls(written: &virtual_service::TlsRoute, at: &At<'_>, cx: &mut Cx<'_>) -> Option<L4Draft<TlsRule>> {
    if written.matches.is_empty() {
        cx.error(&at.field("match"), L7Problem::Required { what: "a match with sniHosts" });
    }
    let mut matches = Vec::new();
    for (i, found) in written.matches.iter().enumerate() {
        let compiled = tls_match(found, &at.field("match").index(i), cx);
        if found.gateways.is_empty() || is_for_mesh(&found.gateways) {
            matches.push(compiled);
        }
    }
    let (backends, destinations) = backends(&written.route, at, cx);
    let rule = TlsRule { origin: cx.origin_of(at, ""), matches, backends };
    (!rule.matches.is_empty()).then_some(L4Draft { rule, destinations })
}

/// A rule for other connections; nothing for one that is for gateways alone.
pub(super) fn tcp(written: &virtual_service::TcpRoute, at: &At<'_>, cx: &mut Cx<'_>) -> Option<L4Draft<TcpRule>> {
    let mut matches = Vec::new();
    for (i, found) in written.matches.iter().enumerate() {
        let compiled = tcp_match(found, &at.field("match").index(i), cx);
        if found.gateways.is_empty() || is_for_mesh(&found.gateways) {
            matches.push(compiled);
        }
    }
    let nobody = matches.is_empty() && !written.matches.is_empty();
    let (backends, destinations) = backends(&written.route, at, cx);
    let rule = TcpRule { origin: cx.origin_of(at, ""), matches, backends };
    (!nobody).then_some(L4Draft { rule, destinations })
}

fn tls_match(written: &virtual_service::TlsMatch, at: &At<'_>, cx: &mut Cx<'_>) -> TlsMatch {
    let list = at.field("sniHosts");
    if written.sni_hosts.is_empty() {
        cx.error(&list, L7Problem::Required { what: "at least one server name" });
    }
    let names = written.sni_hosts.iter().enumerate();
    TlsMatch {
        server_names: names.filter_map(|(i, name)| server_name(name, &list.index(i), cx)).collect(),
        connection: L4Match {
            destination_subnets: subnets(&written.destination_subnets, &at.field("destinationSubnets"), cx),
            port: port(written.port, &at.field("port"), cx),
            source: source(&written.source_labels, &written.source_namespace, at, cx),
        },
    }
}

fn tcp_match(written: &virtual_service::L4Match, at: &At<'_>, cx: &mut Cx<'_>) -> L4Match {
    let mut source = source(&written.source_labels, &written.source_namespace, at, cx);
    if !written.source_subnet.is_empty() {
        source.subnets = subnets(std::slice::from_ref(&written.source_subnet), &at.field("sourceSubnet"), cx);
    }
    L4Match {
        destination_subnets: subnets(&written.destination_subnets, &at.field("destinationSubnets"), cx),
        port: port(written.port, &at.field("port"), cx),
        source,
    }
}

fn backends(
    written: &[virtual_service::RouteDestination],
    at: &At<'_>,
    cx: &mut Cx<'_>,
) -> (Vec<Weighted>, Vec<Destination>) {
    let at = at.field("route");
    if written.is_empty() {
        cx.error(&at, L7Problem::Required { what: "at least one destination" });
    }
    let weights = weights(written.iter().map(|route| route.weight), &at, cx);
    let routes = written.iter().enumerate();
    let destinations: Vec<_> =
        routes.map(|(i, route)| Destination::of(&route.destination, &at.index(i).field("destination"), cx)).collect();
    let backends = weights.into_iter().zip(&destinations);
    (backends.map(|(weight, to)| Weighted { weight, backend: to.invalid() }).collect(), destinations)
}
