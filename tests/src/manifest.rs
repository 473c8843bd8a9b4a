//! The manifests of a world's pods, and of what is said about them. JSON is YAML too, and leaves
//! quoting to serde.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::json;

use crate::Pod;

/// The label that enrols a namespace or a pod, with its value.
pub const ENROLLED: (&str, &str) = ("istio.io/dataplane-mode", "ambient");

/// A Namespace, enrolled or not.
#[must_use]
pub fn namespace(name: &str, enrolled: bool) -> String {
    let labels = if enrolled { json!({ENROLLED.0: ENROLLED.1}) } else { json!({}) };
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}).to_string()
}

/// A running Pod.
#[must_use]
pub fn pod(pod: &Pod) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod.name(),
            "namespace": pod.namespace(),
            "labels": pod.labels(),
            "annotations": pod.annotations(),
        },
        "spec": {"nodeName": pod.node().name(), "serviceAccountName": pod.account(), "containers": []},
        "status": {
            "phase": "Running",
            "podIP": pod.ip4().to_string(),
            "podIPs": [{"ip": pod.ip4().to_string()}, {"ip": pod.ip6().to_string()}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    })
    .to_string()
}

/// The virtual addresses of the `number`th service.
#[must_use]
pub fn service_ips(number: u8) -> [IpAddr; 2] {
    [Ipv4Addr::new(10, 110, 0, number).into(), Ipv6Addr::new(0xfd00, 0x110, 0, 0, 0, 0, 0, number.into()).into()]
}

/// A Service at [`service_ips`], port 80, in front of the pods labelled `app: <app>` at a port.
#[must_use]
pub fn service(namespace: &str, app: &str, number: u8, target_port: u16) -> String {
    let addresses = service_ips(number);
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": app, "namespace": namespace},
        "spec": {
            "clusterIP": addresses[0],
            "clusterIPs": addresses,
            "ipFamilies": ["IPv4", "IPv6"],
            "selector": {"app": app},
            "ports": [{"port": 80, "targetPort": target_port}],
        },
    })
    .to_string()
}

/// An AuthorizationPolicy for the pods labelled `app: <app>`: `action` where the source is one of
/// `principals` (written without `spiffe://`).
#[must_use]
pub fn policy(namespace: &str, name: &str, app: &str, action: &str, principals: &[&str]) -> String {
    let mut text = format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
         metadata:\n  name: {name}\n  namespace: {namespace}\n\
         spec:\n  action: {action}\n  selector:\n    matchLabels:\n      app: {app}\n\
         \x20 rules:\n  - from:\n    - source:\n        principals:\n"
    );
    for principal in principals {
        // Writing to a String cannot fail.
        writeln!(text, "        - {principal}").ok();
    }
    text
}

/// A mesh-wide PeerAuthentication of a mode, as `STRICT`.
#[must_use]
pub fn mesh_mode(mode: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n\
         metadata:\n  name: default\n  namespace: istio-system\nspec:\n  mtls:\n    mode: {mode}\n"
    )
}
