//! Absent, null and empty: Kubernetes reads a null as an absent field, and a policy must not.

use serde_json::Value;

use crate::{FieldPath, Problem};

/// Takes the fields without a value out of a value and of everything in it.
pub(crate) fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Finds in a policy's spec what would widen the policy if it were read as absent: nulls, and lists
/// without items. `rules: []` is as good as no rules, and common.
pub(crate) fn empty_constraints(value: &Value, at: &FieldPath, found: &mut Vec<(FieldPath, Problem)>) {
    match value {
        Value::Null => found.push((at.clone(), Problem::Null)),
        Value::Array(items) if items.is_empty() && *at != FieldPath::of("spec.rules") => {
            found.push((at.clone(), Problem::EmptyList));
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                empty_constraints(item, &at.index(index), found);
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                empty_constraints(value, &at.field(name), found);
            }
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
