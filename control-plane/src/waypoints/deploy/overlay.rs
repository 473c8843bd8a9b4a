//! What users want otherwise of what is deployed: patches in a ConfigMap, merged as Kubernetes' strategic merge does
//! where that can be known without its types.

use std::collections::BTreeMap;

use serde_json::Value;

/// Where a Deployment says what its pods are.
const POD: &str = "/spec/template/spec";
/// The lists of containers there.
const CONTAINERS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];
/// What a pod and a container may do.
const SECURITY: &str = "securityContext";

/// Patches, null where there is none.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Overlays {
    pub(super) deployment: Value,
    pub(super) service: Value,
    pub(super) service_account: Value,
    pub(super) scaler: Value,
    pub(super) budget: Value,
}

/// A patch that is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OverlayError {
    /// Not YAML, or not an object.
    #[error("{key} of the parameters cannot be read: {reason}")]
    Unreadable {
        /// The key of the ConfigMap.
        key: &'static str,
        /// Why.
        reason: String,
    },
    /// A key that nothing is known by.
    #[error(
        "the parameters have {0:?}, which is none of deployment, service, serviceAccount, horizontalPodAutoscaler and podDisruptionBudget"
    )]
    Unknown(String),
    /// A field that gives pods more than waypoints have.
    #[error("deployment of the parameters must not have {0}")]
    Forbidden(String),
}

impl Overlays {
    /// Reads the data of a ConfigMap.
    ///
    /// # Errors
    /// If a patch cannot be read, is for nothing that is deployed, or is for what keeps pods from their node.
    pub(crate) fn read(data: &BTreeMap<String, String>) -> Result<Self, OverlayError> {
        let mut overlays = Self::default();
        for (key, text) in data {
            let (key, place) = match key.as_str() {
                "deployment" => ("deployment", &mut overlays.deployment),
                "service" => ("service", &mut overlays.service),
                "serviceAccount" => ("serviceAccount", &mut overlays.service_account),
                "horizontalPodAutoscaler" => ("horizontalPodAutoscaler", &mut overlays.scaler),
                "podDisruptionBudget" => ("podDisruptionBudget", &mut overlays.budget),
                other => return Err(OverlayError::Unknown(other.to_owned())),
            };
            *place = patch(text).map_err(|reason| OverlayError::Unreadable { key, reason })?;
        }
        match overlays.deployment.pointer(POD).and_then(forbidden) {
            Some(field) => Err(OverlayError::Forbidden(format!("spec.template.spec.{field}"))),
            None => Ok(overlays),
        }
    }
}

/// What a patch of pods may not say: who may write it might not be allowed to make such pods.
fn forbidden(pod: &Value) -> Option<String> {
    if pod.get(SECURITY).is_some() {
        return Some(SECURITY.to_owned());
    }
    let lists = CONTAINERS.map(|list| (list, SECURITY)).into_iter().chain([("volumes", "hostPath")]);
    lists.into_iter().find_map(|(list, field)| {
        let items = pod.get(list).and_then(Value::as_array)?;
        let item = items.iter().find(|item| item.get(field).is_some())?;
        let name = item.get("name").and_then(Value::as_str).unwrap_or_default();
        Some(format!("{list}[{name}].{field}"))
    })
}

fn patch(text: &str) -> Result<Value, String> {
    let patch: Value = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    if patch.is_object() || patch.is_null() { Ok(patch) } else { Err("it is not an object".to_owned()) }
}

/// Lays a patch over an object: fields one by one, null takes away, lists of what has names by their names, other
/// lists as a whole.
pub(super) fn merge(object: &mut Value, patch: &Value) {
    match (object, patch) {
        (_, Value::Null) => {}
        (Value::Object(fields), Value::Object(patch)) => {
            for (key, patch) in patch {
                if patch.is_null() {
                    fields.remove(key);
                } else {
                    merge(fields.entry(key.clone()).or_insert(Value::Null), patch);
                }
            }
        }
        (Value::Array(items), Value::Array(patch)) if are_named(items) && are_named(patch) => {
            for patch in patch {
                match items.iter_mut().find(|item| item.get("name") == patch.get("name")) {
                    Some(item) => merge(item, patch),
                    None => items.push(patch.clone()),
                }
            }
        }
        (object, patch) => *object = patch.clone(),
    }
}

fn are_named(items: &[Value]) -> bool {
    items.iter().all(|item| item.get("name").is_some())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn patches_are_merged() {
        for (object, patch, expected) in [
            (json!({ "a": 1 }), json!(null), json!({ "a": 1 })),
            (json!({ "a": 1 }), json!({ "a": 2, "b": { "c": 3 } }), json!({ "a": 2, "b": { "c": 3 } })),
            (json!({ "a": 1, "b": 2 }), json!({ "a": null }), json!({ "b": 2 })),
            (json!({ "l": [1, 2] }), json!({ "l": [3] }), json!({ "l": [3] })),
            (
                json!({ "l": [{ "name": "a", "x": 1 }, { "name": "b" }] }),
                json!({ "l": [{ "name": "a", "y": 2 }, { "name": "c" }] }),
                json!({ "l": [{ "name": "a", "x": 1, "y": 2 }, { "name": "b" }, { "name": "c" }] }),
            ),
        ] {
            let mut merged = object.clone();
            merge(&mut merged, &patch);
            assert_eq!(merged, expected, "{object} {patch}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let read = |key: &str, text: &str| Overlays::read(&[(key.to_owned(), text.to_owned())].into());
        let overlays = read("service", "spec:\n  type: LoadBalancer\n").unwrap();
        assert_eq!(overlays.service, json!({ "spec": { "type": "LoadBalancer" } }));
        assert_eq!(read("deployment", "").unwrap(), Overlays::default());
        assert!(matches!(read("deployments", "{}"), Err(OverlayError::Unknown(_))));
        for text in ["- a", "text", "a: [", "a: 1\na: 2"] {
            assert!(matches!(read("deployment", text), Err(OverlayError::Unreadable { .. })), "{text}");
        }
    }

    #[test]
    fn what_would_let_pods_at_their_node_is_refused() {
        let read = |pod: &Value| {
            let patch = json!({ "spec": { "template": { "spec": pod } } });
            Overlays::read(&[("deployment".to_owned(), patch.to_string())].into())
        };
        for (pod, field) in [
            (json!({ "securityContext": { "runAsUser": 0 } }), "securityContext"),
            (json!({ "securityContext": null }), "securityContext"),
            (
                json!({ "containers": [{ "name": "a" }, { "name": "waypoint", "securityContext": { "privileged": true } }] }),
                "containers[waypoint].securityContext",
            ),
            (json!({ "containers": [{ "securityContext": null }] }), "containers[].securityContext"),
            (
                json!({ "initContainers": [{ "name": "a", "securityContext": {} }] }),
                "initContainers[a].securityContext",
            ),
            (
                json!({ "ephemeralContainers": [{ "name": "a", "securityContext": {} }] }),
                "ephemeralContainers[a].securityContext",
            ),
            (json!({ "volumes": [{ "name": "root", "hostPath": { "path": "/" } }] }), "volumes[root].hostPath"),
        ] {
            let error = read(&pod).unwrap_err().to_string();
            assert_eq!(error, format!("deployment of the parameters must not have spec.template.spec.{field}"));
        }
        for pod in
            [json!({ "containers": [{ "name": "a" }], "volumes": [{ "name": "b", "emptyDir": {} }] }), json!(null)]
        {
            assert!(read(&pod).is_ok(), "{pod}");
        }
    }
}
