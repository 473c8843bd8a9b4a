//! Secret and ConfigMap, as far as they hold credentials.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::Metadata;
use crate::unknown_field::FieldTable;

/// Keys and certificates.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Secret {
    /// Metadata.
    pub metadata: Metadata,
    /// What it holds, in base64.
    pub data: Hidden,
    /// What it holds, as it is: counts before `data`.
    pub string_data: Hidden,
}

/// Certificates of authorities.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct ConfigMap {
    /// Metadata.
    pub metadata: Metadata,
    /// What it holds.
    pub data: Hidden,
}

pub(crate) const FIELDS: FieldTable = &[("", &["binaryData", "immutable", "type"])];

impl Secret {
    /// What it holds by a name; nothing where that is no text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<Arc<str>> {
        let decoded = || String::from_utf8(STANDARD.decode(&**self.data.0.get(name)?).ok()?).ok();
        self.string_data.0.get(name).cloned().or_else(|| decoded().map(Arc::from))
    }
}

impl ConfigMap {
    /// What it holds by a name.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<Arc<str>> {
        self.data.0.get(name).cloned()
    }
}

/// Texts by name, which are in no message and no log, whatever is wrong with them.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Hidden(BTreeMap<String, Arc<str>>);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What is no text is left out, without a word: words would repeat it.
impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Value::Object(fields) = Value::deserialize(deserializer)? else { return Ok(Self::default()) };
        let text = |(name, value): (String, Value)| Some((name, value.as_str()?.into()));
        Ok(Self(fields.into_iter().filter_map(text).collect()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_secret_holds_is_read_and_never_shown() {
        for (object, expected) in [
            (json!({}), None),
            (json!({ "data": { "tls.key": "c2VjcmV0" } }), Some("secret")),
            (json!({ "stringData": { "tls.key": "plain" }, "data": { "tls.key": "c2VjcmV0" } }), Some("plain")),
            (json!({ "data": { "tls.key": "se cret" } }), None),
            (json!({ "data": { "tls.key": "/w==" } }), None),
            (json!({ "data": { "tls.key": 7 } }), None),
            (json!({ "data": "secret" }), None),
        ] {
            let secret: Secret = serde_json::from_value(object.clone()).unwrap();
            assert_eq!(secret.text("tls.key").as_deref(), expected, "{object}");
            let shown = format!("{secret:?}");
            assert!(!["c2Vj", "secret", "plain"].iter().any(|it| shown.contains(it)), "{shown}");
        }
    }
}
