//! JSON schemas of what users write, as the API server takes them: structural, everything inline.

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value};

use crate::{
    AuthorizationPolicySpec, DestinationRuleSpec, Kind, MeshConfigSpec, PeerAuthenticationSpec, RateLimitPolicySpec,
    RequestAuthenticationSpec, ServiceEntrySpec, TelemetrySpec, VirtualServiceSpec, WorkloadEntrySpec,
};

/// The schema of a kind's `spec`; none for kinds of Kubernetes' own, and of the Gateway API.
#[must_use]
pub fn spec_schema(kind: Kind) -> Option<Value> {
    match kind {
        Kind::AuthorizationPolicy => Some(schema::<AuthorizationPolicySpec>()),
        Kind::PeerAuthentication => Some(schema::<PeerAuthenticationSpec>()),
        Kind::ServiceEntry => Some(schema::<ServiceEntrySpec>()),
        Kind::WorkloadEntry => Some(schema::<WorkloadEntrySpec>()),
        Kind::RequestAuthentication => Some(schema::<RequestAuthenticationSpec>()),
        Kind::VirtualService => Some(schema::<VirtualServiceSpec>()),
        Kind::DestinationRule => Some(schema::<DestinationRuleSpec>()),
        Kind::Telemetry => Some(schema::<TelemetrySpec>()),
        Kind::RateLimitPolicy => Some(schema::<RateLimitPolicySpec>()),
        Kind::MeshConfig => Some(schema::<MeshConfigSpec>()),
        Kind::EndpointSlice
        | Kind::Namespace
        | Kind::Node
        | Kind::Pod
        | Kind::Service
        | Kind::ServiceAccount
        | Kind::Secret
        | Kind::ConfigMap => None,
        Kind::Gateway
        | Kind::GatewayClass
        | Kind::HttpRoute
        | Kind::GrpcRoute
        | Kind::TcpRoute
        | Kind::TlsRoute
        | Kind::ReferenceGrant
        | Kind::BackendTlsPolicy => None,
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
    let Value::Array(mut choices) = choices else { return };
    for choice in &mut choices {
        if let Ok(choice) = <&mut Schema>::try_from(choice) {
            structural(choice);
        }
    }
    let words: Vec<_> = choices.iter().filter_map(word).collect();
    if words.len() == choices.len() {
        object.insert("type".to_owned(), "string".into());
        object.insert("enum".to_owned(), Value::Array(words));
        return;
    }
    for choice in choices {
        let Value::Object(choice) = choice else { continue };
        if choice.contains_key("type") {
            for (key, value) in choice {
                object.entry(key).or_insert(value);
            }
        } else if let Some(nullable) = choice.get("nullable") {
            object.insert("nullable".to_owned(), nullable.clone());
        }
    }
}

/// The word of a schema that takes one only.
fn word(choice: &Value) -> Option<Value> {
    let one = match choice.get("enum").and_then(Value::as_array).map(Vec::as_slice) {
        Some([one]) => Some(one),
        _ => choice.get("const"),
    };
    one.filter(|one| one.is_string()).cloned()
}
