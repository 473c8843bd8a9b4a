//! The pods of a waypoint.

use ambit_model::GatewayKey;
use serde_json::{Map, Value, json};

use super::{GATEWAY_NAME, HBONE, METRICS, READY, Settings, of_infrastructure, roots_name, with};

/// The key of the mesh's roots in their ConfigMap.
pub(super) const ROOTS_FILE: &str = "root-cert.pem";
/// Where the pod has them.
const ROOTS_DIR: &str = "/var/run/secrets/ambit";
/// Where it has its token.
const TOKEN_DIR: &str = "/var/run/secrets/tokens";
/// Whom it is for.
const AUDIENCE: &str = "istio-ca";
/// Nobody in particular.
const USER: u32 = 65532;
/// How long all goes on when a pod ends, in seconds: until every node's agent knows, even one that is behind.
const NOTICE: u32 = 5;
/// How long requests may go on after that, in seconds.
const DRAIN: u32 = 30;
/// Time to end after that, in seconds.
const END: u32 = 10;

/// Labels of a pod: its waypoint's, and that it takes tunnels itself.
pub(super) fn labels(key: &GatewayKey, gateway: &Value) -> Map<String, Value> {
    let ours = [
        ("istio.io/dataplane-mode", "none"),
        ("networking.istio.io/tunnel", "http"),
        ("service.istio.io/canonical-name", &*key.name),
        ("service.istio.io/canonical-revision", "latest"),
    ];
    with(super::labels(key, gateway), &ours)
}

/// Annotations of a pod.
pub(super) fn annotations(gateway: &Value) -> Map<String, Value> {
    let port = METRICS.to_string();
    let ours = [("prometheus.io/scrape", "true"), ("prometheus.io/port", &*port), ("prometheus.io/path", "/metrics")];
    with(of_infrastructure(gateway, "annotations"), &ours)
}

/// What a pod consists of, as the restricted pod security standard wants it.
pub(super) fn spec(key: &GatewayKey, settings: &Settings) -> Value {
    let same_host = json!({
        "topologyKey": "kubernetes.io/hostname",
        "labelSelector": { "matchLabels": { GATEWAY_NAME: &*key.name } },
    });
    let secrets: Vec<_> = settings.pull_secrets.iter().map(|name| json!({ "name": name })).collect();
    let token = json!({ "path": "istio-token", "audience": AUDIENCE, "expirationSeconds": 43200 });
    json!({
        "serviceAccountName": &*key.name,
        "automountServiceAccountToken": false,
        // A Service's name must not look like a setting.
        "enableServiceLinks": false,
        "imagePullSecrets": secrets,
        "terminationGracePeriodSeconds": NOTICE + DRAIN + END,
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": USER,
            "runAsGroup": USER,
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "containers": [container(key, settings)],
        "affinity": { "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [{ "weight": 100, "podAffinityTerm": same_host }],
        } },
        "volumes": [
            { "name": "roots", "configMap": { "name": roots_name(&key.name) } },
            { "name": "token", "projected": { "sources": [{ "serviceAccountToken": token }] } },
        ],
    })
}

fn container(key: &GatewayKey, settings: &Settings) -> Value {
    let Settings { image, pull_policy, resources, .. } = settings;
    let port = |name: &str, port: u16| json!({ "name": name, "containerPort": port });
    let field = |name: &str, path: &str| json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } });
    let mount = |name: &str, path: &str| json!({ "name": name, "mountPath": path, "readOnly": true });
    json!({
        "name": "waypoint",
        "image": image,
        "imagePullPolicy": pull_policy,
        "args": arguments(key, settings),
        "env": [
            field("POD_NAME", "metadata.name"),
            field("POD_NAMESPACE", "metadata.namespace"),
            field("AMBIT_NODE", "spec.nodeName"),
            field("AMBIT_ADDRESS", "status.podIP"),
        ],
        "ports": [port("mesh", HBONE), port("metrics", METRICS), port("ready", READY)],
        "readinessProbe": { "httpGet": { "path": "/healthz/ready", "port": READY }, "periodSeconds": 2 },
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
        },
        "resources": resources,
        "volumeMounts": [mount("roots", ROOTS_DIR), mount("token", TOKEN_DIR)],
    })
}

fn arguments(key: &GatewayKey, settings: &Settings) -> Vec<String> {
    let own = [
        format!("--name={key}"),
        format!("--control-plane={}", settings.control_plane),
        format!("--control-plane-name={}", settings.control_plane_name),
        format!("--control-plane-roots={ROOTS_DIR}/{ROOTS_FILE}"),
        format!("--token={TOKEN_DIR}/istio-token"),
        format!("--notice-seconds={NOTICE}"),
        format!("--drain-seconds={DRAIN}"),
    ];
    own.into_iter().chain(settings.arguments.iter().cloned()).collect()
}
