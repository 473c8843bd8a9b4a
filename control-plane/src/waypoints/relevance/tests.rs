use ambit_model::GatewayKey;
use serde_json::json;

use super::*;

/// The scope of the waypoint edge/wp, to which two services are bound, and whose routes lead to three places.
fn scope() -> Scope {
    let mut scope = Scope::new(GatewayKey { namespace: "edge".into(), name: "wp".into() }, "root".into());
    scope.bind(&"shop".into(), Some(&"web.shop.svc.cluster.local".into()), true);
    scope.bind(&"pay".into(), Some(&"api.example.com".into()), true);
    scope.bind(&"pods".into(), None, true);
    let places = [Place::Namespace("stock".into()), Place::Host("db.example.com".into())];
    scope.lead(&places, true);
    scope
}

fn concern(kind: Kind, name: &str, spec: Value) -> Concern {
    let (namespace, name) = name.split_once('/').unwrap();
    Concern::of(Role::of(kind).unwrap(), &namespace.into(), &name.into(), &json!({ "spec": spec }))
}

#[test]
fn what_concerns_a_waypoint() {
    use Kind::*;
    let hosts = |hosts: &[&str]| json!({ "hosts": hosts });
    let host = |host: &str| json!({ "host": host });
    let parent = |kind: &str, namespace: &str, name: &str| json!({ "parentRefs": [{ "group": "", "kind": kind, "namespace": namespace, "name": name }] });
    let none = || json!({});
    for (kind, name, spec, expected) in [
        // Home: its own namespace, those of what is bound to it, and the root.
        (AuthorizationPolicy, "edge/a", none(), true),
        (AuthorizationPolicy, "shop/a", none(), true),
        (RequestAuthentication, "pay/a", none(), true),
        (Telemetry, "pods/a", none(), true),
        (MeshConfig, "root/default", none(), true),
        (RateLimitPolicy, "shop/a", none(), true),
        (AuthorizationPolicy, "other/a", none(), false),
        (RequestAuthentication, "stock/a", none(), false),
        // VirtualServices of other namespaces, by their hosts.
        (VirtualService, "shop/a", hosts(&["anything"]), true),
        (VirtualService, "other/a", hosts(&["web"]), false),
        (VirtualService, "other/a", hosts(&["web.shop"]), true),
        (VirtualService, "other/a", hosts(&["web.shop.svc"]), true),
        (VirtualService, "other/a", hosts(&["Web.shop.svc.cluster.local."]), true),
        (VirtualService, "other/a", hosts(&["webs.shop.svc.cluster.local"]), false),
        (VirtualService, "other/a", hosts(&["*.shop.svc.cluster.local"]), true),
        (VirtualService, "other/a", hosts(&["*.other.svc.cluster.local"]), false),
        (VirtualService, "other/a", hosts(&["*"]), true),
        (VirtualService, "other/a", hosts(&["api.example.com"]), true),
        (VirtualService, "other/a", hosts(&["example.com"]), false),
        (VirtualService, "other/delegate", none(), true),
        // Routes, by their parents.
        (HttpRoute, "other/a", parent("Service", "shop", "web"), true),
        (GrpcRoute, "other/a", parent("Service", "shop", "other"), false),
        (TcpRoute, "other/a", parent("Hostname", "pay", "api.example.com"), true),
        (TlsRoute, "other/a", parent("ServiceEntry", "pay", "api"), true),
        (HttpRoute, "other/a", parent("Gateway", "shop", "web"), false),
        (HttpRoute, "shop/a", parent("Gateway", "shop", "web"), true),
        (HttpRoute, "shop/a", json!({ "parentRefs": [{ "kind": "Service", "name": "web" }] }), true),
        (HttpRoute, "other/a", json!({ "parentRefs": [{ "kind": "Service", "name": "web" }] }), false),
        (HttpRoute, "other/a", json!({ "parentRefs": [{ "name": "wp", "namespace": "edge" }] }), true),
        (HttpRoute, "other/a", json!({ "parentRefs": [{ "name": "wp" }] }), false),
        // How to use what may be routed to.
        (DestinationRule, "stock/a", host("any"), true),
        (DestinationRule, "other/a", host("db.example.com"), true),
        (DestinationRule, "other/a", host("*.example.com"), true),
        (DestinationRule, "other/a", host("web.shop.svc.cluster.local"), false),
        (BackendTlsPolicy, "stock/a", none(), true),
        (BackendTlsPolicy, "other/a", none(), false),
        (ReferenceGrant, "stock/a", none(), true),
        (ReferenceGrant, "other/a", none(), false),
        (Namespace, "/stock", none(), true),
        (Namespace, "/shop", none(), true),
        (Namespace, "/other", none(), false),
        // What it is.
        (Gateway, "edge/wp", none(), true),
        (Gateway, "edge/other", none(), false),
        (GatewayClass, "/istio-waypoint", none(), true),
    ] {
        assert_eq!(concern(kind, name, spec.clone()).is_of(&scope()), expected, "{kind} {name} {spec}");
    }
}

#[test]
fn where_routes_lead() {
    let virtual_service = json!({
        "hosts": ["web"],
        "http": [{
            "route": [{ "destination": { "host": "web" } }, { "destination": { "host": "web.stock.svc.cluster.local" } }],
            "mirror": { "host": "db.example.com" },
        }],
        "tls": [{ "route": [{ "destination": { "host": "a.b" } }] }],
    });
    let route = json!({
        "parentRefs": [{ "kind": "Service", "name": "web" }],
        "rules": [{
            "backendRefs": [{ "name": "web" }, { "name": "web", "namespace": "stock" }],
            "filters": [{ "requestMirror": { "backendRef": { "kind": "Hostname", "name": "db.example.com" } } }],
        }],
    });
    let providers = json!({ "extensionProviders": [
        { "name": "a", "envoyExtAuthzGrpc": { "service": "asked.example.com", "port": 9000 } },
        { "name": "b", "zipkin": { "service": "tracing/zipkin", "port": 9411 } },
    ]});
    let keys = json!({ "jwtRules": [{ "issuer": "i", "jwksUri": "https://keys.example.com:8443/jwks" }] });
    for (kind, spec, expected) in [
        (Kind::MeshConfig, providers, "tracing asked.example.com."),
        (Kind::RequestAuthentication, keys, "keys.example.com."),
        (Kind::RateLimitPolicy, json!({ "global": { "host": "limits.infra", "port": 8081 } }), "infra limits.infra."),
        (Kind::VirtualService, virtual_service, "b shop stock a.b. db.example.com."),
        (Kind::HttpRoute, route, "shop stock db.example.com."),
        (Kind::DestinationRule, json!({ "host": "web.stock" }), ""),
    ] {
        let concern = concern(kind, "shop/a", spec);
        let word = |place: &Place| match place {
            Place::Namespace(namespace) => namespace.to_string(),
            Place::Host(host) => format!("{host}."),
        };
        let places: Vec<_> = concern.leads_to.iter().map(word).collect();
        assert_eq!(places.join(" "), expected, "{kind}");
    }
}
