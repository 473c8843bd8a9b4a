//! `/explain`: which rule decides about a request, and why the others do not.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

use ::http::request::Parts;
use ::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use ambit_l7::{
    AttachedLimit, BadForwardedFor, ClientView, ConnectionView, HttpFacts, RequestView, explain_http, normalise,
};
use ambit_model::{Identity, Service};
use ambit_runtime::http::{Reply, query, query_all, text};

use crate::connection::no_labels;
use crate::in_force::InForce;
use crate::rate_limit::Limit;
use crate::{policy, routes};

/// How it is asked.
pub(crate) const HELP: &str =
    "?service=name.namespace&port=80&method=GET&authority=..&path=/..&header=name:value&source=namespace/account";

/// A question.
struct Question {
    method: Method,
    authority: String,
    path: String,
    query: Option<String>,
    headers: HeaderMap,
    identity: Option<Identity>,
    ip: IpAddr,
}

/// Answers a question.
pub(crate) fn answer(in_force: &InForce, request: &Parts) -> Reply {
    match explain(in_force, request) {
        Ok(explanation) => text(StatusCode::OK, explanation),
        Err(wrong) => text(StatusCode::BAD_REQUEST, format!("{wrong}\nask {HELP}\n")),
    }
}

fn explain(in_force: &InForce, request: &Parts) -> Result<String, &'static str> {
    let name = query(request, "service").ok_or("which service?")?;
    let service = find(in_force, &name).ok_or("there is no such service")?;
    let first = service.ports.first().map_or(80, |port| port.port);
    let port = query(request, "port").map_or(Ok(first), |port| port.parse().map_err(|_| "the port is no number"))?;
    let question = Question::read(in_force, request, service)?;
    let ip = service.addresses.first().copied().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let view = RequestView {
        method: &question.method,
        scheme: "http",
        authority: &question.authority,
        path: &question.path,
        query: question.query.as_deref(),
        headers: &question.headers,
        connection: ConnectionView { destination_ip: ip, port, server_name: None },
    };
    let remote = in_force.config.topology.client(&question.headers);
    let remote = remote.map_err(|BadForwardedFor| "X-Forwarded-For would be refused")?;
    let client = ClientView {
        identity: question.identity.as_ref(),
        ip: question.ip,
        remote_ip: remote.unwrap_or(question.ip),
        labels: no_labels(),
        namespace: question.identity.as_ref().map(Identity::namespace),
    };
    Ok(said(in_force, service, &view, &client))
}

fn said(in_force: &InForce, service: &Service, view: &RequestView<'_>, client: &ClientView<'_>) -> String {
    let rules = in_force.rules(Some(&service.key));
    let mut out = format!("{} {} for {} of {}\n", view.method, view.path, view.authority, service.key);
    // Writing to a string cannot fail.
    let facts = HttpFacts { request: view, client, claims: None };
    match policy::judge_again(rules, &facts, &[]) {
        Ok(()) => writeln!(out, "policy: allowed").ok(),
        Err(reason) => writeln!(out, "policy: denied: {reason}").ok(),
    };
    if !in_force.stands_before(service) {
        writeln!(out, "the service is not bound to this waypoint: nobody asks it").ok();
    }
    if rules.http.rules().is_empty() {
        writeln!(out, "no rules: it goes on to {} as it is", service.key).ok();
    } else if rules.http.decide(view, client).is_none() {
        writeln!(out, "no rule matches: 404").ok();
    }
    for explanation in explain_http(rules.http.rules(), view, client) {
        writeln!(out, "- {explanation}").ok();
    }
    let decided = rules.http.decide(view, client).map(|matched| &matched.rule.origin);
    let counts =
        |attached: &AttachedLimit| attached.is_for(view.connection.port, decided) && attached.limit.concerns(&facts);
    for Limit { attached, .. } in rules.limits.iter().filter(|limit| counts(&limit.attached)) {
        writeln!(out, "limit: {}", routes::limit(&attached.limit)).ok();
    }
    out
}

/// A service by `namespace/hostname`, its host name, `name.namespace` or its address.
fn find<'a>(in_force: &'a InForce, name: &str) -> Option<&'a Service> {
    if let Ok(ip) = name.parse() {
        return in_force.snapshot.service_by_vip(ip).map(|service| &**service);
    }
    let is_it = |service: &&std::sync::Arc<Service>| {
        let key = &service.key;
        key.to_string() == name || *key.hostname == *name || format!("{}.{}", service.name, key.namespace) == name
    };
    in_force.snapshot.services().find(is_it).map(|service| &**service)
}

impl Question {
    fn read(in_force: &InForce, request: &Parts, service: &Service) -> Result<Self, &'static str> {
        let method = query(request, "method").unwrap_or_else(|| "GET".to_owned());
        let target = query(request, "path").unwrap_or_else(|| "/".to_owned());
        let (path, asked) = match target.split_once('?') {
            Some((path, asked)) => (path, Some(asked.to_owned())),
            None => (target.as_str(), None),
        };
        let path =
            normalise(path, in_force.config.path_normalization).map_err(|_| "the path would be refused")?.into_owned();
        let mut headers = HeaderMap::new();
        for header in query_all(request, "header") {
            let (name, value) = header.split_once(':').ok_or("a header is written name:value")?;
            let name: HeaderName = name.trim().parse().map_err(|_| "a header's name is none")?;
            let value = HeaderValue::from_str(value.trim()).map_err(|_| "a header's value is none")?;
            headers.append(name, value);
        }
        let (mut identity, mut ip) = (None, IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        if let Some(source) = query(request, "source") {
            let trust_domain = in_force.own.identity.trust_domain();
            if let Ok(address) = source.parse() {
                ip = address;
                identity = in_force.snapshot.workload_by_ip(ip).map(|workload| workload.identity.clone());
            } else {
                let (namespace, account) =
                    source.split_once('/').ok_or("a source is an address or namespace/account")?;
                identity = Some(Identity::new(trust_domain, namespace, account));
            }
        }
        Ok(Self {
            method: method.parse().map_err(|_| "the method is none")?,
            authority: query(request, "authority").unwrap_or_else(|| service.key.hostname.to_string()),
            path,
            query: asked,
            headers,
            identity,
            ip,
        })
    }
}
