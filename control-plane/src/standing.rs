//! Where a user's object stands: what its status shows of what is ours to write.

use ambit_resources::Kind;
use serde_json::{Value, json};

/// Where an object stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    /// `metadata.generation`: which version of its spec this is.
    pub(crate) generation: i64,
    /// The list in its status that we have a part in, as it is shown.
    pub(crate) shown: Value,
    /// `spec.parentRefs` of a route: what its status repeats.
    pub(crate) parents: Vec<Value>,
    /// `metadata.resourceVersion`: a patch made from this may not overwrite what came later.
    version: String,
    /// The version of the kind that the API server has it by.
    pub(crate) served: &'static str,
}

/// The list in the status of a kind that we have a part in.
pub(crate) fn section(kind: Kind) -> &'static str {
    if matches!(kind, Kind::HttpRoute | Kind::GrpcRoute | Kind::TcpRoute | Kind::TlsRoute) {
        "parents"
    } else if kind == Kind::BackendTlsPolicy {
        "ancestors"
    } else {
        "conditions"
    }
}

impl Standing {
    /// Reads it from an object, served by that version of its kind.
    pub(crate) fn of(kind: Kind, object: &Value, served: &'static str) -> Self {
        let at = |path: &str| object.pointer(path);
        let section = section(kind);
        let parents = at("/spec/parentRefs").filter(|_| section == "parents").and_then(Value::as_array);
        Self {
            generation: at("/metadata/generation").and_then(Value::as_i64).unwrap_or_default(),
            shown: at("/status").and_then(|status| status.get(section)).cloned().unwrap_or_else(|| json!([])),
            parents: parents.cloned().unwrap_or_default(),
            version: at("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or_default().to_owned(),
            served,
        }
    }

    /// A merge patch that makes the status show this. A list is replaced as a whole, so the parts of others are in
    /// it as they were.
    pub(crate) fn patch(&self, kind: Kind, wanted: &[Value]) -> Value {
        json!({ "metadata": { "resourceVersion": self.version }, "status": { section(kind): wanted } })
    }
}
