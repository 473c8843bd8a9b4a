use std::sync::Arc;

use ambit_l7::{Traffic, TrafficPolicy};

use crate::l7::fixtures::{Mesh, REVIEWS, key, object, said};

fn rule(name: &str, spec: &str) -> String {
    object("DestinationRule", name, spec)
}

/// What a DestinationRule for `reviews` comes to.
fn compile(spec: &str) -> (Option<Arc<Traffic>>, Vec<String>) {
    let mut mesh = Mesh::new();
    let delta = mesh.put(&rule("shop/dr", &format!("host: reviews\n{spec}")));
    (mesh.config().traffic(&key(REVIEWS)).cloned(), said(&delta))
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_field_of_a_policy_is_there() {
    type Show = fn(&TrafficPolicy) -> String;
    let balancing: Show = |policy| format!("{:?}", policy.load_balancing);
    let warmup: Show = |policy| format!("{:?}", policy.warmup);
    let tcp: Show = |policy| format!("{:?}", policy.pool.tcp);
    let http: Show = |policy| format!("{:?}", policy.pool.http);
    let tls: Show = |policy| format!("{:?}", policy.tls);
    let ring = "ring: Ring { minimum_size: 1024 }";
    for (written, show, expected) in [
        ("loadBalancer: {simple: UNSPECIFIED}", balancing, "LeastRequest".to_owned()),
        ("loadBalancer: {simple: LEAST_CONN}", balancing, "LeastRequest".to_owned()),
        ("loadBalancer: {simple: LEAST_REQUEST}", balancing, "LeastRequest".to_owned()),
        ("loadBalancer: {simple: RANDOM}", balancing, "Random".to_owned()),
        ("loadBalancer: {simple: PASSTHROUGH}", balancing, "Passthrough".to_owned()),
        ("loadBalancer: {simple: ROUND_ROBIN}", balancing, "RoundRobin".to_owned()),
        ("loadBalancer: {consistentHash: {httpHeaderName: X-User}}", balancing, format!("ConsistentHash(ConsistentHash {{ key: Header(\"x-user\"), {ring} }})")),
        ("loadBalancer: {consistentHash: {useSourceIp: true, ringHash: {minimumRingSize: 7}}}", balancing, "ConsistentHash(ConsistentHash { key: SourceIp, ring: Ring { minimum_size: 7 } })".to_owned()),
        ("loadBalancer: {consistentHash: {httpQueryParameterName: q, minimumRingSize: 9}}", balancing, "ConsistentHash(ConsistentHash { key: Query(\"q\"), ring: Ring { minimum_size: 9 } })".to_owned()),
        (
            "loadBalancer: {consistentHash: {httpCookie: {name: c, path: /p, ttl: 1h, attributes: [{name: SameSite, value: Strict}]}, maglev: {tableSize: 13}}}",
            balancing,
            "ConsistentHash(ConsistentHash { key: Cookie(Cookie { name: \"c\", path: Some(\"/p\"), ttl: Some(3600s), attributes: [(\"SameSite\", \"Strict\")] }), ring: Maglev { table_size: 13 } })".to_owned(),
        ),
        ("loadBalancer: {consistentHash: {useSourceIp: true, maglev: {}}}", balancing, "ConsistentHash(ConsistentHash { key: SourceIp, ring: Maglev { table_size: 65537 } })".to_owned()),
        ("loadBalancer: {simple: ROUND_ROBIN, warmup: {duration: 60s, minimumPercent: 20, aggression: 1.5}}", warmup, "Some(Warmup { duration: 60s, minimum_percent: 20, aggression: Aggression(1500) })".to_owned()),
        ("loadBalancer: {warmupDurationSecs: 30s}", warmup, "Some(Warmup { duration: 30s, minimum_percent: 10, aggression: Aggression(1000) })".to_owned()),
        (
            "connectionPool: {tcp: {maxConnections: 5, connectTimeout: 30ms, maxConnectionDuration: 1h, idleTimeout: 10s, tcpKeepalive: {probes: 3, time: 7200s, interval: 75s}}}",
            tcp,
            "TcpPool { max_connections: Some(5), connect_timeout: Some(30ms), max_duration: Some(3600s), idle_timeout: Some(10s), keepalive: Some(Keepalive { probes: Some(3), time: Some(7200s), interval: Some(75s) }) }".to_owned(),
        ),
        (
            "connectionPool: {http: {http1MaxPendingRequests: 1, http2MaxRequests: 2, maxRequestsPerConnection: 3, maxRetries: 4, idleTimeout: 5s, h2UpgradePolicy: UPGRADE, maxConcurrentStreams: 6, http2KeepAlive: {interval: 7s, timeout: 8s}}}",
            http,
            "HttpPool { max_pending: Some(1), max_requests: Some(2), max_requests_per_connection: Some(3), max_retries: Some(4), idle_timeout: Some(5s), upgrade: Upgrade, use_client_protocol: false, max_concurrent_streams: Some(6), http2_keepalive: Some((7s, 8s)) }".to_owned(),
        ),
        ("connectionPool: {http: {useClientProtocol: true, h2UpgradePolicy: DO_NOT_UPGRADE, maxRetries: 0}}", |p| format!("{} {:?} {:?}", p.pool.http.use_client_protocol, p.pool.http.upgrade, p.pool.http.max_retries), "true DoNotUpgrade None".to_owned()),
        (
            "outlierDetection: {}",
            |p| format!("{:?}", p.outliers),
            "Some(OutlierDetection { split_local_errors: false, consecutive_local: 5, consecutive_gateway: 0, consecutive_5xx: 5, error_codes: [], interval: 10s, base_ejection: 30s, max_ejection_percent: 10, min_health_percent: 0 })".to_owned(),
        ),
        (
            "outlierDetection: {splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 1, consecutiveGatewayErrors: 2, consecutive5xxErrors: 0, interval: 3s, baseEjectionTime: 4s, maxEjectionPercent: 100, minHealthPercent: 50, outlierDetectionHttpErrorCodes: [429, 503]}",
            |p| format!("{:?}", p.outliers),
            "Some(OutlierDetection { split_local_errors: true, consecutive_local: 1, consecutive_gateway: 2, consecutive_5xx: 0, error_codes: [429, 503], interval: 3s, base_ejection: 4s, max_ejection_percent: 100, min_health_percent: 50 })".to_owned(),
        ),
        ("outlierDetection: {consecutiveErrors: 7}", |p| format!("{}", p.outliers.as_ref().unwrap().consecutive_gateway), "7".to_owned()),
        ("tls: {mode: DISABLE}", tls, "Tls { mode: Disable, subject_alt_names: [], server_name: None, insecure_skip_verify: false, credentials: System }".to_owned()),
        ("tls: {mode: SIMPLE, sni: a.b, subjectAltNames: [c.d]}", tls, "Tls { mode: Simple, subject_alt_names: [\"c.d\"], server_name: Some(\"a.b\"), insecure_skip_verify: false, credentials: System }".to_owned()),
        ("tls: {mode: SIMPLE, insecureSkipVerify: true, caCertificates: /ca, caCrl: /crl}", tls, "Tls { mode: Simple, subject_alt_names: [], server_name: None, insecure_skip_verify: true, credentials: Files { certificate: None, key: None, roots: Some(\"/ca\"), revoked: Some(\"/crl\") } }".to_owned()),
        ("tls: {mode: MUTUAL, clientCertificate: /c, privateKey: /k}", |p| format!("{:?} {:?}", p.tls.mode, p.tls.credentials), "Mutual Files { certificate: Some(\"/c\"), key: Some(\"/k\"), roots: None, revoked: None }".to_owned()),
        ("tls: {mode: MUTUAL, credentialName: s}", |p| format!("{:?}", p.tls.credentials), "Named { namespace: \"shop\", name: \"s\" }".to_owned()),
        ("tls: {mode: ISTIO_MUTUAL}", |p| format!("{:?}", p.tls.mode), "MeshMutual".to_owned()),
        ("tunnel: {targetHost: a.b, targetPort: 443}", |p| format!("{:?}", p.connect_through), "Some((\"a.b\", 443))".to_owned()),
        ("proxyProtocol: {version: V2}", |p| format!("{:?}", p.proxy_protocol), "Some(V2)".to_owned()),
        ("retryBudget: {}", |p| format!("{:?}", p.retry_budget), "Some(RetryBudget { millionths: 200000, minimum: 3, interval: None })".to_owned()),
        ("retryBudget: {percent: 12.5, minRetryConcurrency: 1, budgetInterval: 10s}", |p| format!("{:?}", p.retry_budget), "Some(RetryBudget { millionths: 125000, minimum: 1, interval: Some(10s) })".to_owned()),
    ] {
        let (traffic, said) = compile(&format!("trafficPolicy: {{{written}}}"));
        let missing = said.iter().filter(|said| said.contains("Secret shop/s is not there")).count();
        assert_eq!((said.len(), missing), (missing, usize::from(written.contains("credentialName"))), "{said:?}");
        assert_eq!(show(&traffic.unwrap().policy), expected, "{written}");
    }
}

#[test]
fn near_endpoints_go_first_where_failures_are_seen() {
    let outliers = "outlierDetection: {}";
    let near = "Some(LocalityBalancing { distribute: [], failover: [], failover_priority: [] })";
    let setting = |setting: &str| format!("loadBalancer: {{localityLbSetting: {{{setting}}}}}");
    let place =
        |region: &str, zone: &str| format!("Locality {{ region: Some(\"{region}\"), zone: {zone}, subzone: None }}");
    let split = format!(
        "Some(LocalityBalancing {{ distribute: [LocalitySplit {{ from: {}, to: [({}, 80), ({}, 20)] }}], failover: [], failover_priority: [] }})",
        place("a", "Some(\"z\")"),
        place("a", "Some(\"z\")"),
        place("b", "None"),
    );
    for (written, expected) in [
        ("{}".to_owned(), "None"),
        (format!("{{{outliers}}}"), near),
        (format!("{{{outliers}, {}}}", setting("enabled: false")), "None"),
        (format!("{{{}}}", setting("distribute: [{from: a/z/*, to: {a/z/*: 80, 'b/*': 20}}]")), &split),
        (format!("{{{}}}", setting("failover: [{from: a, to: b}]")), "None"),
        (
            format!("{{{outliers}, {}}}", setting("failover: [{from: a, to: b}]")),
            "Some(LocalityBalancing { distribute: [], failover: [Failover { from: \"a\", to: \"b\" }], failover_priority: [] })",
        ),
        (
            format!("{{{outliers}, {}}}", setting("failoverPriority: [region, 'k=v']")),
            "Some(LocalityBalancing { distribute: [], failover: [], failover_priority: [(\"region\", None), (\"k\", Some(\"v\"))] })",
        ),
    ] {
        let (traffic, said) = compile(&format!("trafficPolicy: {written}"));
        assert!(said.is_empty(), "{written}: {said:?}");
        assert_eq!(format!("{:?}", traffic.unwrap().policy.locality), expected, "{written}");
    }
}

#[test]
fn what_a_port_does_not_say_is_the_default() {
    let (traffic, said) = compile(
        "trafficPolicy:
  loadBalancer: {simple: RANDOM}
  tls: {mode: SIMPLE}
  retryBudget: {}
  portLevelSettings:
  - {port: {number: 80}, loadBalancer: {simple: ROUND_ROBIN}}
subsets:
- name: v1
  labels: {version: v1}
  trafficPolicy:
    tls: {mode: ISTIO_MUTUAL}
    portLevelSettings: [{port: {number: 81}, connectionPool: {tcp: {maxConnections: 1}}}]
- {name: v2, labels: {version: v2}}",
    );
    assert!(said.is_empty(), "{said:?}");
    let traffic = traffic.unwrap();
    let shown = |port: u16, subset: Option<&str>| {
        let policy = traffic.policy(port, subset);
        let most = policy.pool.tcp.max_connections;
        format!("{:?} {:?} {most:?} {}", policy.load_balancing, policy.tls.mode, policy.retry_budget.is_some())
    };
    for (port, subset, expected) in [
        (90, None, "Random Simple None true"),
        (80, None, "RoundRobin Disable None true"),
        (90, Some("v1"), "Random MeshMutual None true"),
        (80, Some("v1"), "RoundRobin MeshMutual None true"),
        (81, Some("v1"), "LeastRequest Disable Some(1) true"),
        (80, Some("v2"), "RoundRobin Disable None true"),
        (81, Some("v2"), "Random Simple None true"),
    ] {
        assert_eq!(shown(port, subset), expected, "{port} {subset:?}");
    }
    assert_eq!(format!("{:?}", traffic.subsets["v1"].labels), r#"{"version": "v1"}"#);
}

#[test]
fn which_rules_are_in_force() {
    let policy = |most: u32| format!("trafficPolicy: {{connectionPool: {{tcp: {{maxConnections: {most}}}}}}}");
    let details = "other/details.other.svc.cluster.local";
    for (rules, service, expected) in [
        // The waypoint's namespace goes before the service's, and that before the root namespace.
        (&[("shop/a", "host: details.other", 1), ("other/a", "host: details", 2)][..], details, Some(1)),
        (
            &[("istio-system/a", "host: details.other.svc.cluster.local", 1), ("other/a", "host: details", 2)],
            details,
            Some(2),
        ),
        (&[("istio-system/a", "host: '*.svc.cluster.local'", 1)], details, Some(1)),
        (&[("third/a", "host: details.other.svc.cluster.local", 1)], details, None),
        // The most exact host.
        (&[("shop/a", "host: '*.shop.svc.cluster.local'", 1), ("shop/b", "host: reviews", 2)], REVIEWS, Some(2)),
        (&[("shop/a", "host: '*'", 1), ("shop/b", "host: '*.svc.cluster.local'", 2)], REVIEWS, Some(2)),
        (&[("ext/a", "host: '*.wild.example'", 1)], "ext/*.wild.example", Some(1)),
        // Of several, the first that says something.
        (&[("shop/a", "host: reviews", 1), ("shop/b", "host: reviews.shop", 2)], REVIEWS, Some(1)),
        // Who sees it.
        (&[("shop/a", "host: reviews\nexportTo: ['.']", 1)], REVIEWS, Some(1)),
        (&[("shop/a", "host: reviews\nexportTo: ['~']", 1)], REVIEWS, None),
        (&[("istio-system/a", "host: reviews.shop.svc.cluster.local\nexportTo: ['.']", 1)], REVIEWS, None),
        (&[("istio-system/a", "host: reviews.shop.svc.cluster.local\nexportTo: [shop]", 1)], REVIEWS, Some(1)),
        // Whose: the waypoint's own pods, and only in their namespace.
        (&[("shop/a", "host: reviews\nworkloadSelector: {matchLabels: {app: waypoint}}", 1)], REVIEWS, Some(1)),
        (&[("shop/a", "host: reviews\nworkloadSelector: {matchLabels: {app: web}}", 1)], REVIEWS, None),
        (&[("other/a", "host: details\nworkloadSelector: {matchLabels: {app: waypoint}}", 1)], details, None),
    ] {
        let mut mesh = Mesh::new();
        for (name, spec, most) in rules {
            mesh.put(&rule(name, &format!("{spec}\n{}", policy(*most))));
        }
        let found =
            mesh.config().traffic(&key(service)).map(|traffic| traffic.policy.pool.tcp.max_connections.unwrap());
        assert_eq!(found, expected, "{rules:?}");
    }
}

#[test]
fn rules_for_one_host_are_merged() {
    let mut mesh = Mesh::new();
    mesh.put(&rule("shop/a", "host: reviews\nsubsets: [{name: v1, labels: {v: a}}]"));
    let delta = mesh.put(&rule(
        "shop/b",
        "host: reviews\ntrafficPolicy: {loadBalancer: {simple: RANDOM}}\nsubsets: [{name: v1, labels: {v: b}}, {name: v2}]",
    ));
    assert_eq!(
        said(&delta),
        ["warning spec.subsets[0]: DestinationRule shop/a is older and says it too: that one counts"]
    );
    assert_eq!(delta.traffic, [key(REVIEWS)]);
    let traffic = mesh.config().traffic(&key(REVIEWS)).cloned().unwrap();
    let shown =
        |name: &str| format!("{:?} {:?}", traffic.subsets[name].labels, traffic.subsets[name].policy.load_balancing);
    assert_eq!((shown("v1"), shown("v2")), (r#"{"v": "a"} Random"#.to_owned(), "{} Random".to_owned()));
    let delta = mesh.put(&rule("shop/a", "host: ratings"));
    assert_eq!(said(&delta), [""; 0], "{delta:?}");
    assert_eq!(delta.issues.len(), 1, "nothing is to be said of the younger one any more");
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_cannot_be_meant_is_refused() {
    for (written, expected) in [
        (
            "loadBalancer: {simple: RANDOM, consistentHash: {useSourceIp: true}}",
            "loadBalancer.consistentHash: cannot be combined",
        ),
        ("loadBalancer: {consistentHash: {}}", "consistentHash: required: one of"),
        (
            "loadBalancer: {consistentHash: {useSourceIp: true, httpHeaderName: x}}",
            "consistentHash: cannot be combined",
        ),
        ("loadBalancer: {consistentHash: {httpHeaderName: 'a b'}}", "httpHeaderName: \"a b\""),
        ("loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 12}}}", "maglev.tableSize"),
        (
            "loadBalancer: {consistentHash: {useSourceIp: true, ringHash: {minimumRingSize: 99999999}}}",
            "ringHash.minimumRingSize",
        ),
        ("loadBalancer: {consistentHash: {httpCookie: {name: ''}}}", "httpCookie.name"),
        ("loadBalancer: {zoneAwareLbSetting: {enabled: true}}", "zoneAwareLbSetting: not supported"),
        ("loadBalancer: {simple: RANDOM, warmup: {duration: 1s}}", "loadBalancer.warmup: cannot be combined"),
        ("loadBalancer: {warmup: {}}", "warmup.duration: required"),
        ("loadBalancer: {warmup: {duration: 1s, aggression: 0.5}}", "warmup.aggression"),
        (
            "loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {a: 50}}]}}",
            "distribute[0].to: 50 is out of range",
        ),
        ("loadBalancer: {localityLbSetting: {distribute: [{from: '*/a', to: {a: 100}}]}}", "distribute[0].from"),
        ("loadBalancer: {localityLbSetting: {failover: [{from: a, to: a}]}}", "failover[0]"),
        (
            "loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {a: 100}}], failoverPriority: [x]}}",
            "distribute: cannot be combined",
        ),
        ("connectionPool: {tcp: {connectTimeout: 0s}}", "tcp.connectTimeout: too short"),
        ("connectionPool: {tcp: {tcpKeepalive: {time: 10ms}}}", "tcpKeepalive.time: too short"),
        (
            "connectionPool: {http: {useClientProtocol: true, h2UpgradePolicy: UPGRADE}}",
            "useClientProtocol: cannot be combined",
        ),
        ("connectionPool: {http: {http2KeepAlive: {interval: 1s}}}", "http2KeepAlive: required"),
        (
            "connectionPool: {http: {maxConcurrentStreams: 4294967295}}",
            "maxConcurrentStreams: 4294967295 is out of range",
        ),
        ("outlierDetection: {interval: 0s}", "outlierDetection.interval: too short"),
        ("outlierDetection: {maxEjectionPercent: 101}", "maxEjectionPercent: 101"),
        ("outlierDetection: {outlierDetectionHttpErrorCodes: [42]}", "outlierDetectionHttpErrorCodes[0]"),
        (
            "outlierDetection: {consecutiveErrors: 1, consecutiveGatewayErrors: 1}",
            "consecutiveErrors: cannot be combined",
        ),
        ("tls: {mode: MUTUAL}", "tls.clientCertificate: required"),
        ("tls: {mode: SIMPLE, clientCertificate: /a}", "tls.clientCertificate: cannot be combined with mode SIMPLE"),
        (
            "tls: {mode: SIMPLE, credentialName: a, caCertificates: /a}",
            "tls.caCertificates: cannot be combined with credentialName",
        ),
        (
            "tls: {mode: ISTIO_MUTUAL, caCertificates: /a}",
            "tls.caCertificates: cannot be combined with mode ISTIO_MUTUAL",
        ),
        (
            "tls: {mode: SIMPLE, insecureSkipVerify: true, subjectAltNames: [a]}",
            "insecureSkipVerify: cannot be combined",
        ),
        ("tunnel: {protocol: POST, targetHost: a, targetPort: 1}", "tunnel.protocol: not supported"),
        ("tunnel: {protocol: GET, targetHost: a, targetPort: 1}", "tunnel.protocol"),
        ("tunnel: {}", "tunnel.targetHost: required"),
        ("portLevelSettings: [{tls: {mode: SIMPLE}}]", "portLevelSettings[0].port: required"),
        (
            "portLevelSettings: [{port: {number: 1}}, {port: {number: 1}}]",
            "portLevelSettings[1].port: \"1\" is there already",
        ),
        ("portLevelSettings: [{port: {number: 1}, tls: {mode: MUTUAL}}]", "portLevelSettings[0].tls.clientCertificate"),
    ] {
        let (traffic, said) = compile(&format!("trafficPolicy: {{{written}}}"));
        assert!(
            said.iter().any(|said| said.starts_with("error spec.") && said.contains(expected)),
            "{written}: {said:?}"
        );
        assert_eq!(traffic, None, "{written}");
    }
    for (spec, expected) in [
        ("subsets: [{labels: {a: b}}]", "spec.subsets[0].name: required"),
        ("subsets: [{name: a}, {name: a}]", "spec.subsets[1].name: \"a\" is there already"),
        (
            "subsets: [{name: a, trafficPolicy: {tls: {mode: MUTUAL}}}]",
            "spec.subsets[0].trafficPolicy.tls.clientCertificate",
        ),
    ] {
        let (_, said) = compile(spec);
        assert!(said.iter().any(|said| said.contains(expected)), "{spec}: {said:?}");
    }
}
