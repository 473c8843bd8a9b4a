mod attachment;
mod filters;
mod precedence;
mod reference;
mod status;
mod streams;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ambit_l7::{ClientView, ConnectionView, HttpAction, HttpRule, HttpTable, Matched, RequestView, ServiceRules};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::l7::fixtures::{Mesh, REVIEWS, backend, said};

const RATINGS: &str = "shop/ratings.shop.svc.cluster.local";
const ANY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// An object of the Gateway API, made at a second of its own.
fn object(kind: &str, name: &str, second: u32, spec: &str) -> String {
    let (namespace, name) = name.split_once('/').unwrap();
    let api = "gateway.networking.k8s.io/v1";
    let version = if kind == "ReferenceGrant" { "gateway.networking.k8s.io/v1beta1" } else { api };
    let made = format!("2026-01-01T00:00:{second:02}Z");
    let spec = spec.replace('\n', "\n  ");
    format!(
        "apiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}, creationTimestamp: '{made}'}}\nspec:\n  {spec}\n---\n"
    )
}

/// A parent, which is a service of `shop`.
fn parent(service: &str) -> String {
    format!("parentRefs: [{{group: '', kind: Service, name: {service}, namespace: shop}}]")
}

/// An HTTPRoute for `reviews`.
fn http(name: &str, second: u32, rules: &str) -> String {
    object("HTTPRoute", name, second, &format!("{}\nrules:\n{rules}", parent("reviews")))
}

/// What a client asks: `METHOD path?query header=value …`, from a namespace if it has one.
fn ask<'t>(table: &'t HttpTable, line: &str, port: u16, namespace: Option<&str>) -> Option<Matched<'t>> {
    with_request(line, port, |request| {
        let labels = BTreeMap::new();
        let client = ClientView { identity: None, ip: ANY, remote_ip: ANY, labels: &labels, namespace };
        table.decide(request, &client)
    })
}

fn with_request<T>(line: &str, port: u16, then: impl FnOnce(&RequestView<'_>) -> T) -> T {
    let mut words = line.split(' ');
    let method: Method = words.next().unwrap().parse().unwrap();
    let target = words.next().unwrap();
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let mut headers = HeaderMap::new();
    let mut authority = "reviews".to_owned();
    for (name, value) in words.filter_map(|word| word.split_once('=')) {
        if name == "host" {
            authority = value.to_owned();
        } else {
            headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        }
    }
    let connection = ConnectionView { destination_ip: ANY, port, server_name: None };
    then(&RequestView {
        method: &method,
        scheme: "http",
        authority: &authority,
        path,
        query,
        headers: &headers,
        connection,
    })
}

/// What decides about a request: the name of its rule, or where that is written.
fn decides(rules: &ServiceRules, line: &str, port: u16, namespace: Option<&str>) -> String {
    let table = HttpTable::new(&rules.http);
    match ask(&table, line, port, namespace) {
        None => "404".to_owned(),
        Some(matched) if !matched.rule.origin.name.is_empty() => matched.rule.origin.name.to_string(),
        Some(matched) => matched.rule.origin.to_string(),
    }
}

/// What a rule does, in one line.
fn action(rule: &HttpRule) -> String {
    match &rule.action {
        HttpAction::Forward(forward) => {
            let one = |of: &ambit_l7::BackendRef| format!("{} {}", of.weight, backend(&of.backend));
            forward.backends.iter().map(one).collect::<Vec<_>>().join(", ")
        }
        HttpAction::Redirect(to) => format!("redirect {}", to.status.as_u16()),
        HttpAction::Respond(with) => format!("respond {}", with.status.as_u16()),
    }
}

/// What one rule of an HTTPRoute for `reviews` comes to, and what is said of it.
fn compile(rule: &str) -> (Arc<ServiceRules>, Vec<String>) {
    let mut mesh = Mesh::new();
    let delta = mesh.put(&http("shop/route", 0, &format!("- {rule}")));
    (mesh.rules(REVIEWS), said(&delta))
}
