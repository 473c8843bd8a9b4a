use ambit_model::{Authorization, Match};

use crate::{Compiled, Store};

/// A PeerAuthentication: `namespace/name`, labels it selects by, its mode, its port-level modes, and
/// when it was made.
type Given = (&'static str, &'static str, &'static str, &'static str, &'static str);

/// The policy the pod lists, and the ports it denies plaintext on.
type Listed = Option<(&'static str, &'static str)>;

fn manifest((name, labels, mode, ports, created): &Given) -> String {
    let (namespace, name) = name.split_once('/').unwrap();
    let line = |key: &str, value: &str| if value.is_empty() { String::new() } else { format!("  {key}: {value}\n") };
    let braces =
        |inside: &str| if inside.is_empty() { String::new() } else { format!("{{matchLabels: {{{inside}}}}}") };
    format!(
        "---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata:\n  name: {name}\n  namespace: {namespace}\n{}spec:\n  mtls: {{mode: {mode}}}\n{}{}",
        line("creationTimestamp", created),
        line("selector", &braces(labels)),
        line("portLevelMtls", ports),
    )
}

/// With the pod shop/web of the labels `app: web, tier: front`.
fn compile(given: &[Given]) -> (Compiled, usize) {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop, labels: {app: web, tier: front}}\nstatus: {podIP: 10.0.0.1}\n";
    let text: String = std::iter::once(pod.to_owned()).chain(given.iter().map(manifest)).collect();
    let mut store = Store::default();
    let said = store.replace_file("f", &text).iter().filter(|issue| issue.is_error()).count();
    (store.compile(), said)
}

/// The ports on which the policy denies connections without a principal.
fn denied(policy: &Authorization) -> String {
    let [rule] = policy.rules.as_slice() else { panic!("{policy:?}") };
    let ports: Vec<&Match> = rule.clauses.iter().skip(1).flat_map(|clause| &clause.matches).collect();
    match ports.as_slice() {
        [] => "all".to_owned(),
        [one] if one.not_destination_ports.is_empty() => format!("only {:?}", one.destination_ports),
        [one] => format!("all but {:?}", one.not_destination_ports),
        _ => panic!("{policy:?}"),
    }
}

const MESH: Given = ("istio-system/mesh", "", "STRICT", "", "");

#[test]
fn the_nearest_mode_is_in_force() {
    let own = |mode, ports| ("shop/own", "app: web", mode, ports, "");
    let wide = |mode| ("shop/wide", "", mode, "", "");
    let cases: &[(&[Given], Listed)] = &[
        (&[], None),
        (&[MESH], Some(("istio-system/ambit_strict", "all"))),
        (&[wide("STRICT")], Some(("istio-system/ambit_strict", "all"))),
        (&[MESH, wide("PERMISSIVE")], None),
        (&[MESH, wide("DISABLE")], None),
        (&[MESH, wide("UNSET")], Some(("istio-system/ambit_strict", "all"))),
        (&[MESH, own("PERMISSIVE", "")], None),
        (&[wide("PERMISSIVE"), own("STRICT", "")], Some(("istio-system/ambit_strict", "all"))),
        (&[MESH, own("UNSET", "")], Some(("istio-system/ambit_strict", "all"))),
        (&[("other/wide", "", "STRICT", "", "")], None),
        (&[("shop/own", "app: api", "STRICT", "", "")], None),
        (&[("istio-system/own", "app: web", "STRICT", "", "")], None),
        (
            &[own("STRICT", "{8080: {mode: PERMISSIVE}, 9: {mode: DISABLE}, 7: {mode: STRICT}, 5: {mode: UNSET}}")],
            Some(("shop/ambit_peer_authentication_own", "all but [9, 8080]")),
        ),
        (
            &[own("PERMISSIVE", "{8080: {mode: STRICT}, 9: {mode: PERMISSIVE}}")],
            Some(("shop/ambit_peer_authentication_own", "only [8080]")),
        ),
        (
            &[MESH, own("UNSET", "{'8080': {mode: PERMISSIVE}}")],
            Some(("shop/ambit_peer_authentication_own", "all but [8080]")),
        ),
        (&[MESH, own("UNSET", "{8080: {mode: STRICT}}")], Some(("istio-system/ambit_strict", "all"))),
    ];
    for (given, expected) in cases {
        let (compiled, errors) = compile(given);
        assert_eq!(errors, 0, "{given:?}");
        let listed: Vec<_> = compiled.workloads[0].authorization_policies.iter().map(ToString::to_string).collect();
        let found: Vec<_> = compiled.authorizations.iter().map(|a| (a.key.to_string(), denied(a))).collect();
        assert_eq!(listed, found.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
        assert_eq!(found.first().map(|(name, ports)| (name.as_str(), ports.as_str())), *expected, "{given:?}");
    }
}

#[test]
fn of_equals_the_oldest_wins_and_the_others_are_told() {
    let old = "\"2026-01-01T00:00:00Z\"";
    let new = "\"2026-02-01T00:00:00Z\"";
    let cases: &[(&[Given], bool)] = &[
        (&[("shop/a", "", "STRICT", "", new), ("shop/b", "", "PERMISSIVE", "", old)], false),
        (&[("shop/a", "", "STRICT", "", old), ("shop/b", "", "PERMISSIVE", "", new)], true),
        (&[("shop/a", "", "STRICT", "", ""), ("shop/b", "", "PERMISSIVE", "", new)], false),
        (&[("shop/a", "", "STRICT", "", ""), ("shop/b", "", "PERMISSIVE", "", "")], true),
        (&[("shop/a", "app: web", "STRICT", "", new), ("shop/b", "tier: front", "PERMISSIVE", "", old)], false),
        (&[("istio-system/a", "", "STRICT", "", old), ("istio-system/b", "", "PERMISSIVE", "", new)], true),
    ];
    for (given, strict) in cases {
        let (compiled, _) = compile(given);
        assert_eq!(!compiled.authorizations.is_empty(), *strict, "{given:?}");
        assert_eq!(compiled.issues.len(), 1, "{:?}", compiled.issues);
        assert!(compiled.issues[0].to_string().contains("is older and wins"), "{}", compiled.issues[0]);
    }
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for given in [
        ("shop/a", "", "STRICT", "{80: {mode: PERMISSIVE}}", ""),
        ("shop/a", "app: web", "STRICT", "{http: {mode: PERMISSIVE}}", ""),
        ("shop/a", "app: web", "STRICT", "{0: {mode: PERMISSIVE}}", ""),
        ("shop/a", "app: 'w*'", "STRICT", "", ""),
        ("shop/a", "", "MUTUAL", "", ""),
    ] {
        let (compiled, errors) = compile(&[given]);
        assert!(errors > 0, "{given:?}");
        assert_eq!(compiled.authorizations, [], "{given:?}");
    }
}

/// An agent that lists one of them and does not know it refuses plaintext.
#[test]
fn policies_that_stand_for_modes_are_known_by_their_names() {
    for name in [super::STRICT, super::WITH_PORTS] {
        assert!(name.starts_with(ambit_model::PolicyKey::PEER_AUTHENTICATION_PREFIX), "{name}");
    }
}
