//! What is in force, written for people: YAML that names the users' objects and fields.

use std::fmt::Write;

use ambit_l7::{
    Backend, GlobalLimit, HttpAction, HttpMatch, HttpRule, LimitCounter, LimitKey, LimitScope, PathMatch, Pattern,
    Rate, RateLimit, Weighted,
};
use ambit_model::ServiceKey;

use crate::in_force::{Compiled, InForce};
use crate::rate_limit::Limit;

/// What is in force.
pub(crate) fn yaml(in_force: &InForce) -> String {
    let mut out = String::new();
    let mut services: Vec<_> = in_force.config.services.keys().collect();
    services.sort();
    // Writing to a string cannot fail.
    writeln!(out, "waypoint: {}\nidentity: {}\nservices:", in_force.own.service, in_force.own.identity).ok();
    for key in services {
        writeln!(out, "  {}:", quoted(&key.to_string())).ok();
        rules(&mut out, in_force.rules(Some(key)));
        traffic(&mut out, in_force, key);
    }
    writeln!(out, "  # workloads by their own address, and services without rules\n  default:").ok();
    rules(&mut out, in_force.rules(None));
    out
}

fn rules(out: &mut String, compiled: &Compiled) {
    let rules = &compiled.rules;
    for rule in &rules.http {
        http(out, rule);
    }
    for rule in &rules.tls {
        writeln!(out, "    - tls: {}\n      to: {}", quoted(&rule.origin.to_string()), weighted(&rule.backends)).ok();
    }
    for rule in &rules.tcp {
        writeln!(out, "    - tcp: {}\n      to: {}", quoted(&rule.origin.to_string()), weighted(&rule.backends)).ok();
    }
    for policy in &rules.authorization {
        let dry_run = if policy.dry_run { ", dry run" } else { "" };
        let text = format!("{} ({} rules{dry_run})", policy.key, policy.rules.len());
        writeln!(out, "    - policy: {}", quoted(&text)).ok();
    }
    for Limit { attached, .. } in &compiled.limits {
        let scopes: Vec<_> = attached.scopes.iter().map(scope).collect();
        let text = format!("{} of {}", limit(&attached.limit), scopes.join(" and "));
        writeln!(out, "    - limit: {}", quoted(&text)).ok();
    }
    for rule in &rules.jwt {
        writeln!(out, "    - token: {}", quoted(&format!("{} of {}", rule.origin, rule.issuer))).ok();
    }
}

/// A limit, in a line.
pub(crate) fn limit(limit: &RateLimit) -> String {
    let RateLimit { policy, name, when: _, key, counter, dry_run, told: _, resource_exhausted: _ } = limit;
    let counted = match counter {
        LimitCounter::Local(Rate { requests, per, burst }) => format!("{requests} in {per:?}, {burst} at once"),
        LimitCounter::Global(GlobalLimit { service, domain, .. }) => {
            format!("as {}:{} says of {domain}", service.service, service.port)
        }
    };
    let keys: Vec<_> = key.iter().map(LimitKey::name).collect();
    let by = if keys.is_empty() { String::new() } else { format!(" for each {}", keys.join(" and ")) };
    format!("{policy} {name}: {counted}{by}{}", if *dry_run { ", dry run" } else { "" })
}

fn scope(scope: &LimitScope) -> String {
    match scope {
        LimitScope::All => "everything".to_owned(),
        LimitScope::Port(port) => format!("port {port}"),
        LimitScope::Route { object, rule: None } => object.to_string(),
        LimitScope::Route { object, rule: Some(rule) } => format!("{object} {rule}"),
    }
}

fn http(out: &mut String, rule: &HttpRule) {
    writeln!(out, "    - http: {}", quoted(&rule.origin.to_string())).ok();
    for wanted in &rule.matches {
        writeln!(out, "      match: {}", quoted(&matched(wanted))).ok();
    }
    let does = match &rule.action {
        HttpAction::Forward(forward) => {
            let each = forward.backends.iter().map(|one| format!("{} {}", one.weight, backend(&one.backend)));
            format!("to {}", each.collect::<Vec<_>>().join(", "))
        }
        HttpAction::Redirect(redirect) => format!("redirect {}", redirect.status.as_u16()),
        HttpAction::Respond(respond) => format!("respond {}", respond.status.as_u16()),
    };
    writeln!(out, "      does: {}", quoted(&does)).ok();
    if let Some(timeout) = rule.timeout {
        writeln!(out, "      timeout: {timeout:?}").ok();
    }
    if let Some(retry) = &rule.retry {
        writeln!(out, "      attempts: {}", retry.attempts + 1).ok();
    }
    for mirror in &rule.mirrors {
        writeln!(out, "      mirror: {}", quoted(&backend(&mirror.backend))).ok();
    }
}

fn traffic(out: &mut String, in_force: &InForce, key: &ServiceKey) {
    let Some(traffic) = in_force.config.traffic(key) else { return };
    if let Some(origin) = &traffic.origin {
        writeln!(out, "    - traffic: {}", quoted(&origin.to_string())).ok();
        for subset in traffic.subsets.keys() {
            writeln!(out, "      subset: {}", quoted(subset)).ok();
        }
    }
}

fn weighted(backends: &[Weighted]) -> String {
    let each = backends.iter().map(|one| format!("{} {}", one.weight, backend(&one.backend)));
    quoted(&each.collect::<Vec<_>>().join(", "))
}

fn backend(backend: &Backend) -> String {
    match backend {
        Backend::Service { service, port, subset: None } => format!("{service}:{port}"),
        Backend::Service { service, port, subset: Some(subset) } => format!("{service}:{port} subset {subset}"),
        Backend::Invalid { status, reference } => format!("{} ({reference} cannot be used)", status.as_u16()),
    }
}

fn matched(wanted: &HttpMatch) -> String {
    let HttpMatch { name: _, path, scheme, method, authority, headers, query, port, source } = wanted;
    let mut all = Vec::new();
    match path {
        Some(PathMatch::Text { pattern: wanted, ignore_case }) => {
            all.push(format!("path {}{}", pattern(wanted), if *ignore_case { " in any case" } else { "" }));
        }
        Some(PathMatch::Elements(path)) => all.push(format!("path below {path}/")),
        None => {}
    }
    for (what, wanted) in [("scheme", scheme), ("method", method), ("authority", authority)] {
        all.extend(wanted.as_ref().map(|wanted| format!("{what} {}", pattern(wanted))));
    }
    for header in headers {
        let not = if header.inverted { "not " } else { "" };
        all.push(format!("{not}header {} {}", header.name, pattern(&header.value)));
    }
    all.extend(query.iter().map(|query| format!("parameter {} {}", query.name, pattern(&query.value))));
    all.extend(port.map(|port| format!("port {port}")));
    all.extend(source.namespace.as_ref().map(|namespace| format!("from namespace {namespace}")));
    all.extend(source.labels.iter().map(|(name, value)| format!("from {name}={value}")));
    all.extend(source.subnets.iter().map(|subnet| format!("from {subnet}")));
    if all.is_empty() { "everything".to_owned() } else { all.join(" and ") }
}

fn pattern(pattern: &Pattern) -> String {
    match pattern {
        Pattern::Exact(text) => text.to_string(),
        Pattern::Prefix(text) => format!("{text}*"),
        Pattern::Suffix(text) => format!("*{text}"),
        Pattern::Regex(regex) => format!("~ {}", regex.source()),
        Pattern::Present => "*".to_owned(),
    }
}

/// A text in YAML, whatever is in it: JSON's strings are YAML's too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
