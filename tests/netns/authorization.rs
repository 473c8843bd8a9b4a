//! AuthorizationPolicy, field by field, on real connections.

use anyhow::{Context as _, Result};

use ambit_tests::{Behaviour, Server, ask};

use crate::shop::{PORT, Shop};

/// The second port of `web`.
const PORT_2: u16 = 8081;

/// A policy for `web`, and who of `client`, `other` and `plain` then reaches its two ports. Addresses
/// stand for the pods': CLIENT, OTHER, PLAIN, WEB.
const CASES: &[(&str, &str, &str)] = &[
    // Sources.
    ("ALLOW [{from: [{source: {principals: [cluster.local/ns/shop/sa/client]}}]}]", "client", "client"),
    ("ALLOW [{from: [{source: {principals: ['*']}}]}]", "client other", "client other"),
    ("ALLOW [{from: [{source: {principals: ['*/sa/other']}}]}]", "other", "other"),
    ("ALLOW [{from: [{source: {principals: ['cluster.local/ns/shop/*']}}]}]", "client other", "client other"),
    ("ALLOW [{from: [{source: {principals: ['elsewhere/ns/shop/*']}}]}]", "", ""),
    ("ALLOW [{from: [{source: {notPrincipals: [cluster.local/ns/shop/sa/client]}}]}]", "other plain", "other plain"),
    ("DENY [{from: [{source: {notPrincipals: [cluster.local/ns/shop/sa/client]}}]}]", "client", "client"),
    ("DENY [{from: [{source: {notPrincipals: ['*']}}]}]", "client other", "client other"),
    ("ALLOW [{from: [{source: {namespaces: [shop]}}]}]", "client other", "client other"),
    ("ALLOW [{from: [{source: {namespaces: [outside]}}]}]", "", ""),
    ("DENY [{from: [{source: {notNamespaces: [shop]}}]}]", "client other", "client other"),
    ("ALLOW [{from: [{source: {serviceAccounts: [client]}}]}]", "client", "client"),
    ("ALLOW [{from: [{source: {serviceAccounts: [shop/client, shop/other]}}]}]", "client other", "client other"),
    ("ALLOW [{from: [{source: {serviceAccounts: [outside/client]}}]}]", "", ""),
    ("DENY [{from: [{source: {notServiceAccounts: [other]}}]}]", "other", "other"),
    ("ALLOW [{from: [{source: {ipBlocks: [CLIENT]}}]}]", "client", "client"),
    ("ALLOW [{from: [{source: {ipBlocks: [PLAIN/32, OTHER/32]}}]}]", "other plain", "other plain"),
    ("DENY [{from: [{source: {notIpBlocks: [10.101.1.0/24]}}]}]", "client other", "client other"),
    // Operations.
    ("ALLOW [{to: [{operation: {ports: ['8081']}}]}]", "", "client other plain"),
    ("DENY [{to: [{operation: {notPorts: ['8080']}}]}]", "client other plain", ""),
    ("ALLOW [{to: [{operation: {ports: ['80']}}]}]", "", ""),
    // Conditions.
    ("ALLOW [{when: [{key: source.ip, values: [CLIENT]}]}]", "client", "client"),
    ("ALLOW [{when: [{key: source.namespace, values: [shop]}]}]", "client other", "client other"),
    ("DENY [{when: [{key: source.principal, notValues: [cluster.local/ns/shop/sa/other]}]}]", "other", "other"),
    ("ALLOW [{when: [{key: source.serviceAccount, values: [shop/client]}]}]", "client", "client"),
    ("ALLOW [{when: [{key: destination.ip, values: [WEB]}]}]", "client other plain", "client other plain"),
    ("ALLOW [{when: [{key: destination.ip, values: [CLIENT]}]}]", "", ""),
    ("DENY [{when: [{key: destination.port, values: ['8080']}]}]", "", "client other plain"),
    // Within a rule all must hold, of rules and of sources one.
    (
        "ALLOW [{from: [{source: {serviceAccounts: [client]}}], to: [{operation: {ports: ['8080']}}]}, \
         {from: [{source: {ipBlocks: [PLAIN]}}, {source: {serviceAccounts: [other]}}], to: [{operation: {ports: ['8081']}}]}]",
        "client",
        "other plain",
    ),
    ("ALLOW [{from: [{source: {namespaces: [shop], ipBlocks: [CLIENT, PLAIN]}}]}]", "client", "client"),
    // Everybody and nobody.
    ("ALLOW [{}]", "client other plain", "client other plain"),
    ("ALLOW []", "", ""),
    ("DENY [{}]", "", ""),
    // What is not visible in a TCP connection allows nothing, and denies whatever it may mean.
    ("ALLOW [{to: [{operation: {methods: [GET]}}]}]", "", ""),
    ("ALLOW [{from: [{source: {serviceAccounts: [client]}}], to: [{operation: {paths: [/open]}}]}]", "", ""),
    (
        "ALLOW [{when: [{key: 'request.headers[x]', values: [a-value]}]}, {from: [{source: {serviceAccounts: [other]}}]}]",
        "other",
        "other",
    ),
    ("DENY [{to: [{operation: {methods: [POST]}}]}]", "", ""),
    (
        "DENY [{from: [{source: {serviceAccounts: [client]}}], to: [{operation: {methods: [POST]}}]}]",
        "other plain",
        "other plain",
    ),
    (
        "DENY [{from: [{source: {requestPrincipals: ['*']}}], to: [{operation: {ports: ['8081']}}]}]",
        "client other plain",
        "",
    ),
    ("CUSTOM [{from: [{source: {serviceAccounts: [client]}}]}]", "other plain", "other plain"),
    ("AUDIT [{from: [{source: {serviceAccounts: [client]}}]}]", "client other plain", "client other plain"),
];

#[test]
fn every_field_means_on_the_wire_what_users_know_it_to_mean() -> Result<()> {
    let mut shop = Shop::open()?;
    let _second = Server::start(&shop.web.netns(), PORT_2, Behaviour::Whoami)?;
    for (number, (said, first, second)) in CASES.iter().enumerate() {
        let selector = "selector: {matchLabels: {app: web}}";
        let mark = format!("case-{number}");
        shop.mesh.apply(
            "policy.yaml",
            &(policy(&shop, "shop", &mark, selector, said) + &sign(&mark)),
            &format!("{mark}-sign"),
        )?;
        for (port, expected) in [(PORT, first), (PORT_2, second)] {
            assert_eq!(reaching(&shop, port)?, *expected, "port {port} under {said}");
        }
    }
    Ok(())
}

#[test]
fn a_policy_holds_in_its_scope_and_deny_beats_allow() -> Result<()> {
    let mut shop = Shop::open()?;
    let (all, client) = ("ALLOW [{}]", "ALLOW [{from: [{source: {serviceAccounts: [shop/client]}}]}]");
    let not_client = "DENY [{from: [{source: {serviceAccounts: [shop/client]}}]}]";
    let (web, nothing) = ("selector: {matchLabels: {app: web}}", "");
    let cases = [
        ("mesh", vec![("istio-system", nothing, client)], "client"),
        ("namespace", vec![("shop", nothing, client)], "client"),
        ("another namespace", vec![("outside", nothing, client)], "client other plain"),
        ("selected", vec![("shop", web, client)], "client"),
        ("not selected", vec![("shop", "selector: {matchLabels: {app: other}}", client)], "client other plain"),
        ("allowed by one of two", vec![("istio-system", nothing, client), ("shop", web, all)], "client other plain"),
        ("denied by the mesh", vec![("istio-system", nothing, not_client), ("shop", web, all)], "other plain"),
        ("denied to the selected", vec![("istio-system", nothing, all), ("shop", web, not_client)], "other plain"),
    ];
    for (number, (what, policies, expected)) in cases.into_iter().enumerate() {
        let mark = format!("case-{number}");
        let policies: String = policies
            .iter()
            .map(|(namespace, selector, said)| policy(&shop, namespace, &mark, selector, said))
            .collect();
        shop.mesh.apply("policy.yaml", &(policies + &sign(&mark)), &format!("{mark}-sign"))?;
        assert_eq!(reaching(&shop, PORT)?, expected, "{what}");
    }
    Ok(())
}

/// Who reaches a port of `web`; the others are turned down and never reach the server.
fn reaching(shop: &Shop, port: u16) -> Result<String> {
    let mut names = Vec::new();
    for pod in [&shop.client, &shop.other, &shop.plain] {
        let outcome = ask(&pod.netns(), shop.web.at(port), "who")?;
        if outcome.is_turned_down() {
            continue;
        }
        outcome.answer().with_context(|| format!("{}, port {port}", pod.name()))?;
        names.push(pod.name());
    }
    Ok(names.join(" "))
}

fn policy(shop: &Shop, namespace: &str, name: &str, selector: &str, said: &str) -> String {
    let (action, rules) = said.split_once(' ').unwrap_or((said, "[]"));
    let mut rules = rules.to_owned();
    for (word, pod) in [("CLIENT", &shop.client), ("OTHER", &shop.other), ("PLAIN", &shop.plain), ("WEB", &shop.web)] {
        rules = rules.replace(word, &pod.ip4().to_string());
    }
    let rules = if rules == "[]" { String::new() } else { format!("  rules: {rules}\n") };
    let provider = if action == "CUSTOM" { "  provider: {name: somebody}\n" } else { "" };
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
         metadata: {{name: {name}, namespace: {namespace}}}\n\
         spec:\n  action: {action}\n{provider}{}{rules}---\n",
        if selector.is_empty() { String::new() } else { format!("  {selector}\n") }
    )
}

/// A policy of no effect, last in its file: where it is shown, all of the file is in force.
fn sign(mark: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
         metadata: {{name: {mark}-sign, namespace: nowhere}}\nspec: {{rules: [{{}}]}}\n"
    )
}
