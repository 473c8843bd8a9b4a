use super::*;

const ALLOW: &str =
    "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p, namespace: shop}\nspec: {}\n";

fn namespace(name: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n")
}

fn policies(store: &Store) -> Vec<String> {
    store.compile(&Options::default()).authorizations.iter().map(|a| format!("{} {:?}", a.key, a.action)).collect()
}

/// Files given one after the other, and what is in force after each, with the number of errors.
fn check(steps: &[(&str, &str, &[&str], usize)]) {
    let mut store = Store::default();
    for (file, text, expected, errors) in steps {
        let issues = store.replace_file(file, text);
        assert_eq!(policies(&store), *expected, "{file} {text}");
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
fn a_store_knows_what_it_lacks() {
    let invalid = ALLOW.replace("{}", "{acton: DENY}");
    for (texts, expected) in [
        (&[ALLOW][..], true),
        (&["a: ["], false),
        (&[invalid.as_str()], false),
        (&[ALLOW, &invalid], true),
        (&[&invalid, "a: ["], false),
        (&[&invalid, ALLOW], true),
        (&["a: [", ALLOW], true),
    ] {
        let mut store = Store::default();
        for text in texts {
            store.replace_file("f", text);
        }
        assert_eq!(store.is_complete(), expected, "{texts:?}");
    }
}

#[test]
fn of_an_object_in_two_files_the_first_file_wins_and_both_are_named() {
    let mut store = Store::default();
    let deny = ALLOW.replace("{}", "{action: DENY, rules: [{}]}");
    store.replace_file("b.yaml", ALLOW);
    store.replace_file("a.yaml", &deny);
    assert_eq!(policies(&store), ["shop/p Deny"]);
    let issues = store.compile(&Options::default()).issues;
    assert_eq!(
        issues.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "b.yaml:1: error: AuthorizationPolicy shop/p: also in a.yaml:1, which wins: first file by name, first document in it"
        ]
    );
    store.remove_file("a.yaml");
    assert_eq!(policies(&store), ["shop/p Allow"]);
    assert_eq!(store.compile(&Options::default()).issues, []);
    let twice = store.replace_file("b.yaml", &format!("{ALLOW}---\n{deny}"));
    assert_eq!(twice.len(), 1);
    assert_eq!(policies(&store), ["shop/p Allow"]);
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
    let compiled = store.compile(&Options::default());
    let addresses: Vec<_> = compiled.workloads.iter().map(|w| w.addresses.len()).collect();
    assert_eq!(addresses, [1, 1, 1, 1]);
    assert_eq!(compiled.workloads[1].addresses, ["10.0.0.2".parse::<IpAddr>().unwrap()]);
    assert_eq!(compiled.issues.len(), 1, "{:?}", compiled.issues);
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
        let compiled = one.compile(&Options::default());
        proptest::prop_assert_eq!(&compiled, &two.compile(&Options::default()));
        drop(crate::Summary::of(&compiled).to_json());
    }
}
