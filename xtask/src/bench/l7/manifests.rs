//! The objects a waypoint is measured with.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::contender::Kind;
use super::stage::Out;

/// The client's address.
pub(super) const CLIENT: &str = "10.1.0.9";
/// The service's.
pub(super) const SERVICE: &str = "10.96.0.10";
/// Its only pod's.
pub(super) const SERVER: &str = "10.1.0.11";

/// Everything but the routes.
pub(super) fn mesh(out: Out) -> String {
    let tunnel = json!({"networking.istio.io/tunnel": "http"});
    let mut server = json!({"app": "web"});
    let mut waypoint = json!({"gateway.networking.k8s.io/gateway-name": "waypoint", "istio.io/use-waypoint": "none"});
    merge(&mut waypoint, &tunnel);
    if out == Out::Tunnel {
        merge(&mut server, &tunnel);
    }
    let of_waypoint = json!({"gateway.networking.k8s.io/gateway-name": "waypoint"});
    let web_ports = json!([
        {"name": "http", "port": 80, "targetPort": 8080},
        {"name": "grpc", "port": 81, "targetPort": 8081, "appProtocol": "kubernetes.io/h2c"},
    ]);
    let objects = [
        object("v1", "Namespace", "shop", &json!({"istio.io/use-waypoint": "waypoint"}), &Value::Null),
        object(
            "gateway.networking.k8s.io/v1",
            "Gateway",
            "waypoint",
            &json!({}),
            &json!({
                "gatewayClassName": "istio-waypoint",
                "listeners": [{"name": "mesh", "port": 15008, "protocol": "HBONE"}],
            }),
        ),
        object(
            "v1",
            "Service",
            "waypoint",
            &json!({"istio.io/use-waypoint": "none"}),
            &json!({
                "clusterIP": "10.96.0.1", "selector": of_waypoint, "ports": [{"name": "mesh", "port": 15008}],
            }),
        ),
        object(
            "v1",
            "Service",
            "web",
            &json!({}),
            &json!({
                "clusterIP": SERVICE, "selector": {"app": "web"}, "ports": web_ports,
            }),
        ),
        pod("waypoint", &waypoint, &Kind::Waypoint.address().to_string()),
        pod("web", &server, SERVER),
        pod("client", &json!({"app": "client"}), CLIENT),
    ];
    objects.iter().fold(String::new(), |text, object| text + &format!("{object}\n---\n"))
}

/// VirtualServices of so many rules each; the path of the last rule of the last one is `last`.
pub(super) fn routes(count: u32, rules_each: usize, last: &str) -> Vec<String> {
    let all: Vec<_> = prefixes(count, last).collect();
    let objects = all.chunks(rules_each).enumerate();
    objects.map(|(number, prefixes)| virtual_service(&format!("web-{number}"), prefixes)).collect()
}

fn virtual_service(name: &str, prefixes: &[String]) -> String {
    let mut text = format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: shop}}\n\
         spec:\n  hosts: [web]\n  http:\n",
    );
    for prefix in prefixes {
        // Writing to a string does not fail.
        writeln!(text, "  - match: [{{uri: {{prefix: {prefix}}}}}]\n    route: [{{destination: {{host: web}}}}]").ok();
    }
    text
}

/// What the routes' paths begin with.
pub(super) fn prefixes(count: u32, last: &str) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("/r{number}/")).chain([format!("/{last}/")])
}

fn object(version: &str, kind: &str, name: &str, labels: &Value, spec: &Value) -> Value {
    let mut metadata = json!({"name": name, "labels": labels});
    if kind != "Namespace" {
        merge(&mut metadata, &json!({"namespace": "shop"}));
    }
    let mut object = json!({"apiVersion": version, "kind": kind, "metadata": metadata});
    if !spec.is_null() {
        merge(&mut object, &json!({"spec": spec}));
    }
    object
}

fn pod(name: &str, labels: &Value, ip: &str) -> Value {
    let spec = json!({"serviceAccountName": name, "nodeName": "node-1", "containers": []});
    let mut pod = object("v1", "Pod", name, labels, &spec);
    let status = json!({"phase": "Running", "podIP": ip, "conditions": [{"type": "Ready", "status": "True"}]});
    merge(&mut pod, &json!({"status": status}));
    pod
}

fn merge(into: &mut Value, more: &Value) {
    if let (Some(into), Some(more)) = (into.as_object_mut(), more.as_object()) {
        into.extend(more.clone());
    }
}
