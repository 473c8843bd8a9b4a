//! The decision against a slow, obvious evaluator written from the prose of the model alone.
#![expect(clippy::unwrap_used, reason = "it reads the constant texts of this file")]

use std::net::IpAddr;

use ambit_model::{
    Action, Authorization, CidrMatch, Clause, Identity, Match, PolicyKey, Rule, Scope, ServiceAccountMatch, StringMatch,
};
use ambit_policy::{Decision, Facts, Rehearsal, decide, rehearse};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

fn reference_allows(policies: &[Authorization], facts: &Facts<'_>) -> bool {
    let with = |action| policies.iter().filter(move |policy| policy.action == action);
    if with(Action::Deny).any(|policy| policy_matches(policy, facts)) {
        return false;
    }
    if with(Action::Allow).count() == 0 {
        return true;
    }
    with(Action::Allow).any(|policy| policy_matches(policy, facts))
}

fn policy_matches(policy: &Authorization, facts: &Facts<'_>) -> bool {
    for rule in &policy.rules {
        let mut clauses_that_miss = 0;
        for clause in &rule.clauses {
            let hits = clause.matches.iter().filter(|m| one_match(m, facts)).count();
            if hits == 0 && !clause.matches.is_empty() {
                clauses_that_miss += 1;
            }
        }
        if clauses_that_miss == 0 {
            return true;
        }
    }
    false
}

fn one_match(m: &Match, facts: &Facts<'_>) -> bool {
    if *m == Match::default() {
        return false;
    }
    let id = facts.source.map(|id| id.to_string().replace("spiffe://", ""));
    let namespace = facts.source.map(|id| id.namespace().to_owned());
    let account = facts.source.map(|id| (id.namespace().to_owned(), id.service_account().to_owned()));
    let account_of = |m: &ServiceAccountMatch| (m.namespace.to_string(), m.service_account.to_string());

    let mut conditions = Vec::new();
    if !m.namespaces.is_empty() {
        conditions.push(m.namespaces.iter().any(|p| text(p, namespace.as_deref())));
    }
    if !m.principals.is_empty() {
        conditions.push(m.principals.iter().any(|p| text(p, id.as_deref())));
    }
    if !m.service_accounts.is_empty() {
        conditions.push(m.service_accounts.iter().any(|a| Some(account_of(a)) == account));
    }
    if !m.source_ips.is_empty() {
        conditions.push(m.source_ips.iter().any(|b| inside(b, facts.source_ip)));
    }
    if !m.destination_ips.is_empty() {
        conditions.push(m.destination_ips.iter().any(|b| inside(b, facts.destination_ip)));
    }
    if !m.destination_ports.is_empty() {
        conditions.push(m.destination_ports.contains(&facts.destination_port));
    }
    conditions.push(!m.not_namespaces.iter().any(|p| text(p, namespace.as_deref())));
    conditions.push(!m.not_principals.iter().any(|p| text(p, id.as_deref())));
    conditions.push(!m.not_service_accounts.iter().any(|a| Some(account_of(a)) == account));
    conditions.push(!m.not_source_ips.iter().any(|b| inside(b, facts.source_ip)));
    conditions.push(!m.not_destination_ips.iter().any(|b| inside(b, facts.destination_ip)));
    conditions.push(!m.not_destination_ports.contains(&facts.destination_port));
    conditions.into_iter().all(|holds| holds)
}

fn text(pattern: &StringMatch, value: Option<&str>) -> bool {
    let Some(value) = value else { return false };
    match pattern {
        StringMatch::Exact(text) => **text == *value,
        StringMatch::Prefix(text) => value.find(&**text) == Some(0),
        StringMatch::Suffix(text) => value.rfind(&**text).is_some_and(|at| at + text.len() == value.len()),
        StringMatch::Presence => true,
    }
}

fn inside(block: &CidrMatch, ip: IpAddr) -> bool {
    let (network, ip, bits) = match (block.network(), ip) {
        (IpAddr::V4(network), IpAddr::V4(ip)) => (u128::from(u32::from(network)), u128::from(u32::from(ip)), 32),
        (IpAddr::V6(network), IpAddr::V6(ip)) => (u128::from(network), u128::from(ip), 128),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
    };
    let host_bits = bits - u32::from(block.prefix_len());
    network.checked_shr(host_bits).unwrap_or(0) == ip.checked_shr(host_bits).unwrap_or(0)
}

const NAMES: [&str; 2] = ["a", "ab"];
const PATTERNS: [&str; 9] = ["*", "a", "a*", "*b", "ab", "a/ns/a/*", "*/sa/ab", "a/ns/ab/sa/a", "x"];
const IPS: [&str; 4] = ["10.0.0.1", "10.0.1.1", "fd00::1", "fd01::1"];
const BLOCKS: [&str; 6] = ["10.0.0.0/24", "10.0.0.0/8", "0.0.0.0/0", "fd00::/16", "::/0", "10.0.1.1/32"];

/// Mostly unset, so that matches of one or two fields are frequent.
fn few<T: std::fmt::Debug + Clone>(values: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
    prop_oneof![4 => Just(Vec::new()), 1 => vec(values, 1..3)]
}

fn patterns() -> impl Strategy<Value = Vec<StringMatch>> {
    few(select(&PATTERNS[..]).prop_map(StringMatch::parse))
}

fn blocks() -> impl Strategy<Value = Vec<CidrMatch>> {
    few(select(&BLOCKS[..]).prop_map(|block| block.parse().unwrap()))
}

fn accounts() -> impl Strategy<Value = Vec<ServiceAccountMatch>> {
    few((select(&NAMES[..]), select(&NAMES[..])).prop_map(|(namespace, account)| ServiceAccountMatch {
        namespace: namespace.into(),
        service_account: account.into(),
    }))
}

fn ports() -> impl Strategy<Value = Vec<u16>> {
    few(select(&[80_u16, 443][..]))
}

fn match_strategy() -> impl Strategy<Value = Match> {
    let identity = (patterns(), patterns(), accounts(), accounts(), patterns(), patterns());
    let address = (blocks(), blocks(), blocks(), blocks(), ports(), ports());
    (identity, address).prop_map(|(identity, address)| Match {
        namespaces: identity.0,
        not_namespaces: identity.1,
        service_accounts: identity.2,
        not_service_accounts: identity.3,
        principals: identity.4,
        not_principals: identity.5,
        source_ips: address.0,
        not_source_ips: address.1,
        destination_ips: address.2,
        not_destination_ips: address.3,
        destination_ports: address.4,
        not_destination_ports: address.5,
    })
}

fn policy_strategy() -> impl Strategy<Value = Authorization> {
    let clause = vec(match_strategy(), 0..3).prop_map(|matches| Clause { matches });
    let rule = vec(clause, 0..3).prop_map(|clauses| Rule { clauses });
    let action = select(&[Action::Allow, Action::Deny][..]);
    (select(&NAMES[..]), action, vec(rule, 0..3), prop::bool::weighted(0.2)).prop_map(
        |(name, action, rules, dry_run)| Authorization {
            key: PolicyKey { namespace: "shop".into(), name: name.into() },
            scope: Scope::Namespace,
            action,
            rules,
            dry_run,
        },
    )
}

fn identity_strategy() -> impl Strategy<Value = Option<Identity>> {
    let name = || select(&NAMES[..]);
    prop::option::of((name(), name(), name()).prop_map(|(domain, ns, account)| Identity::new(domain, ns, account)))
}

fn address_strategy() -> impl Strategy<Value = IpAddr> {
    select(&IPS[..]).prop_map(|ip| ip.parse().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn decides_as_the_reference(
        policies in vec(policy_strategy(), 0..4),
        source in identity_strategy(),
        source_ip in address_strategy(),
        destination_ip in address_strategy(),
        destination_port in select(&[80_u16, 443, 8080][..]),
    ) {
        let facts = Facts { source: source.as_ref(), peer: None, source_ip, destination_ip, destination_port };
        let enforced: Vec<_> = policies.iter().filter(|policy| !policy.dry_run).cloned().collect();

        let allowed = matches!(decide(&policies, &facts), Decision::Allow(_));
        prop_assert_eq!(allowed, reference_allows(&enforced, &facts));

        let rehearsed = rehearse(&policies, &facts).map(|rehearsal| rehearsal == Rehearsal::Allow);
        let expected = (enforced.len() < policies.len()).then(|| reference_allows(&policies, &facts));
        prop_assert_eq!(rehearsed, expected);
    }
}
