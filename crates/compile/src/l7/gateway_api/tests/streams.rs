use ambit_l7::{CredentialKey, CredentialKind, Credentials, ServiceRules, TlsMode};

use super::{RATINGS, action, object};
use crate::l7::fixtures::{Mesh, REVIEWS, backend, key, object as istio, patterns, said, service};

fn stream(kind: &str, name: &str, parent: &str, more: &str) -> String {
    let parent = format!("parentRefs: [{{group: '', kind: Service, {parent}}}]");
    object(kind, name, 0, &format!("{parent}\n{more}"))
}

fn to(service: &str) -> String {
    format!("rules: [{{backendRefs: [{{name: {service}, port: 80, weight: 3}}, {{name: gone, port: 1}}]}}]")
}

/// The rules for connections, in order: names, port, namespace, backends.
fn tls(rules: &ServiceRules) -> Vec<String> {
    let one = |rule: &std::sync::Arc<ambit_l7::TlsRule>| {
        let found = &rule.matches[0];
        let (port, namespace) = (found.connection.port, found.connection.source.namespace.as_deref());
        let first = backend(&rule.backends[0].backend);
        format!("{} {port:?} {namespace:?} {first}", patterns(&found.server_names))
    };
    rules.tls.iter().map(one).collect()
}

#[test]
fn connections_go_where_a_tcp_route_says_and_so_do_requests_in_them() {
    let mut mesh = Mesh::new();
    mesh.put(&stream("TCPRoute", "shop/tcp", "name: reviews", &to("ratings")));
    let rules = mesh.rules(REVIEWS);
    let [rule] = rules.tcp.as_slice() else { panic!("{rules:?}") };
    let backends: Vec<_> = rule.backends.iter().map(|to| format!("{} {}", to.weight, backend(&to.backend))).collect();
    assert_eq!(backends, [format!("3 {RATINGS}:80"), "1 500 Service shop/gone".to_owned()]);
    assert_eq!(action(&rules.http[0]), backends.join(", "));
    assert_eq!((rules.http.len(), rules.tls.len()), (1, 0));
    // For clients of a namespace, on a port.
    mesh.put(&stream("TCPRoute", "client/tcp", "name: ratings, namespace: shop, port: 80", &to("x")));
    let rules = mesh.rules(RATINGS);
    let found = &rules.tcp[0].matches[0];
    assert_eq!((found.port, found.source.namespace.as_deref()), (Some(80), Some("client")));
    assert_eq!(rules.tcp.len(), 1);
}

#[test]
fn server_names_by_how_much_they_say() {
    let mut mesh = Mesh::new();
    let names = "hostnames: ['*.example', a.b.example, '*.b.example']";
    mesh.put(&stream("TLSRoute", "shop/tls", "name: reviews", &format!("{names}\n{}", to("ratings"))));
    let second = format!("hostnames: [C.example]\n{}", to("reviews"));
    mesh.put(&stream("TLSRoute", "shop/more", "name: reviews", &second));
    let ratings = format!("{RATINGS}:80");
    let expected = [
        format!("a.b.example None None {ratings}"),
        "c.example None None 500 Service shop/reviews".to_owned(),
        format!("*.b.example None None {ratings}"),
        format!("*.example None None {ratings}"),
        " None None 500 no TLSRoute has this server name".to_owned(),
    ];
    assert_eq!(tls(&mesh.rules(REVIEWS)), expected);
    let delta =
        mesh.put(&stream("TLSRoute", "shop/more", "name: reviews", &format!("hostnames: ['a_*']\n{}", to("x"))));
    assert!(said(&delta)[0].contains("a host name"), "{:?}", said(&delta));
}

#[test]
fn tls_to_backends() {
    let policy = |name: &str, second, more: &str, validation: &str| {
        let target = format!("targetRefs: [{{group: '', kind: Service, name: ratings{more}}}]");
        object("BackendTLSPolicy", name, second, &format!("{target}\nvalidation: {{{validation}}}"))
    };
    let mut mesh = Mesh::new();
    let mut named = (*service(RATINGS, &[80, 8080], true)).clone();
    named.ports[1].name = "secure".into();
    mesh.put_service(&named.into());
    let delta = mesh.put(&policy("shop/all", 2, "", "wellKnownCACertificates: System, hostname: r.example"));
    assert_eq!((delta.traffic.as_slice(), said(&delta).len()), (&[key(RATINGS)][..], 0));
    let names = "subjectAltNames: [{type: Hostname, hostname: a.example}, {type: URI, uri: 'spiffe://a/b'}]";
    let delta = mesh.put(&policy(
        "shop/port",
        3,
        ", sectionName: secure",
        &format!("caCertificateRefs: [{{group: '', kind: ConfigMap, name: ca}}], hostname: s.example, {names}"),
    ));
    assert_eq!(said(&delta).len(), 1);
    assert!(said(&delta)[0].contains("ConfigMap shop/ca is not there"), "{delta:?}");
    mesh.put(&istio("DestinationRule", "shop/rule", "host: ratings\nsubsets: [{name: v1, labels: {v: one}}]"));
    let config = mesh.config();
    let traffic = config.traffic(&key(RATINGS)).unwrap();
    for subset in [None, Some("v1")] {
        let of = |port| &traffic.policy(port, subset).tls;
        assert_eq!((of(80).mode, of(80).server_name.as_deref()), (TlsMode::Simple, Some("r.example")));
        assert_eq!(of(80).credentials, Credentials::System);
        assert_eq!(of(8080).server_name.as_deref(), Some("s.example"));
        let ca = CredentialKey { kind: CredentialKind::ConfigMap, namespace: "shop".into(), name: "ca".into() };
        assert_eq!(of(8080).credentials, Credentials::Authorities(vec![ca]));
        assert_eq!(of(8080).subject_alt_names.join(" "), "a.example spiffe://a/b");
    }
    let younger = policy("shop/younger", 4, "", "wellKnownCACertificates: System, hostname: z.example");
    let delta = mesh.put(&younger);
    assert!(said(&delta)[0].contains("BackendTLSPolicy shop/all is older"), "{:?}", said(&delta));
    assert!(delta.traffic.is_empty());
    for (validation, problem) in [
        ("hostname: a", "caCertificateRefs or wellKnownCACertificates"),
        ("wellKnownCACertificates: System", "the name that the certificate is to have"),
        ("hostname: a, wellKnownCACertificates: Other", "expected System"),
    ] {
        let delta = mesh.put(&policy("shop/all", 2, "", validation));
        assert!(said(&delta)[0].contains(problem), "{:?}", said(&delta));
    }
}
