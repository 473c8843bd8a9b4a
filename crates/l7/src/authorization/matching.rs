//! Whether a policy's rules match a request.

use ambit_model::Identity;
use ipnet::IpNet;

use super::{Claims, Condition, HttpAuthorization, HttpAuthorizationRule, Operation, PathPattern, Source};
use crate::{ClientView, Pattern, RequestView, authority};

/// What a request is judged by.
#[derive(Debug, Clone, Copy)]
pub struct HttpFacts<'a> {
    /// What is asked for.
    pub request: &'a RequestView<'a>,
    /// Who asks.
    pub client: &'a ClientView<'a>,
    /// What its token says, if it came with a good one.
    pub claims: Option<&'a Claims>,
}

/// Index of the first rule that matches. A policy without rules has none.
pub(super) fn first_matching_rule(policy: &HttpAuthorization, facts: &HttpFacts<'_>) -> Option<usize> {
    policy.rules.iter().position(|rule| rule_matches(rule, facts))
}

/// Whether all of a rule holds of a request.
pub(crate) fn rule_matches(rule: &HttpAuthorizationRule, facts: &HttpFacts<'_>) -> bool {
    // Destructured, here and below, so that a new field cannot be forgotten: a condition ignored is a hole.
    let HttpAuthorizationRule { from, to, when } = rule;
    (from.is_empty() || from.iter().any(|source| source_matches(source, facts)))
        && (to.is_empty() || to.iter().any(|operation| operation_matches(operation, facts.request)))
        && when.iter().all(|condition| condition_matches(condition, facts))
}

fn source_matches(source: &Source, facts: &HttpFacts<'_>) -> bool {
    let Source {
        principals,
        not_principals,
        request_principals,
        not_request_principals,
        namespaces,
        not_namespaces,
        service_accounts,
        not_service_accounts,
        trust_domains,
        not_trust_domains,
        ip_blocks,
        not_ip_blocks,
        remote_ip_blocks,
        not_remote_ip_blocks,
    } = source;
    let id = facts.client.identity;
    held(ip_blocks, not_ip_blocks, |block| block.contains(&facts.client.ip))
        && held(remote_ip_blocks, not_remote_ip_blocks, |block| block.contains(&facts.client.remote_ip))
        && held(namespaces, not_namespaces, |wanted| namespace(wanted, id))
        && held(service_accounts, not_service_accounts, |wanted| service_account(wanted, id))
        && held(trust_domains, not_trust_domains, |wanted| id.is_some_and(|id| wanted.matches(id.trust_domain())))
        && held(principals, not_principals, |wanted| principal(wanted, id))
        && held(request_principals, not_request_principals, |wanted| request_principal(wanted, facts))
}

fn operation_matches(operation: &Operation, request: &RequestView<'_>) -> bool {
    let Operation { hosts, not_hosts, ports, not_ports, methods, not_methods, paths, not_paths } = operation;
    held(ports, not_ports, |wanted| *wanted == request.connection.port)
        && held(methods, not_methods, |wanted| wanted.matches(request.method.as_str()))
        && held(paths, not_paths, |wanted| wanted.matches(request.path))
        && held(hosts, not_hosts, |wanted| host(wanted, request.authority))
}

fn condition_matches(condition: &Condition, facts: &HttpFacts<'_>) -> bool {
    let (request, client) = (facts.request, facts.client);
    let id = client.identity;
    match condition {
        Condition::Header { name, values, not_values } => {
            let found = request.header(name);
            held(values, not_values, |wanted| found.as_deref().is_some_and(|value| wanted.matches(value)))
        }
        Condition::RequestPrincipal { values, not_values } => {
            held(values, not_values, |wanted| request_principal(wanted, facts))
        }
        Condition::Audiences { values, not_values } => {
            held(values, not_values, |wanted| claim(wanted, &["aud"], facts))
        }
        Condition::Presenter { values, not_values } => {
            held(values, not_values, |wanted| claim(wanted, &["azp"], facts))
        }
        Condition::Claim { path, values, not_values } => held(values, not_values, |wanted| claim(wanted, path, facts)),
        Condition::SourceIp { values, not_values } => inside(values, not_values, client.ip),
        Condition::RemoteIp { values, not_values } => inside(values, not_values, client.remote_ip),
        Condition::SourceNamespace { values, not_values } => held(values, not_values, |wanted| namespace(wanted, id)),
        Condition::SourcePrincipal { values, not_values } => held(values, not_values, |wanted| principal(wanted, id)),
        Condition::SourceServiceAccount { values, not_values } => {
            held(values, not_values, |wanted| service_account(wanted, id))
        }
        Condition::DestinationIp { values, not_values } => {
            inside(values, not_values, request.connection.destination_ip)
        }
        Condition::DestinationPort { values, not_values } => {
            held(values, not_values, |wanted| *wanted == request.connection.port)
        }
        Condition::ServerName { values, not_values } => held(values, not_values, |wanted| {
            request.connection.server_name.is_some_and(|name| wanted.matches_ignoring_case(name))
        }),
    }
}

/// A field with its exclusion. What is absent matches nothing, so it is excluded by nothing.
fn held<T>(wanted: &[T], excluded: &[T], matches: impl Fn(&T) -> bool) -> bool {
    (wanted.is_empty() || wanted.iter().any(&matches)) && !excluded.iter().any(&matches)
}

fn inside(wanted: &[IpNet], excluded: &[IpNet], ip: std::net::IpAddr) -> bool {
    held(wanted, excluded, |block| block.contains(&ip))
}

fn namespace(wanted: &Pattern, id: Option<&Identity>) -> bool {
    id.is_some_and(|id| wanted.matches(id.namespace()))
}

/// By `namespace/name`.
fn service_account(wanted: &Pattern, id: Option<&Identity>) -> bool {
    id.is_some_and(|id| wanted.matches_parts(&[id.namespace(), "/", id.service_account()]))
}

/// By `<trust domain>/ns/<namespace>/sa/<service account>`, without scheme.
fn principal(wanted: &Pattern, id: Option<&Identity>) -> bool {
    id.is_some_and(|id| {
        wanted.matches_parts(&[id.trust_domain(), "/ns/", id.namespace(), "/sa/", id.service_account()])
    })
}

fn request_principal(wanted: &Pattern, facts: &HttpFacts<'_>) -> bool {
    facts.claims.and_then(Claims::principal).is_some_and(|principal| wanted.matches(principal))
}

fn claim<N: AsRef<str>>(wanted: &Pattern, path: &[N], facts: &HttpFacts<'_>) -> bool {
    facts.claims.is_some_and(|claims| claims.any_text(path, |text| wanted.matches(text)))
}

/// In whatever case. The authority's port counts only where the pattern has one, and the dot at the end of a full
/// name never: it names the same host.
fn host(wanted: &Pattern, authority: &str) -> bool {
    if authority.is_empty() {
        return false;
    }
    let with_port = match wanted {
        Pattern::Exact(text) | Pattern::Prefix(text) | Pattern::Suffix(text) => names_port(text),
        Pattern::Regex(_) | Pattern::Present => false,
    };
    let (name, _) = authority::split(authority);
    wanted.matches_ignoring_case(if with_port { authority } else { name.strip_suffix('.').unwrap_or(name) })
}

/// Whether there is a colon outside of an IPv6 address's brackets.
fn names_port(pattern: &str) -> bool {
    pattern.rsplit_once(']').map_or(pattern, |(_, behind)| behind).contains(':')
}

impl PathPattern {
    fn matches(&self, path: &str) -> bool {
        match self {
            Self::Text(pattern) => pattern.matches(path),
            Self::Template(template) => template.matches(path),
        }
    }
}
