//! An object on its way to waypoints.

use ambit_resources::{Kind, ObjectId};
use ambit_xds::proto::config;
use bytes::Bytes;
use serde_json::Value;

use super::relevance::{Concern, Role};

/// Where `kubectl apply` keeps a second copy of the object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What there is of an object beside what it means to the mesh.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(super) concern: Concern,
    pub(super) object: config::Object,
    /// Whether it is valid by itself.
    pub(super) valid: bool,
    /// All of it, of what waypoints are deployed for.
    pub(crate) whole: Option<Value>,
}

impl Sent {
    /// What there is of an object as the API server has it; nothing of those that concern no waypoint.
    pub(crate) fn of(id: &ObjectId, object: &Value) -> Option<Self> {
        let role = Role::of(id.kind)?;
        let api_version = object.get("apiVersion").and_then(Value::as_str).unwrap_or_default().to_owned();
        let message = config::Object {
            kind: id.kind.word().to_owned(),
            api_version,
            namespace: id.namespace.to_string(),
            name: id.name.to_string(),
            json: written(object).to_string().into(),
        };
        let whole = matches!(id.kind, Kind::Gateway | Kind::GatewayClass).then(|| object.clone());
        Some(Self { concern: Concern::of(role, &id.namespace, &id.name, object), object: message, valid: true, whole })
    }

    /// What waypoints are told.
    pub(crate) fn json(&self) -> &Bytes {
        &self.object.json
    }

    /// The same of an object that is not valid.
    pub(crate) fn refused(self) -> Self {
        Self { valid: false, whole: None, ..self }
    }
}

/// What users write of an object: its status, and what the API server counts, change by themselves.
fn written(object: &Value) -> Value {
    let mut object = object.clone();
    let Value::Object(fields) = &mut object else { return object };
    fields.remove("status");
    if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
        metadata.remove("resourceVersion");
        if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
            annotations.remove(LAST_APPLIED);
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_users_did_not_change_is_no_change() {
        let object = |version: &str, status: Value, host: &str| {
            let annotations = json!({ LAST_APPLIED: version, "team": "a" });
            let metadata = json!({ "name": "web", "resourceVersion": version, "annotations": annotations });
            let (api_version, spec) = ("networking.istio.io/v1", json!({ "host": host }));
            json!({ "apiVersion": api_version, "metadata": metadata, "spec": spec, "status": status })
        };
        let id = ObjectId { kind: Kind::DestinationRule, namespace: "shop".into(), name: "web".into() };
        let sent = |object: &Value| Sent::of(&id, object).unwrap().object;
        let first = sent(&object("1", json!({}), "web"));
        assert_eq!(first, sent(&object("2", json!({ "conditions": [] }), "web")));
        assert_ne!(first, sent(&object("1", json!({}), "other")));
        assert_eq!((&*first.kind, &*first.api_version), ("DestinationRule", "networking.istio.io/v1"));
        let secret = ObjectId { kind: Kind::ServiceAccount, ..id };
        assert!(Sent::of(&secret, &object("1", json!({}), "web")).is_none());
    }
}
