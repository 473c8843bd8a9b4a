//! Absent, null and empty: Kubernetes reads a null as an absent field, and a policy must not.

use serde_json::Value;

use crate::fields_of::FieldsOf;
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
/// without items. `rules: []` and `jwtRules: []` are as good as none, and common.
pub(crate) fn empty_constraints(value: &Value, at: &FieldPath, found: &mut Vec<(FieldPath, Problem)>) {
    match value {
        Value::Null => found.push((at.clone(), Problem::Null)),
        Value::Array(items) if items.is_empty() && !AS_GOOD_AS_ABSENT.iter().any(|path| *at == FieldPath::of(path)) => {
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

const AS_GOOD_AS_ABSENT: [&str; 2] = ["spec.rules", "spec.jwtRules"];

/// Finds lists that stand where a type has fields: readers take such a list for the values of the fields in
/// their order, which nobody ever meant.
pub(crate) fn lists_for_fields(
    value: &Value,
    at: &mut FieldPath,
    fields_of: FieldsOf,
    found: &mut Vec<(FieldPath, Problem)>,
) {
    match value {
        Value::Array(_) if !fields_of(at.segments()).is_empty() => {
            let detail = "invalid type: sequence, expected a mapping".to_owned();
            found.push((at.clone(), Problem::Type { detail }));
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                at.while_at_index(index, |at| lists_for_fields(item, at, fields_of, found));
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                at.while_at_field(name, |at| lists_for_fields(value, at, fields_of, found));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
