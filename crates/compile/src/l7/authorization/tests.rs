use std::sync::Arc;

use ambit_l7::{Condition, HttpAuthorization, HttpAuthorizationAction, HttpAuthorizationRule, PathPattern};
use ambit_model::AppProtocol;

use crate::l7::fixtures::{Mesh, REVIEWS, object, patterns, said, service};

fn policy(name: &str, spec: &str) -> String {
    object("AuthorizationPolicy", name, spec)
}

const TARGET: &str = "targetRefs: [{kind: Service, group: '', name: reviews}]";

fn compile(spec: &str) -> (Vec<Arc<HttpAuthorization>>, Vec<String>) {
    let mut mesh = Mesh::new();
    let delta = mesh.put(&policy("shop/p", &format!("{TARGET}\n{spec}")));
    (mesh.rules(REVIEWS).authorization.clone(), said(&delta))
}

fn from(rule: &HttpAuthorizationRule) -> String {
    let of = &rule.from[0];
    let texts = [
        ("principal", &of.principals),
        ("!principal", &of.not_principals),
        ("request", &of.request_principals),
        ("!request", &of.not_request_principals),
        ("namespace", &of.namespaces),
        ("!namespace", &of.not_namespaces),
        ("account", &of.service_accounts),
        ("!account", &of.not_service_accounts),
        ("domain", &of.trust_domains),
        ("!domain", &of.not_trust_domains),
    ];
    let blocks = [
        ("ip", &of.ip_blocks),
        ("!ip", &of.not_ip_blocks),
        ("remote", &of.remote_ip_blocks),
        ("!remote", &of.not_remote_ip_blocks),
    ];
    let texts = texts.iter().filter(|(_, of)| !of.is_empty()).map(|(name, of)| format!("{name}={}", patterns(of)));
    let blocks = blocks.iter().filter(|(_, of)| !of.is_empty()).map(|(name, of)| format!("{name}={of:?}"));
    texts.chain(blocks).collect::<Vec<_>>().join(" ")
}

fn to(rule: &HttpAuthorizationRule) -> String {
    let of = &rule.to[0];
    let path = |of: &PathPattern| match of {
        PathPattern::Text(of) => patterns(std::slice::from_ref(of)),
        PathPattern::Template(of) => format!("template {}", of.0.len()),
    };
    let paths = |of: &[PathPattern]| of.iter().map(path).collect::<Vec<_>>().join(",");
    format!(
        "{} !{} {:?} !{:?} {} !{} {} !{}",
        patterns(&of.hosts),
        patterns(&of.not_hosts),
        of.ports,
        of.not_ports,
        patterns(&of.methods),
        patterns(&of.not_methods),
        paths(&of.paths),
        paths(&of.not_paths)
    )
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all others look alike")]
fn when(rule: &HttpAuthorizationRule) -> String {
    match &rule.when[0] {
        Condition::Claim { path, values, .. } => format!("Claim {} {}", path.join("."), patterns(values)),
        Condition::Header { name, values, not_values } => {
            format!("Header {name} {} !{}", patterns(values), patterns(not_values))
        }
        other => format!("{other:?}"),
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_field_of_a_rule_is_there() {
    type Show = fn(&HttpAuthorizationRule) -> String;
    for (written, show, expected) in [
        (
            "from: [{source: {principals: ['spiffe://td/ns/a/sa/b', '*'], notPrincipals: ['td/*']}}]",
            from as Show,
            "principal=td/ns/a/sa/b,* !principal=td/*",
        ),
        (
            "from: [{source: {requestPrincipals: ['iss/*'], notRequestPrincipals: ['*/sub']}}]",
            from,
            "request=iss/* !request=*/sub",
        ),
        ("from: [{source: {namespaces: [a], notNamespaces: [b]}}]", from, "namespace=a !namespace=b"),
        ("from: [{source: {serviceAccounts: [a], notServiceAccounts: [b/c]}}]", from, "account=shop/a !account=b/c"),
        ("from: [{source: {trustDomains: [td], notTrustDomains: ['*x']}}]", from, "domain=td !domain=*x"),
        (
            "from: [{source: {ipBlocks: [10.1.2.3/8], notIpBlocks: [1.2.3.4]}}]",
            from,
            "ip=[10.0.0.0/8] !ip=[1.2.3.4/32]",
        ),
        (
            "from: [{source: {remoteIpBlocks: [10.0.0.0/8], notRemoteIpBlocks: ['::1']}}]",
            from,
            "remote=[10.0.0.0/8] !remote=[::1/128]",
        ),
        (
            "to: [{operation: {hosts: [A.b, '*.c'], notHosts: [d], ports: ['80'], notPorts: ['81']}}]",
            to,
            "a.b,*.c !d [80] ![81]  !  !",
        ),
        (
            "to: [{operation: {methods: [GET], notMethods: [PUT], paths: [/a, '/b*'], notPaths: ['/t/{*}/x/{**}']}}]",
            to,
            " ! [] ![] GET !PUT /a,/b* !template 4",
        ),
        ("when: [{key: 'request.headers[X-A]', values: [a], notValues: ['b*']}]", when, "Header x-a a !b*"),
        ("when: [{key: source.ip, values: [1.2.3.4]}]", when, "SourceIp { values: [1.2.3.4/32], not_values: [] }"),
        ("when: [{key: remote.ip, notValues: [1.2.3.4]}]", when, "RemoteIp { values: [], not_values: [1.2.3.4/32] }"),
        (
            "when: [{key: source.namespace, values: [a]}]",
            when,
            r#"SourceNamespace { values: [Exact("a")], not_values: [] }"#,
        ),
        (
            "when: [{key: source.principal, values: ['spiffe://a']}]",
            when,
            r#"SourcePrincipal { values: [Exact("a")], not_values: [] }"#,
        ),
        (
            "when: [{key: source.serviceAccount, values: [a]}]",
            when,
            r#"SourceServiceAccount { values: [Exact("shop/a")], not_values: [] }"#,
        ),
        (
            "when: [{key: request.auth.principal, values: ['*']}]",
            when,
            "RequestPrincipal { values: [Present], not_values: [] }",
        ),
        (
            "when: [{key: request.auth.audiences, values: [a]}]",
            when,
            r#"Audiences { values: [Exact("a")], not_values: [] }"#,
        ),
        (
            "when: [{key: request.auth.presenter, values: [a]}]",
            when,
            r#"Presenter { values: [Exact("a")], not_values: [] }"#,
        ),
        ("when: [{key: 'request.auth.claims[realm][roles]', values: [a]}]", when, "Claim realm.roles a"),
        (
            "when: [{key: destination.ip, values: [10.0.0.0/8]}]",
            when,
            "DestinationIp { values: [10.0.0.0/8], not_values: [] }",
        ),
        ("when: [{key: destination.port, values: ['80']}]", when, "DestinationPort { values: [80], not_values: [] }"),
        (
            "when: [{key: connection.sni, values: [a.b]}]",
            when,
            r#"ServerName { values: [Exact("a.b")], not_values: [] }"#,
        ),
    ] {
        let (policies, said) = compile(&format!("rules:\n- {written}"));
        assert!(said.is_empty(), "{written}: {said:?}");
        assert_eq!(show(&policies[0].rules[0]), expected, "{written}");
    }
}

#[test]
fn what_a_policy_is_attached_to() {
    let ratings = "shop/ratings.shop.svc.cluster.local";
    let everything = [REVIEWS, ratings, "shop/api.example.com"];
    let gateway = "group: gateway.networking.k8s.io";
    for (name, targets, expected) in [
        ("shop/p", "targetRefs: [{kind: Service, name: reviews}]".to_owned(), &[REVIEWS][..]),
        ("shop/p", "targetRef: {kind: Service, name: reviews}".to_owned(), &[REVIEWS]),
        (
            "shop/p",
            "targetRefs: [{kind: Service, name: reviews}, {kind: Service, name: ratings}]".to_owned(),
            &[REVIEWS, ratings],
        ),
        (
            "shop/p",
            "targetRefs: [{group: networking.istio.io, kind: ServiceEntry, name: entry}]".to_owned(),
            &["shop/api.example.com"],
        ),
        ("shop/p", format!("targetRefs: [{{{gateway}, kind: Gateway, name: waypoint}}]"), &everything),
        ("shop/p", format!("targetRefs: [{{{gateway}, kind: Gateway, name: other}}]"), &[]),
        ("other/p", format!("targetRefs: [{{{gateway}, kind: Gateway, name: waypoint}}]"), &[]),
        (
            "istio-system/p",
            format!("targetRefs: [{{{gateway}, kind: GatewayClass, name: istio-waypoint}}]"),
            &everything,
        ),
        ("istio-system/p", format!("targetRefs: [{{{gateway}, kind: GatewayClass, name: istio}}]"), &[]),
        ("other/p", "targetRefs: [{kind: Service, name: reviews}]".to_owned(), &[]),
        ("shop/p", "selector: {matchLabels: {app: reviews}}".to_owned(), &[]),
        ("shop/p", "{}".to_owned(), &[]),
    ] {
        let mut mesh = Mesh::new();
        let delta = mesh.put(&policy(name, &targets));
        assert!(said(&delta).is_empty(), "{targets}: {delta:?}");
        let found: Vec<_> = everything.into_iter().filter(|of| !mesh.rules(of).authorization.is_empty()).collect();
        assert_eq!(found, expected, "{targets}");
        assert_eq!(delta.default, expected.len() == 3, "{targets}");
        assert_eq!(mesh.config().default.authorization.len(), usize::from(delta.default), "{targets}");
    }
}

#[test]
fn actions_and_providers() {
    let (policies, said_of) = compile("action: DENY\nrules: [{}]");
    assert!(said_of.is_empty(), "{said_of:?}");
    assert_eq!((&policies[0].action, policies[0].dry_run), (&HttpAuthorizationAction::Deny, false));
    let (policies, _) = compile("action: AUDIT\nrules: [{}]");
    assert_eq!(policies[0].action, HttpAuthorizationAction::Audit);
    let mut mesh = Mesh::new();
    let custom = policy("shop/p", &format!("{TARGET}\naction: CUSTOM\nprovider: {{name: opa}}\nrules: [{{}}]"));
    let delta = mesh.put(&custom);
    assert!(said(&delta)[0].starts_with("warning spec.provider: there is no extension provider \"opa\""), "{delta:?}");
    assert_eq!(mesh.rules(REVIEWS).authorization[0].action, HttpAuthorizationAction::Deny);
    let delta = mesh.put(&object(
        "MeshConfig",
        "istio-system/default",
        "extensionProviders:
- name: opa
  envoyExtAuthzHttp:
    service: ext/opa.ext.svc.cluster.local
    port: 8181
    timeout: 1s
    pathPrefix: /check
    failOpen: true
    statusOnError: '503'
    includeRequestHeadersInCheck: [X-A, 'x-b*']
    includeAdditionalHeadersInCheck: {c: d}
    includeRequestBodyInCheck: {maxRequestBytes: 10, allowPartialMessage: true}
    headersToUpstreamOnAllow: [e]
    headersToDownstreamOnDeny: [f]
    headersToDownstreamOnAllow: [g]",
    ));
    let bytes =
        "warning spec.provider: connections to reviews.shop.svc.cluster.local at [9080] that are no HTTP are denied";
    let [no_http, no_service] = &said(&delta)[..] else { panic!("{delta:?}") };
    assert!(no_http.starts_with(bytes), "{no_http}");
    assert!(no_service.contains("no service has the host \"opa.ext.svc.cluster.local\""), "{no_service}");
    let delta = mesh.put_service(&service("ext/opa.ext.svc.cluster.local", &[8181], false));
    let [no_http] = &said(&delta)[..] else { panic!("{delta:?}") };
    assert!(no_http.starts_with(bytes) && delta.services.len() == 1, "{delta:?}");
    let mut http = (*service(REVIEWS, &[9080], true)).clone();
    http.ports[0].app_protocol = AppProtocol::Http11;
    assert!(said(&mesh.put_service(&Arc::new(http))).is_empty(), "its ports speak HTTP");
    let rules = mesh.rules(REVIEWS);
    let HttpAuthorizationAction::Custom(authorizer) = &rules.authorization[0].action else { panic!("{rules:?}") };
    let shown = format!("{} {} {:?} {}", authorizer.service, authorizer.port, authorizer.timeout, authorizer.fail_open);
    assert_eq!(shown, "ext/opa.ext.svc.cluster.local 8181 1s true");
    assert_eq!(authorizer.status_on_error.as_u16(), 503);
    assert_eq!(authorizer.body.map(|body| body.max_bytes), Some(10));
    assert!(format!("{:?}", authorizer.protocol).contains(r#"include_request_headers: [Exact("x-a"), Prefix("x-b")]"#));
    // The provider goes: nobody can be asked, and nothing passes.
    mesh.put(&object(
        "MeshConfig",
        "istio-system/default",
        "extensionProviders: [{name: x, envoyExtAuthzGrpc: {service: opa, port: 1}}]",
    ));
    assert_eq!(mesh.rules(REVIEWS).authorization[0].action, HttpAuthorizationAction::Deny);
}

#[test]
fn a_policy_that_is_not_valid_never_lets_in() {
    let bad = policy("shop/p", &format!("{TARGET}\nrules: [{{when: [{{key: nonsense, values: [a]}}]}}]"));
    let mut mesh = Mesh::new();
    let delta = mesh.put(&bad);
    let words = said(&delta);
    assert!(words[0].contains("unknown attribute") && words[1].contains("everything is denied"), "{words:?}");
    let denied = &mesh.rules(REVIEWS).authorization[0];
    assert_eq!((&denied.action, denied.rules.len()), (&HttpAuthorizationAction::Deny, 1));
    // Again not valid: the same.
    assert!(said(&mesh.put(&bad)).is_empty(), "nothing else is to be said");
    assert_eq!(mesh.rules(REVIEWS).authorization[0].action, HttpAuthorizationAction::Deny);
    // Valid at last, and then not again: the valid version stays.
    mesh.put(&policy("shop/p", &format!("{TARGET}\nrules: [{{}}]")));
    assert_eq!(mesh.rules(REVIEWS).authorization[0].action, HttpAuthorizationAction::Allow);
    let delta = mesh.put(&bad);
    assert!(said(&delta)[1].contains("last valid version"), "{delta:?}");
    assert_eq!(mesh.rules(REVIEWS).authorization[0].action, HttpAuthorizationAction::Allow);
}

#[test]
fn a_policy_that_cannot_be_read_never_lets_in() {
    for (kind, spec) in [
        ("AuthorizationPolicy", "rulez: [{}]"),
        ("AuthorizationPolicy", "action: PERMIT"),
        ("AuthorizationPolicy", "rules: [{from: [{source: {principals: []}}]}]"),
        ("RequestAuthentication", "jwtRules: [{isuer: a}]"),
    ] {
        let broken = object(kind, "shop/p", &format!("{TARGET}\n{spec}"));
        let mut mesh = Mesh::new();
        let words = said(&mesh.put(&broken));
        assert!(words.iter().any(|said| said.contains("everything is denied")), "{spec}: {words:?}");
        let denied = Arc::clone(&mesh.rules(REVIEWS).authorization[0]);
        assert_eq!((&denied.action, denied.rules.len()), (&HttpAuthorizationAction::Deny, 1), "{spec}");
        // It is attached to something else, and still cannot be read.
        mesh.put(&object(kind, "shop/p", &format!("targetRefs: [{{kind: Service, name: ratings}}]\n{spec}")));
        assert!(mesh.rules(REVIEWS).authorization.is_empty(), "{spec}");
        // Valid at last, and then not again: the valid version stays.
        mesh.put(&object(kind, "shop/p", TARGET));
        let valid = mesh.rules(REVIEWS);
        let delta = mesh.put(&broken);
        assert!(said(&delta).iter().any(|said| said.contains("last valid version")), "{spec}: {delta:?}");
        assert_eq!(valid.authorization, mesh.rules(REVIEWS).authorization, "{spec}");
    }
    // One for node agents is no business of a waypoint's.
    let delta = Mesh::new().put(&policy("shop/p", "rulez: [{}]"));
    assert!(said(&delta)[1].contains("not in force"), "{delta:?}");
}

#[test]
fn what_an_authorizer_is_told_can_be_told() {
    let spec = "extensionProviders: [{name: a, envoyExtAuthzHttp: {service: a, port: 1, includeAdditionalHeadersInCheck: {x-a: \"a\\nb\"}}}]";
    let words = said(&Mesh::new().put(&object("MeshConfig", "istio-system/default", spec)));
    assert!(words[0].contains("includeAdditionalHeadersInCheck.x-a: \"a\\nb\" cannot be the value"), "{words:?}");
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for (spec, expected) in [
        ("rules: [{to: [{operation: {paths: ['/a/{b}']}}]}]", "paths[0]: "),
        ("rules: [{to: [{operation: {paths: ['/{**}/{**}']}}]}]", "paths[0]: "),
        ("rules: [{to: [{operation: {methods: ['a*b']}}]}]", "methods[0]: \"a*b\""),
        ("rules: [{to: [{operation: {}}]}]", "operation: says nothing"),
        ("rules: [{from: [{source: {}}]}]", "source: says nothing"),
        ("rules: [{from: [{source: {serviceAccounts: [a], namespaces: [b]}}]}]", "serviceAccounts: cannot be combined"),
        ("rules: [{when: [{key: 'request.headers[a b]', values: [a]}]}]", "unknown attribute"),
        ("rules: [{when: [{key: 'request.auth.claims[]', values: [a]}]}]", "unknown attribute"),
        ("rules: [{when: [{key: experimental.envoy.filters.a, values: [a]}]}]", "not supported"),
        ("rules: [{when: [{key: source.ip}]}]", "values or notValues are required"),
        ("action: CUSTOM\nrules: [{}]", "spec.provider"),
        ("selector: {matchLabels: {a: b}}", "spec.selector: cannot be combined"),
        ("targetRef: {kind: Service, name: x}", "spec.targetRef: cannot be combined"),
    ] {
        let (policies, said) = compile(spec);
        assert!(said.iter().any(|said| said.starts_with("error spec.") && said.contains(expected)), "{spec}: {said:?}");
        assert_eq!(policies[0].action, HttpAuthorizationAction::Deny, "{spec}");
    }
    for (target, expected) in [
        ("{kind: Pod, name: x}", "targetRefs[0].kind: Pod of the group"),
        ("{kind: Service, name: x, namespace: y1}", "targetRefs[0].namespace"),
        ("{group: gateway.networking.k8s.io, kind: GatewayClass, name: istio-waypoint}", "in istio-system only"),
    ] {
        let delta = Mesh::new().put(&policy("shop/p", &format!("targetRefs: [{target}]")));
        assert!(said(&delta)[0].contains(expected), "{target}: {delta:?}");
    }
}
