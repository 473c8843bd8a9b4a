//! A policy's words, and a request with its token, a line each: what an ALLOW of a rule allows, a DENY of the same rule
//! denies, and what a field matches, its exclusion excludes.
//!
//! Lines: method, authority, path, a header's value, the token's claims as JSON, and then words with the users' stars,
//! each of which is tried as a host, a path, a method, a header and claims.

#![no_main]

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use ambit_l7::{
    Claims, ClientView, Condition, ConnectionView, HttpAuthorization, HttpAuthorizationAction, HttpAuthorizationRule,
    HttpFacts, Operation, PathPattern, PathTemplate, Pattern, RequestView, Source, decide, to_ask,
};
use ambit_model::{Identity, PolicyKey};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

const HEADER: HeaderName = HeaderName::from_static("x-a");

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = judge(text);
});

fn judge(text: &str) -> Option<()> {
    let mut lines = text.lines();
    let method = Method::from_bytes(lines.next()?.as_bytes()).ok()?;
    let (authority, path) = (lines.next()?, lines.next()?);
    let mut headers = HeaderMap::new();
    headers.insert(HEADER, HeaderValue::from_str(lines.next()?).ok()?);
    let claims = serde_json::from_str(lines.next()?).ok().map(|map| Claims::new(map, &[]));

    let connection = ConnectionView { destination_ip: Ipv4Addr::LOCALHOST.into(), port: 80, server_name: None };
    let request =
        RequestView { method: &method, scheme: "http", authority, path, query: None, headers: &headers, connection };
    let ip = Ipv4Addr::LOCALHOST.into();
    let identity = Identity::new("td", "shop", "cart");
    let client =
        ClientView { identity: Some(&identity), ip, remote_ip: ip, labels: &BTreeMap::new(), namespace: Some("shop") };
    let facts = HttpFacts { request: &request, client: &client, claims: claims.as_ref() };
    for word in lines.take(16) {
        for [wanted, excluded] in rules(word) {
            let [matches, passes] = [wanted, excluded].map(|rule| {
                let allowed = allows(HttpAuthorizationAction::Allow, &rule, &facts);
                assert_eq!(allowed, !allows(HttpAuthorizationAction::Deny, &rule, &facts), "{rule:?}");
                allowed
            });
            assert_ne!(matches, passes, "{word}");
        }
    }
    Some(())
}

fn allows(action: HttpAuthorizationAction, rule: &HttpAuthorizationRule, facts: &HttpFacts<'_>) -> bool {
    let key = PolicyKey { namespace: "shop".into(), name: "one".into() };
    let policies = [Arc::new(HttpAuthorization { key, action, rules: vec![rule.clone()], dry_run: false })];
    decide(&policies, facts, to_ask(&policies, facts).all_consented()).permit().is_ok()
}

/// Rules of one word, each with the one that excludes it.
fn rules(word: &str) -> Vec<[HttpAuthorizationRule; 2]> {
    let pattern = || vec![star(word)];
    let path = || match PathTemplate::parse(word) {
        Ok(template) if word.contains('{') => vec![PathPattern::Template(template)],
        _ => vec![PathPattern::Text(star(word))],
    };
    let (operation, source) = (Operation::default, Source::default);
    let mut pairs = vec![
        [Operation { hosts: pattern(), ..operation() }, Operation { not_hosts: pattern(), ..operation() }].map(to),
        [Operation { methods: pattern(), ..operation() }, Operation { not_methods: pattern(), ..operation() }].map(to),
        [Operation { paths: path(), ..operation() }, Operation { not_paths: path(), ..operation() }].map(to),
        [Source { principals: pattern(), ..source() }, Source { not_principals: pattern(), ..source() }].map(from),
        [
            Source { request_principals: pattern(), ..source() },
            Source { not_request_principals: pattern(), ..source() },
        ]
        .map(from),
    ];
    let both = [(pattern(), Vec::new()), (Vec::new(), pattern())];
    let header = |(values, not_values)| when(Condition::Header { name: HEADER, values, not_values });
    pairs.push(both.clone().map(header));
    let audiences = |(values, not_values)| when(Condition::Audiences { values, not_values });
    pairs.push(both.clone().map(audiences));
    let path: Arc<[Arc<str>]> = ["scope", word].map(Arc::from).into();
    for depth in 1..=2 {
        let path: Arc<[Arc<str>]> = path.iter().take(depth).cloned().collect();
        let claim = |(values, not_values)| when(Condition::Claim { path: Arc::clone(&path), values, not_values });
        pairs.push(both.clone().map(claim));
    }
    pairs
}

fn to(operation: Operation) -> HttpAuthorizationRule {
    HttpAuthorizationRule { to: vec![operation], ..HttpAuthorizationRule::default() }
}

fn from(source: Source) -> HttpAuthorizationRule {
    HttpAuthorizationRule { from: vec![source], ..HttpAuthorizationRule::default() }
}

fn when(condition: Condition) -> HttpAuthorizationRule {
    HttpAuthorizationRule { when: vec![condition], ..HttpAuthorizationRule::default() }
}

fn star(word: &str) -> Pattern {
    match (word.strip_prefix('*'), word.strip_suffix('*')) {
        (Some(""), _) => Pattern::Present,
        (Some(suffix), _) => Pattern::Suffix(suffix.into()),
        (None, Some(prefix)) => Pattern::Prefix(prefix.into()),
        (None, None) => Pattern::Exact(word.into()),
    }
}
