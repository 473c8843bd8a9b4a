//! What is deployed for a waypoint, from its Gateway. Pure: the same Gateway and settings make the same objects.

mod overlay;
mod pod;

use std::sync::Arc;

use ambit_model::GatewayKey;
use serde_json::{Map, Value, json};

use super::gateways::GATEWAY_NAME;

pub(crate) use overlay::{OverlayError, Overlays};

/// The port of a waypoint's tunnels.
const HBONE: u16 = 15008;
/// The port of its readiness.
const READY: u16 = 15021;
/// The port of its metrics.
const METRICS: u16 = 15020;
/// The label of everything that is made for Gateways.
pub(super) const MANAGED: (&str, &str) = ("gateway.istio.io/managed", "istio.io-mesh-controller");
/// Of all processors it asked for, how much a replica uses before there is another.
const UTILIZATION: u32 = 80;

/// What an installation says of all its waypoints.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    /// The program's image.
    pub(crate) image: String,
    /// When the kubelet pulls it.
    pub(crate) pull_policy: String,
    /// Names of the Secrets to pull it with, in the waypoint's namespace.
    pub(crate) pull_secrets: Vec<String>,
    /// Requests and limits of its container.
    pub(crate) resources: Value,
    /// How many pods there are, at least and at most.
    pub(crate) replicas: (u32, u32),
    /// Where the control plane serves, as `host:port`.
    pub(crate) control_plane: String,
    /// The name in the control plane's certificate.
    pub(crate) control_plane_name: String,
    /// The program's arguments that are the same for every waypoint.
    pub(crate) arguments: Vec<String>,
}

/// The objects of a waypoint: what they are called, and what they say.
pub(crate) fn render(
    key: &GatewayKey,
    gateway: &Value,
    overlays: &Overlays,
    roots: &str,
    settings: &Settings,
) -> Vec<Value> {
    let deployment = json!({
        "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 0, "maxSurge": 1 } },
        "selector": { "matchLabels": { GATEWAY_NAME: &*key.name } },
        "template": {
            "metadata": {
                "labels": pod::labels(key, gateway),
                "annotations": pod::annotations(gateway),
            },
            "spec": pod::spec(key, settings),
        },
    });
    let port = |name: &str, port: u16, protocol: &str| json!({ "name": name, "port": port, "appProtocol": protocol });
    let service = json!({
        "type": "ClusterIP",
        "selector": { GATEWAY_NAME: &*key.name },
        "ports": [port("status-port", READY, "http"), port("mesh", HBONE, "hbone")],
    });
    let of_cpu = json!({
        "type": "Resource",
        "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": UTILIZATION } },
    });
    let scaler = json!({
        "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": &*key.name },
        "minReplicas": settings.replicas.0,
        "maxReplicas": settings.replicas.1.max(settings.replicas.0),
        "metrics": [of_cpu],
    });
    let budget = json!({
        // One after the other, be there one or several.
        "maxUnavailable": 1,
        "selector": { "matchLabels": { GATEWAY_NAME: &*key.name } },
    });
    let of = |api_version, kind, body| object(key, gateway, (api_version, kind), body);
    [
        (&overlays.service_account, of("v1", "ServiceAccount", json!({ "automountServiceAccountToken": false }))),
        (&Value::Null, of("v1", "ConfigMap", json!({ "data": { pod::ROOTS_FILE: roots } }))),
        (&overlays.deployment, of("apps/v1", "Deployment", json!({ "spec": deployment }))),
        (&overlays.service, of("v1", "Service", json!({ "spec": service }))),
        (&overlays.scaler, of("autoscaling/v2", "HorizontalPodAutoscaler", json!({ "spec": scaler }))),
        (&overlays.budget, of("policy/v1", "PodDisruptionBudget", json!({ "spec": budget }))),
    ]
    .into_iter()
    .map(|(overlay, object)| laid_over(object, overlay))
    .collect()
}

fn object(key: &GatewayKey, gateway: &Value, (api_version, kind): (&str, &str), body: Value) -> Value {
    let owner = json!({
        "apiVersion": gateway.get("apiVersion"),
        "kind": "Gateway",
        "name": &*key.name,
        "uid": uid(gateway),
        "controller": true,
        "blockOwnerDeletion": true,
    });
    let metadata = json!({
        "name": if kind == "ConfigMap" { roots_name(&key.name) } else { key.name.to_string() },
        "namespace": &*key.namespace,
        "labels": labels(key, gateway),
        "annotations": of_infrastructure(gateway, "annotations"),
        "ownerReferences": [owner],
    });
    let mut object = json!({ "apiVersion": api_version, "kind": kind, "metadata": metadata });
    if let (Value::Object(fields), Value::Object(body)) = (&mut object, body) {
        fields.extend(body);
    }
    object
}

/// The name of the ConfigMap with the mesh's roots, which are in no other namespace than the control plane's.
fn roots_name(gateway: &str) -> String {
    format!("{gateway}-roots")
}

/// What users want otherwise, but for what it is called and whose it is: an object may not turn into another. Nor
/// may its pods run as others, or in their node's place: who may write the parameters might not be allowed to.
fn laid_over(mut object: Value, overlay: &Value) -> Value {
    let own = fields(&object, &["apiVersion", "kind", "metadata"]);
    let kept = ["serviceAccountName", "serviceAccount", "hostNetwork", "hostPID", "hostIPC"];
    let pod = object.pointer("/spec/template/spec").map(|pod| fields(pod, &kept));
    let pod = pod.map(|pod| json!({ "spec": { "template": { "spec": pod } } })).unwrap_or_default();
    for patch in [overlay, &own, &pod] {
        overlay::merge(&mut object, patch);
    }
    object
}

/// These fields of an object, null where it has them not.
fn fields(object: &Value, names: &[&str]) -> Value {
    names.iter().map(|name| ((*name).to_owned(), Value::from(object.get(name).cloned()))).collect()
}

/// Labels of everything, the user's first: they may not say otherwise.
fn labels(key: &GatewayKey, gateway: &Value) -> Map<String, Value> {
    with(of_infrastructure(gateway, "labels"), &[(GATEWAY_NAME, &key.name), MANAGED])
}

/// Labels or annotations, with ours in the place of any there are.
fn with(mut map: Map<String, Value>, ours: &[(&str, &str)]) -> Map<String, Value> {
    map.extend(ours.iter().map(|(name, value)| ((*name).to_owned(), json!(value))));
    map
}

/// Labels or annotations that the Gateway wants on all that is made for it.
fn of_infrastructure(gateway: &Value, field: &str) -> Map<String, Value> {
    let said = gateway.pointer(&format!("/spec/infrastructure/{field}"));
    said.and_then(Value::as_object).cloned().unwrap_or_default()
}

/// `metadata.uid`.
pub(crate) fn uid(object: &Value) -> Option<&str> {
    object.pointer("/metadata/uid").and_then(Value::as_str)
}

/// The ConfigMap with what users want otherwise, of the Gateway's own namespace.
///
/// # Errors
/// If it is to be something else: its kind, with its group.
pub(crate) fn parameters(gateway: &Value) -> Result<Option<Arc<str>>, String> {
    let Some(reference) = gateway.pointer("/spec/infrastructure/parametersRef") else { return Ok(None) };
    let text = |field: &str| reference.get(field).and_then(Value::as_str).unwrap_or_default();
    match (text("group"), text("kind")) {
        ("", "ConfigMap") => Ok(Some(text("name").into())),
        ("", kind) => Err(kind.to_owned()),
        (group, kind) => Err(format!("{kind}.{group}")),
    }
}

#[cfg(test)]
mod tests;
