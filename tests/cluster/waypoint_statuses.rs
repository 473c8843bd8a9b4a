//! What the objects of a waypoint say of themselves.

use anyhow::Result;
use serde_json::Value;

use ambit_tests::cluster::{Namespace, PATIENCE, object, server};
use ambit_tests::until;

use crate::mesh;

const WAYPOINT: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint}
spec:
  gatewayClassName: istio-waypoint
  listeners: [{name: mesh, port: 15008, protocol: HBONE}]
"#;

/// An HTTPRoute of a Service and of the waypoint, leading to a Service.
fn route(name: &str, service: &str, backend: &str) -> String {
    format!(
        r#"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}}}
spec:
  parentRefs: [{{group: "", kind: Service, name: {service}}}, {{name: waypoint}}]
  rules: [{{backendRefs: [{{name: {backend}, port: 80}}]}}]
"#
    )
}

/// Waits until a list in the status of an object has this among its conditions, as `type status reason`.
fn wait_said(namespace: &Namespace, of: &[&str], list: &str, wanted: &str) -> Result<()> {
    let text = |condition: &Value, field: &str| condition.get(field).and_then(Value::as_str).map(str::to_owned);
    until(&format!("{of:?}: {wanted}"), PATIENCE, || {
        let object = object(&[&["--namespace", namespace.name()], of].concat()).ok()?;
        let generation = object.pointer("/metadata/generation").and_then(Value::as_i64);
        let conditions = object.pointer(list)?.as_array()?;
        let said = |condition: &Value| {
            let all = ["type", "status", "reason"].map(|field| text(condition, field).unwrap_or_default());
            let observed = condition.get("observedGeneration").and_then(Value::as_i64);
            all.join(" ") == wanted && (generation.is_none() || observed == generation)
        };
        conditions.iter().any(said).then_some(())
    })
}

#[test]
fn objects_of_a_waypoint_are_told_what_became_of_them() -> Result<()> {
    mesh::with_gateway_api()?;
    let shop = Namespace::meshed("statuses")?;
    shop.start(&[server("web", 1), server("alone", 1)], ["web", "alone"])?;
    shop.apply(WAYPOINT)?;
    shop.kubectl(&["label", "service", "web", "istio.io/use-waypoint=waypoint"])?;
    let bound = "istio.io/WaypointBound True WaypointAccepted";
    wait_said(&shop, &["service", "web"], "/status/conditions", bound)?;
    wait_said(&shop, &["gateway", "waypoint"], "/status/conditions", "Accepted True Accepted")?;

    shop.apply(&route("good", "web", "web"))?;
    let [service, waypoint] = [0, 1].map(|parent| format!("/status/parents/{parent}/conditions"));
    for conditions in [&service, &waypoint] {
        wait_said(&shop, &["httproute", "good"], conditions, "Accepted True Accepted")?;
        wait_said(&shop, &["httproute", "good"], conditions, "ResolvedRefs True ResolvedRefs")?;
    }
    until("an attached route", PATIENCE, || {
        let gateway = object(&["--namespace", shop.name(), "gateway", "waypoint"]).ok()?;
        (gateway.pointer("/status/listeners/0/attachedRoutes") == Some(&Value::from(1))).then_some(())
    })?;
    shop.apply(&route("good", "web", "nobody"))?;
    wait_said(&shop, &["httproute", "good"], &service, "ResolvedRefs False BackendNotFound")?;
    shop.apply(&route("good", "alone", "web"))?;
    wait_said(&shop, &["httproute", "good"], &service, "Accepted False NoMatchingParent")?;

    shop.apply(
        r#"
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web}
spec: {host: web, trafficPolicy: {tls: {mode: SIMPLE, credentialName: nowhere}}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: web}
spec: {targetRefs: [{group: "", kind: Service, name: web}], rules: [{}]}
"#,
    )?;
    wait_said(&shop, &["destinationrule", "web"], "/status/conditions", "Accepted True AcceptedWithWarnings")?;
    wait_said(&shop, &["authorizationpolicy", "web"], "/status/conditions", "WaypointAccepted True Accepted")?;
    shop.kubectl(&["label", "service", "web", "istio.io/use-waypoint-"])?;
    wait_said(&shop, &["authorizationpolicy", "web"], "/status/conditions", "WaypointAccepted False AncestorNotBound")
}
