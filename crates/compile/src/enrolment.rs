//! Which pods are enrolled, and what their users said about same-node traffic.

use ambit_model::SameNode;
use ambit_resources::{FieldPath, Metadata, Pod};

use crate::Problem;
use crate::findings::Findings;

const DATAPLANE_MODE: &str = "istio.io/dataplane-mode";
const SAME_NODE: &str = "ambit.io/same-node";
/// What a sidecar's injector leaves on a pod.
const SIDECAR_STATUS: &str = "sidecar.istio.io/status";

/// Whether the pod is enrolled. Depends on the pod and its namespace.
pub(crate) fn is_enrolled(pod: &Pod, namespace: Option<&Metadata>) -> bool {
    let mode = |metadata: &Metadata| metadata.labels.get(DATAPLANE_MODE).cloned().unwrap_or_default();
    let wanted = match mode(&pod.metadata).as_str() {
        "ambient" => true,
        "none" => false,
        _ => namespace.is_some_and(|namespace| mode(namespace) == "ambient"),
    };
    wanted && never(pod).is_none()
}

/// What the pod's user said about same-node traffic, or that of its namespace.
pub(crate) fn same_node(pod: &Metadata, namespace: Option<&Metadata>) -> Option<SameNode> {
    let said = pod.annotations.get(SAME_NODE).or_else(|| namespace?.annotations.get(SAME_NODE))?;
    // Somebody wanted something: of the two, the tunnel cannot be less than that.
    Some(if said == "direct" { SameNode::Direct } else { SameNode::Tunnel })
}

/// What is to be said about the labels and annotations of a namespace or a pod.
pub(crate) fn check_metadata(metadata: &Metadata, findings: &mut Findings<'_>) {
    let setting = |map: &str, key: &str| FieldPath::of("metadata").field(map).field(key);
    if let Some(value) = metadata.labels.get(DATAPLANE_MODE)
        && !matches!(value.as_str(), "ambient" | "none")
    {
        let (value, expected, consequence) = (value.clone(), "ambient or none", "the label has no effect");
        findings.warning(setting("labels", DATAPLANE_MODE), Problem::Setting { value, expected, consequence });
    }
    if let Some(value) = metadata.annotations.get(SAME_NODE)
        && !matches!(value.as_str(), "direct" | "tunnel")
    {
        let (value, expected, consequence) = (value.clone(), "direct or tunnel", "same-node traffic is tunnelled");
        findings.warning(setting("annotations", SAME_NODE), Problem::Setting { value, expected, consequence });
    }
}

/// What is to be said about a pod that asks for what it cannot have.
pub(crate) fn check_pod(pod: &Pod, findings: &mut Findings<'_>) {
    check_metadata(&pod.metadata, findings);
    let asked = pod.metadata.labels.get(DATAPLANE_MODE).is_some_and(|mode| mode == "ambient");
    if let Some(reason) = never(pod).filter(|_| asked) {
        let at = FieldPath::of("metadata.labels").field(DATAPLANE_MODE);
        findings.warning(at, Problem::NeverEnrolled { reason });
    }
}

/// Why the pod can never be enrolled.
fn never(pod: &Pod) -> Option<&'static str> {
    if pod.spec.host_network {
        Some("it shares the node's network namespace")
    } else if pod.metadata.annotations.contains_key(SIDECAR_STATUS) {
        Some("it has a sidecar")
    } else {
        None
    }
}
