//! JSON schemas of what users write, as the API server takes them: structural, everything inline.

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value};

use crate::{AuthorizationPolicySpec, Kind, PeerAuthenticationSpec, ServiceEntrySpec, WorkloadEntrySpec};

/// The schema of a kind's `spec`; none for kinds of Kubernetes' own.
#[must_use]
pub fn spec_schema(kind: Kind) -> Option<Value> {
    match kind {
        Kind::AuthorizationPolicy => Some(schema::<AuthorizationPolicySpec>()),
        Kind::PeerAuthentication => Some(schema::<PeerAuthenticationSpec>()),
        Kind::ServiceEntry => Some(schema::<ServiceEntrySpec>()),
        Kind::WorkloadEntry => Some(schema::<WorkloadEntrySpec>()),
        Kind::EndpointSlice | Kind::Namespace | Kind::Node | Kind::Pod | Kind::Service | Kind::ServiceAccount => None,
    }
}

fn schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::openapi3().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    RecursiveTransform(structural).transform(&mut schema);
    schema.to_value()
}

/// What the API server does not take, said in a way it takes.
fn structural(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    object.remove("title");
    // The API server would write it into what users wrote, where absent and empty are two things.
    object.remove("default");
    for key in ["oneOf", "anyOf"] {
        if let Some(choices) = object.remove(key) {
            choose(object, choices);
        }
    }
    // Names of formats that only Rust has.
    if object.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint")) {
        object.remove("format");
    }
}

/// The words of an enumeration, which comes as one schema a word so that each can be described; or what may
/// also be null, which a field that is absent says as well.
fn choose(object: &mut Map<String, Value>, choices: Value) {
    let Value::Array(choices) = choices else { return };
    let words: Vec<_> = choices.iter().filter_map(word).collect();
    if words.len() == choices.len() {
        object.insert("type".to_owned(), "string".into());
        object.insert("enum".to_owned(), Value::Array(words));
        return;
    }
    for choice in choices {
        if let Value::Object(choice) = choice
            && choice.contains_key("type")
        {
            object.extend(choice);
        }
    }
}

fn word(choice: &Value) -> Option<Value> {
    let one = choice.get("enum").and_then(Value::as_array).and_then(|words| words.first());
    choice.get("const").or(one).cloned()
}
