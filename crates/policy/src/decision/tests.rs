use ambit_model::{Clause, Identity, Match, Rule, Scope, StringMatch};

use super::*;

/// A policy: its name, action, whether it is a dry run, and the ports of its only rule.
fn policy(name: &str, action: Action, dry_run: bool, ports: &[u16]) -> Authorization {
    let matches = vec![Match { destination_ports: ports.to_vec(), ..Match::default() }];
    Authorization {
        key: key(name),
        scope: Scope::Namespace,
        action,
        rules: vec![Rule { clauses: vec![Clause { matches }] }],
        dry_run,
    }
}

fn key(name: &str) -> PolicyKey {
    PolicyKey { namespace: "shop".into(), name: name.into() }
}

fn facts(source: Option<&Identity>) -> Facts<'_> {
    let (source_ip, destination_ip) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    Facts { source, peer: source, source_ip, destination_ip, destination_port: 80 }
}

fn denied_by(name: &str) -> Option<DenyReason> {
    Some(DenyReason::Policy { policy: key(name), rule: 0 })
}

fn none_of(count: usize, first: &str) -> Option<DenyReason> {
    Some(DenyReason::NoAllowMatch { count, first: key(first) })
}

#[test]
fn deny_comes_before_allow_and_allow_before_silence() {
    use Action::{Allow, Deny};
    let cases = [
        ("no policy", vec![], None),
        ("allow matches", vec![policy("a", Allow, false, &[80])], None),
        ("allow misses", vec![policy("a", Allow, false, &[81])], none_of(1, "a")),
        ("allow that can never match", vec![policy("a", Allow, false, &[])], none_of(1, "a")),
        ("deny matches", vec![policy("d", Deny, false, &[80])], denied_by("d")),
        ("deny misses", vec![policy("d", Deny, false, &[81])], None),
        (
            "deny after a matching allow",
            vec![policy("a", Allow, false, &[80]), policy("d", Deny, false, &[80])],
            denied_by("d"),
        ),
        ("second allow matches", vec![policy("a", Allow, false, &[81]), policy("b", Allow, false, &[80])], None),
        (
            "the first by name is told",
            vec![policy("b", Allow, false, &[81]), policy("a", Allow, false, &[82])],
            none_of(2, "a"),
        ),
        ("dry-run deny has no say", vec![policy("d", Deny, true, &[80])], None),
        ("dry-run allow does not close", vec![policy("a", Allow, true, &[81])], None),
        (
            "dry-run allow does not open",
            vec![policy("a", Allow, true, &[80]), policy("b", Allow, false, &[81])],
            none_of(1, "b"),
        ),
    ];
    for (name, policies, expected) in cases {
        assert_eq!(decide(&policies, &facts(None)).permit().err(), expected, "{name}");
    }
}

#[test]
fn the_first_matching_rule_is_told() {
    let mut deny = policy("d", Action::Deny, false, &[81]);
    deny.rules.push(Rule::default());
    let reason = decide([&deny], &facts(None)).permit().err();
    assert_eq!(reason, Some(DenyReason::Policy { policy: key("d"), rule: 1 }));
}

#[test]
fn strict_denies_exactly_where_no_principal_is_present() {
    let matches = vec![Match { not_principals: vec![StringMatch::Presence], ..Match::default() }];
    let strict = Authorization {
        rules: vec![Rule { clauses: vec![Clause { matches }] }],
        ..policy("strict", Action::Deny, false, &[])
    };
    let identity = Identity::new("cluster.local", "shop", "cart");
    assert_eq!(decide([&strict], &facts(None)).permit().err(), denied_by("strict"));
    assert!(decide([&strict], &facts(Some(&identity))).permit().is_ok());
}

#[test]
fn a_waypoint_is_judged_by_the_policy_against_going_round_it_and_its_client_by_all_others() {
    let [client, waypoint, other] = ["client", "waypoint", "other"].map(|name| Identity::new("td", "shop", name));
    let naming = |name: &str, m: Match| Authorization {
        rules: vec![Rule { clauses: vec![Clause { matches: vec![m] }] }],
        ..policy(name, Action::Deny, false, &[])
    };
    let principal = |identity: &Identity| vec![StringMatch::Exact(identity.principal().into())];
    let round = "converted_waypoint_web";
    let policies = [
        naming(round, Match { not_principals: principal(&waypoint), ..Match::default() }),
        naming("other", Match { principals: principal(&other), ..Match::default() }),
        naming("waypoint", Match { principals: principal(&waypoint), ..Match::default() }),
    ];
    for (source, peer, expected) in [
        (Some(&client), Some(&waypoint), None),
        (Some(&other), Some(&waypoint), denied_by("other")),
        (Some(&client), Some(&client), denied_by(round)),
        (Some(&client), Some(&other), denied_by(round)),
        (Some(&waypoint), Some(&waypoint), denied_by("waypoint")),
        (None, None, denied_by(round)),
    ] {
        let facts = Facts { peer, ..facts(source) };
        assert_eq!(decide(&policies, &facts).permit().err(), expected, "{source:?} by {peer:?}");
    }
}

#[test]
fn rehearsal_enforces_dry_runs_beside_the_others() {
    use Action::{Allow, Deny};
    let cases = [
        ("no dry run", vec![policy("d", Deny, false, &[80])], None),
        ("would deny", vec![policy("d", Deny, true, &[80])], denied_by("d").map(Rehearsal::Deny)),
        ("would close", vec![policy("a", Allow, true, &[81])], none_of(1, "a").map(Rehearsal::Deny)),
        ("would open", vec![policy("a", Allow, true, &[80]), policy("b", Allow, false, &[81])], Some(Rehearsal::Allow)),
        ("changes nothing", vec![policy("d", Deny, true, &[81])], Some(Rehearsal::Allow)),
    ];
    for (name, policies, expected) in cases {
        assert_eq!(rehearse(&policies, &facts(None)), expected, "{name}");
    }
}
