//! From a tree of values to a type, remembering what the type has no field for.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{FieldPath, Object, Problem};

/// Reads one kind; what its type has no field for is added to the list.
pub(crate) type Reader = fn(&Value, &mut Vec<FieldPath>) -> Result<Object, (FieldPath, Problem)>;

/// Reads one type.
pub(crate) fn read<T: DeserializeOwned>(
    value: &Value,
    ignored: &mut Vec<FieldPath>,
) -> Result<T, (FieldPath, Problem)> {
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(value, &mut track);
    serde_ignored::deserialize(tracked, |path| ignored.push(FieldPath::from(&path)))
        .map_err(|error| (FieldPath::from(&track.path()), Problem::Type { detail: error.to_string() }))
}
