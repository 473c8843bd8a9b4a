use super::*;
use crate::Store;

macro_rules! example {
    ($path:literal) => {
        ($path, include_str!(concat!("../../../../examples/", $path)))
    };
}

const FILES: [(&str, &str); 6] = [
    example!("two-nodes/namespaces.yaml"),
    example!("two-nodes/pods.yaml"),
    example!("two-nodes/services.yaml"),
    example!("two-nodes-policies/deny-client.yaml"),
    example!("two-nodes-policies/only-client.yaml"),
    example!("two-nodes-policies/strict.yaml"),
];

/// The example, which must be without a fault.
fn example() -> Compiled {
    let mut store = Store::default();
    for (name, text) in FILES {
        assert_eq!(store.replace_file(name, text), [], "{name}");
    }
    let compiled = store.compile();
    assert_eq!(compiled.issues, []);
    compiled
}

#[test]
fn people_see_what_would_be_in_force() {
    assert_eq!(
        Summary::of(&example()).to_string(),
        "\
workloads: 5, of which enrolled: 4
  node node-1:
    Kubernetes//Pod/shop/client
    Kubernetes//Pod/shop/other
    Kubernetes//Pod/shop/web-local
  node node-2:
    Kubernetes//Pod/shop/web
services: 2
  web.shop.svc.cluster.local: endpoints 1
  web-local.shop.svc.cluster.local: endpoints 1
policies: 3
  istio-system/ambit_strict: DENY selected workloads, rules 1
  shop/web-deny-client: DENY selected workloads, rules 1
  shop/web-only-client: ALLOW selected workloads, rules 1
"
    );
}

#[test]
fn scripts_see_the_same() {
    let compiled = example();
    let json = Summary::of(&compiled).to_json();
    assert_eq!(json.pointer("/enrolled/node-2/0"), Some(&json!("Kubernetes//Pod/shop/web")));
    assert_eq!(json.pointer("/services/0/endpoints"), Some(&json!(1)));
    assert_eq!(json.pointer("/policies/2/scope"), Some(&json!("selected workloads")));
    let web = json
        .pointer("/workloads")
        .and_then(Value::as_array)
        .and_then(|all| all.iter().find(|w| w["uid"] == "Kubernetes//Pod/shop/web"));
    assert_eq!(
        web,
        Some(&json!({
            "uid": "Kubernetes//Pod/shop/web",
            "node": "node-2",
            "identity": "spiffe://cluster.local/ns/shop/sa/web",
            "addresses": ["10.101.2.2", "fd00:101:2::2"],
            "enrolled": true,
            "healthy": true,
            "services": ["web.shop.svc.cluster.local"],
            "policies": ["istio-system/ambit_strict", "shop/web-deny-client", "shop/web-only-client"],
            "waypoint": null,
        }))
    );
}
