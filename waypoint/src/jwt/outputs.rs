//! Headers that carry claims on to the backend. It believes them, so nobody else may write them.

use std::sync::Arc;

use ambit_l7::{Claims, JwtRule};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

/// Takes away what the client wrote in our name.
pub(super) fn strip(rules: &[Arc<JwtRule>], headers: &mut HeaderMap) {
    for name in rules.iter().flat_map(|rule| names(rule)) {
        headers.remove(name);
    }
}

/// Writes what a token says.
pub(super) fn write(rule: &JwtRule, token: &str, claims: &Claims, headers: &mut HeaderMap) {
    let payload = token.split('.').nth(1).and_then(|payload| HeaderValue::from_str(payload).ok());
    if let Some((name, payload)) = rule.output_payload.as_ref().zip(payload) {
        headers.insert(name, payload);
    }
    for (name, path) in &rule.output_claims {
        if let Some(value) = claims.find(path).and_then(text) {
            headers.insert(name, value);
        }
    }
}

fn names(rule: &JwtRule) -> impl Iterator<Item = &HeaderName> {
    rule.output_payload.iter().chain(rule.output_claims.iter().map(|(name, _)| name))
}

/// Texts, numbers and truth values have a form in headers.
fn text(claim: &Value) -> Option<HeaderValue> {
    match claim {
        Value::String(text) => HeaderValue::from_str(text).ok(),
        Value::Number(number) => HeaderValue::try_from(number.to_string()).ok(),
        Value::Bool(is_so) => Some(HeaderValue::from_static(if *is_so { "true" } else { "false" })),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
