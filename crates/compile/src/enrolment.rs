//! Which pods are enrolled, and what their users said about same-node traffic.

use ambit_model::SameNode;
use ambit_resources::{FieldPath, Metadata, Pod};

use crate::Problem;
use crate::findings::Findings;

const DATAPLANE_MODE: &str = "istio.io/dataplane-mode";
const SAME_NODE: &str = "ambit.io/same-node";
/// What a sidecar's injector leaves on a pod.
const SIDECAR_STATUS: &str = "sidecar.istio.io/status";

/// What a namespace or a pod asks for; nothing where it leaves that to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Wish {
    /// To be enrolled, or not to be.
    pub(crate) enrolled: Option<bool>,
    /// How same-node traffic is to travel.
    pub(crate) same_node: Option<SameNode>,
}

impl Wish {
    /// What labels and annotations ask for.
    pub(crate) fn of(metadata: &Metadata) -> Self {
        let enrolled = match metadata.labels.get(DATAPLANE_MODE).map(String::as_str) {
            Some("ambient") => Some(true),
            Some("none") => Some(false),
            Some(_) | None => None,
        };
        // Somebody wanted something: of the two, the tunnel cannot be less than that.
        let same_node = metadata.annotations.get(SAME_NODE);
        let same_node = same_node.map(|said| if said == "direct" { SameNode::Direct } else { SameNode::Tunnel });
        Self { enrolled, same_node }
    }

    /// What a pod asks for, or cannot have.
    pub(crate) fn of_pod(pod: &Pod) -> Self {
        let wish = Self::of(&pod.metadata);
        if never(pod).is_some() { Self { enrolled: Some(false), ..wish } } else { wish }
    }

    /// A pod's wish, completed by its namespace's.
    pub(crate) fn or(self, namespace: Self) -> Self {
        let enrolled = self.enrolled.or(namespace.enrolled);
        Self { enrolled, same_node: self.same_node.or(namespace.same_node) }
    }
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
