use ambit_resources::{Kind, ObjectId};

use super::{RATINGS, action, decides, http, object, parent};
use crate::l7::fixtures::{Mesh, REVIEWS, inputs, key, object as istio, said, service};

fn id(kind: Kind, name: &str) -> ObjectId {
    let (namespace, name) = name.split_once('/').unwrap();
    ObjectId { kind, namespace: namespace.into(), name: name.into() }
}

fn gateway(listener: &str) -> String {
    let spec = format!(
        "gatewayClassName: istio-waypoint\nlisteners: [{{name: mesh, port: 15008, protocol: HBONE{listener}}}]"
    );
    object("Gateway", "shop/waypoint", 0, &spec)
}

/// An HTTPRoute attached to the waypoint.
fn of_waypoint(name: &str, more: &str, rule: &str) -> String {
    object(
        "HTTPRoute",
        name,
        0,
        &format!("parentRefs: [{{name: waypoint, namespace: shop{more}}}]\nrules: [{{{rule}}}]"),
    )
}

/// As the conformance suite's MeshConsumerRoute asks.
#[test]
fn routes_of_another_namespace_are_for_its_clients_alone() {
    let rule = |name: &str, path: &str| format!("- {{name: {name}, matches: [{{path: {{value: {path}}}}}]}}");
    let mut mesh = Mesh::new();
    mesh.put(&http("client/route", 0, &rule("consumer", "/a")));
    // Others see a service without routes.
    for (line, namespace, expected) in [
        ("GET /a", Some("client"), "consumer"),
        ("GET /b", Some("client"), "no match"),
        ("GET /a", Some("other"), "no routes"),
        ("GET /a", None, "no routes"),
    ] {
        assert_eq!(decides(&mesh.rules(REVIEWS), line, 9080, namespace), expected, "{line} {namespace:?}");
    }
    // With routes of its own, these are for everybody else: the two are not merged.
    mesh.put(&http("shop/route", 0, &rule("producer", "/a/b")));
    mesh.put(&http("client/second", 0, &rule("second", "/a/c")));
    for (line, namespace, expected) in [
        ("GET /a/b", Some("client"), "consumer"),
        ("GET /a/c", Some("client"), "second"),
        ("GET /b", Some("client"), "no match"),
        ("GET /a/b", Some("other"), "producer"),
        ("GET /a", Some("other"), "404"),
        ("GET /a/b", None, "producer"),
    ] {
        assert_eq!(decides(&mesh.rules(REVIEWS), line, 9080, namespace), expected, "{line} {namespace:?}");
    }
    let rules = mesh.rules(REVIEWS);
    let no_match = rules.http.iter().find(|rule| &*rule.origin.name == "no match").unwrap();
    assert_eq!(action(no_match), "respond 404");
}

#[test]
fn a_route_may_be_for_some_ports() {
    let route = |kind: &str, name: &str, parents: &str, rule: &str| {
        object(kind, name, 0, &format!("parentRefs: [{parents}]\nrules: [{{{rule}}}]"))
    };
    let to = |more: &str| format!("{{group: '', kind: Service, name: ratings{more}}}");
    let mut mesh = Mesh::new();
    mesh.put(&route("HTTPRoute", "shop/a", &to(", port: 80"), "name: a"));
    let rules = mesh.rules(RATINGS);
    assert_eq!([80, 8080].map(|port| decides(&rules, "GET /", port, None)), ["a", "no routes"]);
    let own = rules.http.iter().find(|rule| &*rule.origin.name == "no routes").unwrap();
    assert_eq!(action(own), format!("1 {RATINGS}:8080"));
    // For all ports, and for one again: merged where both are.
    mesh.put(&route("HTTPRoute", "shop/b", &to(""), "name: b, matches: [{path: {value: /b}}]"));
    let rules = mesh.rules(RATINGS);
    assert_eq!([80, 8080].map(|port| decides(&rules, "GET /", port, None)), ["a", "404"]);
    assert_eq!([80, 8080].map(|port| decides(&rules, "GET /b", port, None)), ["b", "b"]);
    // One kind for each port.
    let delta = mesh.put(&route("GRPCRoute", "shop/g", &to(", port: 8080"), "name: g"));
    let rules = mesh.rules(RATINGS);
    assert_eq!([80, 8080].map(|port| decides(&rules, "GET /b", port, None)), ["b", "g"]);
    assert_eq!(said(&delta), ["warning spec: a GRPCRoute has port 8080 already: this is out of force there"]);
    // It goes, and all is as before.
    let delta = mesh.remove(id(Kind::GrpcRoute, "shop/g"));
    assert_eq!([80, 8080].map(|port| decides(&mesh.rules(RATINGS), "GET /b", port, None)), ["b", "b"]);
    assert!(said(&delta).is_empty(), "{:?}", said(&delta));
}

#[test]
fn a_port_may_be_named() {
    let mut mesh = Mesh::new();
    let mut named = (*service(RATINGS, &[80, 8080], true)).clone();
    named.ports[1].name = "admin".into();
    mesh.put_service(&named.into());
    let spec = "parentRefs: [{group: '', kind: Service, name: ratings, sectionName: admin}]\nrules: [{name: r}]";
    mesh.put(&object("HTTPRoute", "shop/route", 0, spec));
    assert_eq!([80, 8080].map(|port| decides(&mesh.rules(RATINGS), "GET /", port, None)), ["no routes", "r"]);
}

#[test]
fn routes_of_the_waypoint_are_for_services_without_their_own() {
    let mut mesh = Mesh::new();
    mesh.put(&of_waypoint("shop/all", "", "name: all"));
    mesh.put(&http("shop/own", 0, "- name: own"));
    let asked = |mesh: &Mesh| [REVIEWS, RATINGS].map(|service| decides(&mesh.rules(service), "GET /", 80, None));
    assert_eq!(asked(&mesh), ["own", "all"]);
    mesh.remove(id(Kind::HttpRoute, "shop/own"));
    assert_eq!(asked(&mesh), ["all", "all"]);
    // Host names say which services.
    let spec = "parentRefs: [{name: waypoint}]\nhostnames: [ratings.shop.svc.cluster.local]\nrules: [{name: all}]";
    mesh.put(&object("HTTPRoute", "shop/all", 0, spec));
    assert_eq!(asked(&mesh), ["404", "all"]);
    assert!(mesh.rules(REVIEWS).http.is_empty());
}

#[test]
fn a_waypoint_takes_the_routes_it_allows() {
    let selector = ", allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {team: a}}}}";
    for (listener, more, namespace, expected) in [
        (None, "", "shop", true),
        (None, "", "other", false),
        (Some(""), "", "shop", true),
        (Some(""), "", "other", false),
        (Some(", allowedRoutes: {namespaces: {from: All}}"), "", "other", true),
        (Some(", allowedRoutes: {namespaces: {from: None}}"), "", "shop", false),
        (Some(selector), "", "other", true),
        (Some(selector), "", "shop", false),
        (Some(", allowedRoutes: {kinds: [{kind: GRPCRoute}]}"), "", "shop", false),
        (Some(""), ", sectionName: mesh", "shop", true),
        (Some(""), ", sectionName: other", "shop", false),
        (Some(""), ", port: 15008", "shop", true),
        (Some(""), ", port: 80", "shop", false),
    ] {
        let mut mesh = Mesh::new();
        mesh.put("apiVersion: v1\nkind: Namespace\nmetadata: {name: other, labels: {team: a}}\n");
        mesh.put(&of_waypoint(&format!("{namespace}/route"), more, "name: r"));
        listener.map(|listener| mesh.put(&gateway(listener)));
        assert_eq!(!mesh.rules(REVIEWS).http.is_empty(), expected, "{listener:?} {more} {namespace}");
    }
}

#[test]
fn from_the_waypoint_it_takes_a_grant_to_leave_the_namespace() {
    let grant = |from: &str, to: &str| {
        let from = format!("from: [{{group: gateway.networking.k8s.io, kind: {from}}}]");
        object("ReferenceGrant", "other/grant", 0, &format!("{from}\nto: [{{group: '', kind: {to}}}]"))
    };
    let details = "1 other/details.other.svc.cluster.local:9080";
    let mut mesh = Mesh::new();
    mesh.put(&of_waypoint("shop/route", "", "backendRefs: [{name: details, namespace: other, port: 9080}]"));
    let found = |mesh: &Mesh| action(&mesh.rules(REVIEWS).http[0]);
    assert_eq!(found(&mesh), "1 500 Service other/details");
    for (from, to, expected) in [
        ("HTTPRoute, namespace: shop", "Service", true),
        ("HTTPRoute, namespace: shop", "Service, name: details", true),
        ("HTTPRoute, namespace: shop", "Service, name: multi", false),
        ("HTTPRoute, namespace: front", "Service", false),
        ("GRPCRoute, namespace: shop", "Service", false),
        ("HTTPRoute, namespace: shop", "Secret", false),
    ] {
        mesh.put(&grant(from, to));
        let expected = if expected { details } else { "1 500 Service other/details" };
        assert_eq!(found(&mesh), expected, "{from} {to}");
    }
    mesh.put(&grant("HTTPRoute, namespace: shop", "Service"));
    mesh.remove(id(Kind::ReferenceGrant, "other/grant"));
    assert_eq!(found(&mesh), "1 500 Service other/details");
}

#[test]
fn virtual_services_are_out_of_force_where_there_are_routes() {
    let mut mesh = Mesh::new();
    let spec = "hosts: [reviews]\nhttp: [{name: vs, route: [{destination: {host: reviews}}]}]";
    mesh.put(&istio("VirtualService", "shop/vs", spec));
    assert_eq!(decides(&mesh.rules(REVIEWS), "GET /", 9080, None), "vs");
    let delta = mesh.put(&http("shop/route", 0, "- name: route"));
    assert_eq!(decides(&mesh.rules(REVIEWS), "GET /", 9080, None), "route");
    let host = "reviews.shop.svc.cluster.local";
    let warning = format!(
        "warning spec: not in force for {host}: routes of the Gateway API are attached to it, and only they count"
    );
    assert_eq!(said(&delta), [warning]);
    let delta = mesh.remove(id(Kind::HttpRoute, "shop/route"));
    assert_eq!(decides(&mesh.rules(REVIEWS), "GET /", 9080, None), "vs");
    assert_eq!((delta.issues.len(), said(&delta).len()), (1, 0), "it is taken back");
}

#[test]
fn a_change_costs_what_it_concerns() {
    let mut mesh = Mesh::new();
    let route =
        |name: &str, to: &str| http(name, 0, &format!("- {{name: r, backendRefs: [{{name: {to}, port: 80}}]}}"));
    let delta = mesh.put(&route("shop/a", "ratings"));
    assert_eq!((delta.services.as_slice(), delta.cost.routed, delta.cost.services), (&[key(REVIEWS)][..], 1, 1));
    // Another for the same service: the first is not looked up again, and its rule is the same allocation.
    let before = mesh.rules(REVIEWS);
    let delta = mesh.put(&http("shop/b", 1, "- {name: b, matches: [{path: {value: /b}}]}"));
    assert_eq!((delta.cost.routed, delta.cost.services), (1, 1));
    assert!(std::sync::Arc::ptr_eq(&before.http[0], &mesh.rules(REVIEWS).http[1]));
    // A backend comes and goes.
    let delta = mesh.remove_service(RATINGS);
    assert_eq!((delta.services.as_slice(), delta.cost.routed), (&[key(REVIEWS)][..], 1));
    assert_eq!(action(&mesh.rules(REVIEWS).http[1]), "1 500 Service shop/ratings");
    let delta = mesh.put_service(&service(RATINGS, &[80], true));
    assert_eq!(delta.services, [key(REVIEWS)]);
    assert_eq!(action(&mesh.rules(REVIEWS).http[1]), format!("1 {RATINGS}:80"));
    // The same again: nothing comes out otherwise.
    let delta = mesh.put(&route("shop/a", "ratings"));
    assert_eq!((delta.services.len(), delta.issues.len(), delta.routes.len()), (0, 0, 0));
    // The service is no more this waypoint's.
    mesh.put_service(&service(REVIEWS, &[9080], false));
    assert!(!mesh.config().services.contains_key(&key(REVIEWS)));
    let spec = format!("{}\nrules: [{{name: r}}]", parent("gone"));
    assert_eq!(mesh.put(&object("HTTPRoute", "shop/c", 0, &spec)).services, []);
}

#[test]
fn one_route_among_many_costs_little() {
    const ROUTES: usize = 500;
    let route = |i: usize, to: &str| {
        let rule = format!(
            "- {{matches: [{{path: {{value: /r{i}}}, headers: [{{name: x-{i}, value: a}}]}}], backendRefs: [{{name: {to}, port: 80}}]}}"
        );
        inputs(&http(&format!("shop/r{i}"), 0, &rule))
    };
    let mut mesh = Mesh::new();
    let all: Vec<_> = (0..ROUTES).flat_map(|i| route(i, "ratings")).collect();
    mesh.store.apply(all, [], &mesh.services);
    let before = mesh.rules(REVIEWS);
    let changed = route(311, "gone");
    let delta = mesh.store.apply(changed, [], &mesh.services);
    assert_eq!((delta.cost.objects, delta.cost.routed, delta.cost.services), (1, 1, 1));
    let after = mesh.rules(REVIEWS);
    let made = before.http.iter().zip(&after.http).filter(|(before, after)| !std::sync::Arc::ptr_eq(before, after));
    assert_eq!((before.http.len(), made.count()), (ROUTES, 1), "only the rule that changed is another");
}
