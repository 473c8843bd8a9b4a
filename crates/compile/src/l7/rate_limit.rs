//! RateLimitPolicy: how many requests there may be.

mod attached;

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use ambit_l7::{
    Condition, GlobalLimit, HttpAuthorizationRule, LimitCounter, LimitKey, LimitService, Operation, PathPattern, Rate,
    RateLimit, Source,
};
use ambit_model::{PolicyKey, ServiceKey};
use ambit_resources::rate_limit_policy as written;
use ambit_resources::{RateLimitPolicySpec, is_name};

use super::L7Problem;
use super::at::At;
use super::authorization::{patterns, principals};
use super::cx::Cx;
use super::directory::Directory;
use super::hosts::full_names;
use super::text::{header_name, pattern};
pub(crate) use attached::Attachment;

/// The field's: who counts must not become what everybody waits for.
const DEFAULT_TIMEOUT: Duration = Duration::from_millis(20);

/// A policy by itself.
#[derive(Debug)]
pub(crate) struct Limits {
    pub(crate) attachment: Attachment,
    /// What the host of the service that counts may mean, the likeliest first.
    pub(crate) names: Vec<Arc<str>>,
    limits: Vec<Arc<RateLimit>>,
}

impl Limits {
    /// What a policy means by itself. Worth something only where there are no errors among the findings.
    pub(crate) fn prepare(spec: &RateLimitPolicySpec, cx: &mut Cx<'_>) -> Self {
        let at = At::SPEC;
        let attachment = Attachment::prepare(&spec.target_refs, &at.field("targetRefs"), cx);
        let service = spec.global.as_ref().map(|global| Arc::new(service(global, &at.field("global"), cx)));
        let global = spec.global.as_ref().zip(service.as_ref());
        let list = at.field("rules");
        if spec.rules.is_empty() {
            cx.error(&list, L7Problem::Required { what: "at least one rule" });
        }
        let mut names = HashSet::new();
        let mut limits = Vec::with_capacity(spec.rules.len());
        for (i, rule) in spec.rules.iter().enumerate() {
            let at = list.index(i);
            check_name(&rule.name, &mut names, &at.field("name"), cx);
            let Some(counter) = counter(rule, global, &at, cx) else { continue };
            limits.push(Arc::new(RateLimit {
                policy: PolicyKey { namespace: Arc::clone(cx.namespace()), name: Arc::clone(&cx.origin.id.name) },
                name: rule.name.as_str().into(),
                when: rule.matches.as_ref().map(|of| when(of, &at.field("match"), cx)).unwrap_or_default(),
                key: keys(&rule.key, &at.field("key"), cx),
                counter,
                dry_run: rule.dry_run,
                told: rule.response_headers.unwrap_or(!rule.dry_run),
                resource_exhausted: spec.rate_limited_as_resource_exhausted,
            }));
        }
        let host = spec.global.as_ref().map(|global| &global.host);
        let names = host.map(|host| full_names(host, cx.namespace(), &cx.options.cluster_domain)).unwrap_or_default();
        Self { attachment, names, limits }
    }

    /// The limits, with the service that counts; the problem where that is not there: it cannot be asked then.
    pub(crate) fn look_up(&self, own: &str, directory: &Directory) -> (Arc<[Arc<RateLimit>]>, Option<L7Problem>) {
        let Some(host) = self.names.first() else { return (self.limits.clone().into(), None) };
        let Some(found) = directory.find(&self.names, &[own]) else {
            return (self.limits.clone().into(), Some(L7Problem::NoLimitService { host: Arc::clone(host) }));
        };
        let with_service = |limit: &Arc<RateLimit>| {
            let LimitCounter::Global(global) = &limit.counter else { return Arc::clone(limit) };
            let service = Arc::new(LimitService { service: found.key.clone(), ..(*global.service).clone() });
            let counter = LimitCounter::Global(GlobalLimit { service, ..global.clone() });
            Arc::new(RateLimit { counter, ..(**limit).clone() })
        };
        (self.limits.iter().map(with_service).collect(), None)
    }
}

/// By its name a rule is known in logs, metrics and headers.
fn check_name<'n>(name: &'n str, names: &mut HashSet<&'n str>, at: &At<'_>, cx: &mut Cx<'_>) {
    if !is_name(name, false) {
        let expected = "a name of lower-case letters, digits and dashes";
        cx.error(at, L7Problem::Value { value: name.to_owned(), expected });
    } else if !names.insert(name) {
        cx.error(at, L7Problem::Twice { name: name.to_owned() });
    }
}

fn service(written: &written::LimitService, at: &At<'_>, cx: &mut Cx<'_>) -> LimitService {
    if written.host.is_empty() {
        cx.error(&at.field("host"), L7Problem::Required { what: "the host of a service" });
    }
    if written.port == 0 {
        cx.error(&at.field("port"), L7Problem::Required { what: "the number of a port" });
    }
    let timeout = written.timeout.map_or(DEFAULT_TIMEOUT, |timeout| timeout.0);
    if timeout.is_zero() {
        cx.error(&at.field("timeout"), L7Problem::TooShort { least: "1ns" });
    }
    LimitService {
        // Until it is looked up.
        service: ServiceKey { namespace: "".into(), hostname: written.host.as_str().into() },
        port: written.port,
        timeout,
        fail_open: written.failure_mode == written::LimitFailureMode::Allow,
    }
}

fn counter(
    rule: &written::LimitRule,
    service: Option<(&written::LimitService, &Arc<LimitService>)>,
    at: &At<'_>,
    cx: &mut Cx<'_>,
) -> Option<LimitCounter> {
    match (&rule.local, &rule.global) {
        (Some(local), None) => rate(local, &at.field("local"), cx).map(LimitCounter::Local),
        (None, Some(written)) => {
            let at = at.field("global");
            let Some((of_all, service)) = service else {
                cx.error(&at, L7Problem::RequiredWith { what: "spec.global" });
                return None;
            };
            let domain = written.domain.as_deref().unwrap_or(&of_all.domain);
            if domain.is_empty() {
                cx.error(&at.field("domain"), L7Problem::Required { what: "a domain, here or in spec.global" });
            }
            if written.descriptors.is_empty() && rule.key.is_empty() {
                cx.error(&at.field("descriptors"), L7Problem::Required { what: "an entry, here or in key" });
            }
            let entries = entries(&written.descriptors, &at.field("descriptors"), cx);
            Some(LimitCounter::Global(GlobalLimit { service: Arc::clone(service), domain: domain.into(), entries }))
        }
        (None, None) => {
            cx.error(at, L7Problem::Required { what: "one of local and global" });
            None
        }
        (Some(_), Some(_)) => {
            cx.error(&at.field("global"), L7Problem::Exclusive { other: "local" });
            None
        }
    }
}

fn entries(written: &[written::LimitDescriptor], at: &At<'_>, cx: &mut Cx<'_>) -> Vec<(Arc<str>, Arc<str>)> {
    let mut entries = Vec::with_capacity(written.len());
    for (i, entry) in written.iter().enumerate() {
        if entry.key.is_empty() {
            cx.error(&at.index(i).field("key"), L7Problem::Required { what: "a key" });
        }
        entries.push((entry.key.as_str().into(), entry.value.as_str().into()));
    }
    entries
}

fn rate(written: &written::LocalLimit, at: &At<'_>, cx: &mut Cx<'_>) -> Option<Rate> {
    let mut number = |value: u32, field: &str| {
        let found = NonZeroU32::new(value);
        if found.is_none() {
            cx.error(&at.field(field), L7Problem::Range { value: 0, least: 1, most: u32::MAX.into() });
        }
        found
    };
    let requests = number(written.requests, "requests");
    let burst = number(written.burst.unwrap_or(written.requests.max(1)), "burst");
    let per = written.per.0;
    if per.is_zero() {
        cx.error(&at.field("per"), L7Problem::TooShort { least: "1ns" });
    }
    Some(Rate { requests: requests?, per, burst: burst? })
}

fn keys(written: &[written::LimitKey], at: &At<'_>, cx: &mut Cx<'_>) -> Vec<LimitKey> {
    let mut keys = Vec::with_capacity(written.len());
    for (i, key) in written.iter().enumerate() {
        let at = at.index(i);
        keys.extend(match key {
            written::LimitKey::ClientIdentity => Some(LimitKey::ClientIdentity),
            written::LimitKey::ClientIp => Some(LimitKey::ClientIp),
            written::LimitKey::Path => Some(LimitKey::Path),
            written::LimitKey::Method => Some(LimitKey::Method),
            written::LimitKey::Header(name) => header_name(name, &at.field("header"), cx).map(LimitKey::Header),
            written::LimitKey::Claim(name) => {
                if name.split('.').any(str::is_empty) {
                    let expected = "the name of a claim, with dots between where it leads into one";
                    cx.error(&at.field("claim"), L7Problem::Value { value: name.clone(), expected });
                }
                Some(LimitKey::Claim { path: name.split('.').map(Arc::from).collect(), name: name.as_str().into() })
            }
        });
    }
    keys
}

/// Which requests, in the words of policies.
fn when(written: &written::LimitMatch, at: &At<'_>, cx: &mut Cx<'_>) -> HttpAuthorizationRule {
    let written::LimitMatch { methods, paths, headers, principals: clients, namespaces } = written;
    let list = at.field("paths");
    let paths = paths.iter().enumerate().filter_map(|(i, path)| pattern(path, &list.index(i), cx));
    let paths = paths.map(PathPattern::Text).collect();
    let list = at.field("headers");
    let mut conditions = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        let at = list.field(name);
        if let (Some(name), Some(value)) = (header_name(name, &at, cx), pattern(value, &at, cx)) {
            conditions.push(Condition::Header { name, values: vec![value], not_values: Vec::new() });
        }
    }
    let findings = &mut cx.findings;
    let methods = patterns(methods, &at.field("methods").path(), findings);
    let from = Source {
        principals: principals(clients, &at.field("principals").path(), findings),
        namespaces: patterns(namespaces, &at.field("namespaces").path(), findings),
        ..Source::default()
    };
    HttpAuthorizationRule {
        from: vec![from],
        to: vec![Operation { methods, paths, ..Operation::default() }],
        when: conditions,
    }
}

#[cfg(test)]
mod tests;
