use std::net::IpAddr;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::Strategy;
use proptest::sample::select;

use super::*;

const ALLOW: &str =
    "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop}\nspec: {}\n";

fn namespace(name: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n")
}

fn policies(store: &mut Store) -> Vec<String> {
    store.compile().authorizations.iter().map(|a| format!("{} {:?}", a.key, a.action)).collect()
}

/// Files given one after the other, and what is in force after each, with the number of errors.
fn check(steps: &[(&str, &str, &[&str], usize)]) {
    let mut store = Store::default();
    for (file, text, expected, errors) in steps {
        let issues = store.replace_file(file, text);
        assert_eq!(policies(&mut store), *expected, "{file} {text}");
        assert_eq!(issues.iter().filter(|issue| issue.is_error()).count(), *errors, "{text}: {issues:?}");
    }
}

#[test]
fn the_last_valid_version_stays_in_force() {
    let deny = ALLOW.replace("{}", "{action: DENY, rules: [{}]}");
    let invalid = ALLOW.replace("{}", "{action: DENY, rules: [{to: [{operation: {ports: [x]}}]}]}");
    let unknown = ALLOW.replace("{}", "{acton: DENY}");
    let allow: &[&str] = &["shop/p Allow"];
    check(&[
        ("f", ALLOW, allow, 0),
        ("f", &invalid, allow, 2),
        ("f", &unknown, allow, 2),
        ("f", &deny, &["shop/p Deny"], 0),
    ]);
    check(&[("f", ALLOW, allow, 0), ("f", "a: [", allow, 1), ("f", "", &[], 0)]);
    check(&[("f", &format!("{ALLOW}---\n{}", namespace("a")), allow, 0), ("f", &namespace("a"), &[], 0)]);
    check(&[("f", ALLOW, allow, 0), ("f", &format!("{}---\na: [", namespace("a")), allow, 1)]);
    check(&[("f", ALLOW, allow, 0), ("f", &format!("{invalid}---\n{}", namespace("a")), allow, 2)]);
    check(&[("f", &invalid, &[], 2), ("f", ALLOW, allow, 0)]);
}

#[test]
fn the_issues_say_whether_an_earlier_version_holds() {
    let invalid = ALLOW.replace("{}", "{acton: DENY}");
    let mut store = Store::default();
    let say = |issues: Vec<Issue>| issues.last().map(ToString::to_string).unwrap();
    assert_eq!(
        say(store.replace_file("f", &invalid)),
        "f:4: error: AuthorizationPolicy shop/p: not in force: there is no earlier version to keep"
    );
    store.replace_file("f", ALLOW);
    assert_eq!(
        say(store.replace_file("f", &invalid)),
        "f:4: error: AuthorizationPolicy shop/p: the last valid version stays in force"
    );
}

#[test]
fn of_an_object_in_two_files_the_first_file_wins_and_both_are_named() {
    let mut store = Store::default();
    let deny = ALLOW.replace("{}", "{action: DENY, rules: [{}]}");
    store.replace_file("b.yaml", ALLOW);
    store.replace_file("a.yaml", &deny);
    assert_eq!(policies(&mut store), ["shop/p Deny"]);
    let issues = store.compile().issues;
    assert_eq!(
        issues.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "b.yaml:1: error: AuthorizationPolicy shop/p: also in a.yaml:1, which wins: first file by name, first document in it"
        ]
    );
    store.remove_file("a.yaml");
    assert_eq!(policies(&mut store), ["shop/p Allow"]);
    assert_eq!(store.compile().issues, []);
    let twice = store.replace_file("b.yaml", &format!("{ALLOW}---\n{deny}"));
    assert_eq!(twice.len(), 1);
    assert_eq!(policies(&mut store), ["shop/p Allow"]);
}

#[test]
fn an_address_is_the_address_of_one_pod() {
    let pod = |name: &str, ips: &str, host: bool| {
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec: {{hostNetwork: {host}}}\nstatus: {{podIPs: [{ips}]}}\n"
        )
    };
    let mut store = Store::default();
    let (one, two) = ("{ip: 10.0.0.1}", "{ip: 10.0.0.1}, {ip: 10.0.0.2}");
    store.replace_file(
        "f",
        &[pod("a", one, false), pod("b", two, false), pod("c", one, true), pod("d", one, true)].concat(),
    );
    let compiled = store.compile();
    let addresses: Vec<_> = compiled.workloads.iter().map(|w| w.addresses.len()).collect();
    assert_eq!(addresses, [1, 1, 1, 1]);
    assert_eq!(*compiled.workloads[1].addresses, ["10.0.0.2".parse::<IpAddr>().unwrap()]);
    assert_eq!(compiled.issues.len(), 1, "{:?}", compiled.issues);
}

#[test]
fn what_did_not_change_is_the_same_allocation() {
    let policy = |label: &str| ALLOW.replace("spec: {}", &format!("spec: {{selector: {{matchLabels: {{{label}}}}}}}"));
    let mut store = Store::default();
    let pods = ["web", "cart", "front"].map(|app| object((0, app, 0, "shop", [1, 2, 3])));
    store.replace_file("pods", &pods.concat());
    store.replace_file("policy", &policy("app: web"));
    let before = store.compile();
    store.replace_file("policy", &policy("app: cart"));
    let after = store.compile();
    let kept = before.workloads.iter().zip(&after.workloads).filter(|(a, b)| Arc::ptr_eq(a, b)).count();
    assert_eq!((before.workloads.len(), kept), (3, 1), "one no longer selected, one selected now");
    assert_eq!(after.workloads[0].authorization_policies.len(), 1);

    store.replace_file("pods", &pods.concat().replace("nodeName: n2", "nodeName: n7"));
    let moved = store.compile();
    assert!(moved.workloads.iter().all(|workload| *workload.node == *"n7"));
    store.replace_file("pods", &format!("# with a remark\n{}", pods.concat().replace("nodeName: n2", "nodeName: n7")));
    let same = store.compile();
    assert!(moved.workloads.iter().zip(&same.workloads).all(|(a, b)| Arc::ptr_eq(a, b)));
}

/// A manifest of one of the kinds: its kind and variant, its name, what labels it has or asks for,
/// its namespace, and numbers to take addresses and ports from.
type Given = (u8, &'static str, u8, &'static str, [u8; 3]);

fn object((kind, name, variant, namespace, [a, b, c]): Given) -> String {
    let labels = ["app: web", "app: web, env: live", "env: live", "app: cart", ""][usize::from(variant) % 5];
    let head = |api: &str, kind: &str, more: &str| {
        format!("---\napiVersion: {api}\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}, {more}}}\n")
    };
    let selector = if labels.is_empty() { String::new() } else { format!("selector: {{matchLabels: {{{labels}}}}}, ") };
    let mode = ["ambient", "none", "x"][usize::from(variant) % 3];
    let policy = |kind, spec: String| head("security.istio.io/v1", kind, "") + &format!("spec: {{{selector}{spec}}}\n");
    match kind {
        0 | 1 => {
            let port = format!("{{name: http, containerPort: {}}}", 8080 + u16::from(c));
            head("v1", "Pod", &format!("labels: {{app: {name}, {}}}", labels.replace("app:", "was:")))
                + &format!("spec: {{nodeName: n{b}, hostNetwork: {}, containers: [{{ports: [{port}]}}]}}\n", c == 0)
                + &format!("status: {{podIPs: [{{ip: 10.0.0.{a}}}, {{ip: 10.0.0.{b}}}]}}\n")
        }
        2 | 3 => {
            let labels = labels.replace("env: live", "was: web");
            head("v1", "Service", "")
                + &format!("spec: {{selector: {{{labels}}}, ports: [{{port: {a}0, targetPort: http}}]}}\n")
        }
        4 => format!(
            "---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}, labels: {{istio.io/dataplane-mode: {mode}}}, annotations: {{ambit.io/same-node: direct}}}}\n"
        ),
        5 => policy("AuthorizationPolicy", format!("action: {}, rules: [{{}}]", ["ALLOW", "DENY"][usize::from(a) % 2])),
        _ if selector.is_empty() => policy("PeerAuthentication", "mtls: {mode: STRICT}".to_owned()),
        _ => policy("PeerAuthentication", format!("portLevelMtls: {{{b}: {{mode: STRICT}}}}")),
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(96))]

    /// What a store remembers of an earlier compilation must never show.
    #[test]
    fn a_store_that_was_changed_means_what_a_new_one_means(
        steps in vec((0usize..3, vec(given(), 0..12)), 1..10),
    ) {
        let mut store = Store::default();
        let mut files = [const { String::new() }; 3];
        for (at, objects) in steps {
            files[at] = objects.into_iter().map(object).collect();
            if files[at].is_empty() { store.remove_file(&at.to_string()) } else { store.replace_file(&at.to_string(), &files[at]); }
            let mut new = Store::default();
            for (at, text) in files.iter().enumerate().filter(|(_, text)| !text.is_empty()) {
                new.replace_file(&at.to_string(), text);
            }
            proptest::prop_assert_eq!(store.compile(), new.compile());
        }
    }
}

fn given() -> impl Strategy<Value = Given> {
    let names = select(&["web", "cart", "front"][..]);
    let namespaces = select(&["shop", "other", "istio-system"][..]);
    (0u8..7, names, 0u8..15, namespaces, [1u8..4, 1..4, 0..3])
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]

    #[test]
    fn nothing_panics_and_the_order_in_which_files_come_does_not_matter(
        at in 0usize..2500, cut in 0usize..60, insert in "\\PC{0,8}",
    ) {
        let pods = include_str!("../../../../examples/two-nodes/pods.yaml");
        let good = format!("{ALLOW}---\n{}---\n{pods}", namespace("shop"));
        let mut chars: Vec<char> = good.chars().collect();
        let at = at.min(chars.len());
        let end = (at + cut).min(chars.len());
        chars.splice(at..end, insert.chars());
        let broken: String = chars.into_iter().collect();
        let (mut one, mut two) = (Store::default(), Store::default());
        let files = [("a", good.as_str()), ("b", broken.as_str())];
        files.iter().for_each(|(name, text)| drop(one.replace_file(name, text)));
        files.iter().rev().for_each(|(name, text)| drop(two.replace_file(name, text)));
        let compiled = one.compile();
        proptest::prop_assert_eq!(&compiled, &two.compile());
        drop(crate::Summary::of(&compiled).to_json());
    }
}
