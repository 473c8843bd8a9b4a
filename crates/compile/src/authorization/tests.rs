use std::fmt::Write as _;

use ambit_model::{Match, Rule};

use super::*;
use crate::{Compiled, Store};

/// A policy in the namespace `shop` with the given spec, compiled; and what was said about it.
fn compile(spec: &str) -> (Compiled, Vec<String>) {
    compile_in("shop", "", spec)
}

fn compile_in(namespace: &str, annotations: &str, spec: &str) -> (Compiled, Vec<String>) {
    let spec = spec.replace('\n', "\n  ");
    let text = format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata:\n  name: p\n  namespace: {namespace}\n  annotations: {{{annotations}}}\nspec:\n  {spec}\n"
    );
    let mut store = Store::default();
    let issues = store.replace_file("f.yaml", &text);
    let said = issues.iter().map(|i| format!("{} {}: {}", i.severity.word(), i.field, i.problem)).collect();
    (store.compile(), said)
}

/// Rules in one line: rules by `;`, clauses by `&`, matches by `|`.
fn render(rules: &[Rule]) -> String {
    let join = |parts: Vec<String>, by: &str| parts.join(by);
    let clause = |clause: &ambit_model::Clause| join(clause.matches.iter().map(fields).collect(), " | ");
    let rule = |rule: &Rule| match rule.clauses.as_slice() {
        [] => "everything".to_owned(),
        clauses => join(clauses.iter().map(clause).collect(), " & "),
    };
    join(rules.iter().map(rule).collect(), "; ")
}

fn fields(found: &Match) -> String {
    let mut text = String::new();
    let mut put = |name: &str, values: Vec<String>| {
        if !values.is_empty() {
            write!(text, "{}{name}={}", if text.is_empty() { "" } else { " " }, values.join(",")).unwrap();
        }
    };
    let strings = |values: &[ambit_model::StringMatch]| {
        values
            .iter()
            .map(|value| match value {
                ambit_model::StringMatch::Exact(text) => text.to_string(),
                ambit_model::StringMatch::Prefix(text) => format!("{text}*"),
                ambit_model::StringMatch::Suffix(text) => format!("*{text}"),
                ambit_model::StringMatch::Presence => "*".to_owned(),
            })
            .collect::<Vec<_>>()
    };
    let accounts = |values: &[ambit_model::ServiceAccountMatch]| {
        values.iter().map(|a| format!("{}/{}", a.namespace, a.service_account)).collect::<Vec<_>>()
    };
    let shown = |values: &[ipnet::IpNet]| values.iter().map(ToString::to_string).collect::<Vec<_>>();
    let ports = |values: &[u16]| values.iter().map(ToString::to_string).collect::<Vec<_>>();
    put("principal", strings(&found.principals));
    put("!principal", strings(&found.not_principals));
    put("namespace", strings(&found.namespaces));
    put("!namespace", strings(&found.not_namespaces));
    put("account", accounts(&found.service_accounts));
    put("!account", accounts(&found.not_service_accounts));
    put("source", shown(&found.source_ips));
    put("!source", shown(&found.not_source_ips));
    put("destination", shown(&found.destination_ips));
    put("!destination", shown(&found.not_destination_ips));
    put("port", ports(&found.destination_ports));
    put("!port", ports(&found.not_destination_ports));
    text
}

#[test]
fn rules_mean_what_the_api_says() {
    for (rules, expected) in [
        ("[]", ""),
        ("[{}]", "everything"),
        (
            "[{from: [{source: {principals: [spiffe://td/ns/a/sa/b, 'td/*', '*/sa/c', '*']}}]}]",
            "principal=td/ns/a/sa/b,td/*,*/sa/c,*",
        ),
        (
            "[{from: [{source: {namespaces: [a], notNamespaces: [b]}}, {source: {ipBlocks: [10.1.2.3/8, '::1']}}]}]",
            "namespace=a !namespace=b | source=10.0.0.0/8,::1/128",
        ),
        (
            "[{from: [{source: {notPrincipals: ['*']}}], to: [{operation: {ports: ['80', '443']}}, {operation: {notPorts: ['22']}}]}]",
            "!principal=* & port=80,443 | !port=22",
        ),
        (
            "[{from: [{source: {serviceAccounts: [web, other/db]}}]}, {from: [{source: {notServiceAccounts: [web]}}]}]",
            "account=shop/web,other/db; !account=shop/web",
        ),
        ("[{from: [{source: {notIpBlocks: ['::ffff:10.0.0.0/104']}}]}]", "!source=10.0.0.0/8"),
        (
            "[{from: [{source: {trustDomains: [a, 'b*', '*'], notTrustDomains: [c]}}]}]",
            "principal=a/*,b*,* !principal=c/*",
        ),
        (
            "[{when: [{key: source.ip, values: [1.2.3.4]}, {key: source.namespace, notValues: [a]}]}]",
            "source=1.2.3.4/32 & !namespace=a",
        ),
        ("[{when: [{key: source.principal, values: [a], notValues: ['*b']}]}]", "principal=a !principal=*b"),
        ("[{when: [{key: source.serviceAccount, values: [a/b]}]}]", "account=a/b"),
        (
            "[{when: [{key: destination.ip, values: ['fd00::/8']}, {key: destination.port, notValues: ['8080']}]}]",
            "destination=fd00::/8 & !port=8080",
        ),
    ] {
        for action in ["ALLOW", "DENY"] {
            let (compiled, said) = compile(&format!("action: {action}\nrules: {rules}"));
            assert_eq!(render(&compiled.authorizations[0].rules), expected, "{rules}");
            assert_eq!(said.len(), usize::from(action == "DENY" && rules == "[]"), "{said:?}");
        }
    }
}

#[test]
fn what_is_not_visible_never_widens_an_allow_nor_narrows_a_deny() {
    let l4 = "principals: [a]";
    for (rule, denied) in [
        (format!("from: [{{source: {{{l4}, requestPrincipals: [x]}}}}]"), "principal=a"),
        (format!("from: [{{source: {{{l4}}}}}, {{source: {{remoteIpBlocks: [1.2.3.4]}}}}]"), "everything"),
        (format!("from: [{{source: {{{l4}}}}}]\n  to: [{{operation: {{methods: [GET]}}}}]"), "principal=a"),
        ("to: [{operation: {ports: ['80'], paths: [/x]}}]".into(), "port=80"),
        ("to: [{operation: {ports: ['80']}}, {operation: {notHosts: [x]}}]".into(), "everything"),
        ("to: [{operation: {notMethods: [GET]}}]".into(), "everything"),
        (format!("from: [{{source: {{{l4}}}}}]\n  when: [{{key: 'request.headers[x]', values: [z]}}]"), "principal=a"),
        ("when: [{key: request.auth.principal, notValues: [z]}]".into(), "everything"),
        ("when: [{key: 'request.auth.claims[iss]', values: [z]}]".into(), "everything"),
        ("when: [{key: connection.sni, values: [z]}, {key: destination.port, values: ['1']}]".into(), "port=1"),
        ("from: [{source: {trustDomains: ['*x']}}]".into(), "everything"),
        (format!("from: [{{source: {{{l4}, trustDomains: [x]}}}}]"), "principal=a"),
        (format!("from: [{{source: {{{l4}, notTrustDomains: ['*x']}}}}]"), "principal=a"),
    ] {
        let spec =
            |action: &str| format!("action: {action}\nrules:\n- {rule}\n- to: [{{operation: {{ports: ['9']}}}}]");
        let (compiled, said) = compile(&spec("ALLOW"));
        assert_eq!(render(&compiled.authorizations[0].rules), "port=9", "{rule}");
        assert!(
            said.iter().all(|s| s.starts_with("warning spec.rules[0].") && s.ends_with("allows nothing")),
            "{said:?}"
        );
        assert_eq!(said.len(), 1, "{said:?}");
        let (compiled, said) = compile(&spec("DENY"));
        assert_eq!(render(&compiled.authorizations[0].rules), format!("{denied}; port=9"), "{rule}");
        assert_eq!(said.iter().any(|s| s.contains("denies everything")), denied == "everything", "{said:?}");
        assert!(said.iter().any(|s| s.contains("as if it were not there")), "{said:?}");
    }
}

#[test]
fn an_allow_of_nothing_visible_still_denies_the_rest() {
    let (compiled, _) = compile("rules: [{to: [{operation: {methods: [GET]}}]}]");
    assert_eq!(compiled.authorizations[0].action, Action::Allow);
    assert_eq!(compiled.authorizations[0].rules, []);
}

#[test]
fn reach_action_and_dry_run() {
    for (namespace, annotations, spec, expected) in [
        ("shop", "", "{}", Some((Scope::Namespace, Action::Allow, false))),
        ("istio-system", "", "{}", Some((Scope::Global, Action::Allow, false))),
        ("istio-system", "", "selector: {matchLabels: {a: b}}", Some((Scope::WorkloadSelector, Action::Allow, false))),
        ("shop", "", "selector: {matchLabels: {a: b}}", Some((Scope::WorkloadSelector, Action::Allow, false))),
        ("shop", "", "selector: {}", Some((Scope::Namespace, Action::Allow, false))),
        ("shop", "istio.io/dry-run: 'true'", "action: DENY\nrules: [{}]", Some((Scope::Namespace, Action::Deny, true))),
        ("shop", "istio.io/dry-run: 'yes'", "{}", Some((Scope::Namespace, Action::Allow, false))),
        ("shop", "", "action: CUSTOM\nprovider: {name: x}\nrules: [{}]", Some((Scope::Namespace, Action::Deny, false))),
        ("shop", "", "action: AUDIT\nrules: [{to: [{operation: {paths: [x]}}]}]", None),
        ("shop", "", "targetRef: {kind: Gateway, name: w}\nrules: [{to: [{operation: {paths: [x]}}]}]", None),
        ("shop", "", "targetRefs: [{kind: Gateway, name: w}]\naction: CUSTOM\nprovider: {name: x}", None),
    ] {
        let (compiled, said) = compile_in(namespace, annotations, spec);
        let found = compiled.authorizations.first().map(|a| (a.scope, a.action, a.dry_run));
        assert_eq!(found, expected, "{spec}");
        let expected = usize::from(
            spec.contains("CUSTOM") || spec.contains("AUDIT") || spec.contains("target") || annotations.contains("yes"),
        );
        assert_eq!(said.len(), expected, "{spec}: {said:?}");
    }
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let source = |field: &str| format!("rules: [{{from: [{{source: {{{field}}}}}]}}]");
    let operation = |field: &str| format!("rules: [{{to: [{{operation: {{{field}}}}}]}}]");
    let when = |field: &str| format!("rules: [{{when: [{{{field}}}]}}]");
    for (spec, expected) in [
        (source(""), "spec.rules[0].from[0].source: says nothing"),
        ("rules: [{from: [{}]}]".to_owned(), "spec.rules[0].from[0].source: says nothing"),
        (operation(""), "spec.rules[0].to[0].operation: says nothing"),
        (source("principals: ['']"), "source.principals[0]: empty value"),
        (source("principals: ['a*b']"), "source.principals[0]: \"a*b\""),
        (source("principals: ['*a*']"), "source.principals[0]: \"*a*\""),
        (source("notNamespaces: ['**']"), "source.notNamespaces[0]: \"**\""),
        (source("ipBlocks: [10.0.0.0/33]"), "source.ipBlocks[0]: \"10.0.0.0/33\" is neither"),
        (source("ipBlocks: [1.2.3.4, 10.0.0.1x]"), "source.ipBlocks[1]"),
        (source("serviceAccounts: [a/b/c]"), "source.serviceAccounts[0]"),
        (source("serviceAccounts: ['*']"), "source.serviceAccounts[0]"),
        (source("serviceAccounts: [a], principals: [b]"), "source.serviceAccounts: cannot be combined with principals"),
        (
            source("notServiceAccounts: [a], namespaces: [b]"),
            "source.notServiceAccounts: cannot be combined with namespaces",
        ),
        (operation("ports: ['0']"), "operation.ports[0]: \"0\" is not a port"),
        (operation("ports: ['+80']"), "operation.ports[0]"),
        (operation("notPorts: ['65536']"), "operation.notPorts[0]"),
        (operation("ports: ['80-90']"), "operation.ports[0]"),
        (when("key: source.ip"), "spec.rules[0].when[0]: values or notValues"),
        (when("key: source.ips, values: [a]"), "spec.rules[0].when[0].key: unknown attribute \"source.ips\""),
        (when("key: 'request.headers[x', values: [a]"), "when[0].key: unknown attribute"),
        (when("values: [a]"), "when[0].key: unknown attribute \"\""),
        (when("key: destination.port, values: [http]"), "when[0].values[0]"),
        ("selector: {matchLabels: {a: 'b*'}}".to_owned(), "spec.selector.matchLabels.a: \"b*\" can be no label"),
        ("provider: {name: x}".to_owned(), "spec.provider: cannot be combined"),
        ("action: CUSTOM".to_owned(), "spec.provider: required"),
        (
            "selector: {matchLabels: {a: b}}\ntargetRef: {kind: Gateway, name: x}".to_owned(),
            "spec.targetRef: cannot be combined with selector",
        ),
        (
            "targetRefs: [{kind: Service, name: a}]\ntargetRef: {kind: Gateway, name: x}".to_owned(),
            "spec.targetRefs: cannot be combined with targetRef",
        ),
    ] {
        let (compiled, said) = compile(&spec);
        assert!(said.iter().any(|s| s.starts_with("error ") && s.contains(expected)), "{spec}: {said:?}");
        assert_eq!(compiled.authorizations, [], "{spec}");
    }
}

#[test]
fn selectors_reach_their_namespace_and_from_the_root_all() {
    let pod = |ns: &str, labels: &str| {
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: x, namespace: {ns}, labels: {{{labels}}}}}\nstatus: {{podIP: 10.0.0.{}}}\n",
            ns.len()
        )
    };
    let policy = |ns: &str, name: &str, labels: &str| {
        format!(
            "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: {name}, namespace: {ns}}}\nspec: {{selector: {{matchLabels: {{{labels}}}}}}}\n"
        )
    };
    let mut store = Store::default();
    store.replace_file(
        "f",
        &[
            pod("shop", "a: b, c: d"),
            pod("other", "a: b"),
            policy("shop", "own", "a: b"),
            policy("shop", "no", "a: z"),
            policy("istio-system", "all", "a: b"),
            policy("shop", "both", "a: b, c: d"),
            policy("shop", "wide", ""),
        ]
        .concat(),
    );
    let compiled = store.compile();
    let listed: Vec<_> = compiled
        .workloads
        .iter()
        .map(|w| w.authorization_policies.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(listed, ["istio-system/all", "istio-system/all shop/both shop/own"]);
}
