//! How a text is compared.

use serde::Deserialize;

/// A condition on a text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(try_from = "Written")]
pub enum StringMatch {
    /// It is there, whatever it says: `{}`.
    #[default]
    Present,
    /// It is this.
    Exact(String),
    /// It begins with this.
    Prefix(String),
    /// The expression matches the whole of it.
    Regex(String),
}

/// A condition on a text: one of these; none asks only that it is there.
#[derive(Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("maxProperties" = 1)))]
#[serde(default)]
struct Written {
    exact: Option<String>,
    prefix: Option<String>,
    regex: Option<String>,
}

/// More than one condition, where there can be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("only one of exact, prefix and regex can be set")]
struct Ambiguous;

impl TryFrom<Written> for StringMatch {
    type Error = Ambiguous;

    fn try_from(written: Written) -> Result<Self, Ambiguous> {
        match written {
            Written { exact: None, prefix: None, regex: None } => Ok(Self::Present),
            Written { exact: Some(text), prefix: None, regex: None } => Ok(Self::Exact(text)),
            Written { exact: None, prefix: Some(text), regex: None } => Ok(Self::Prefix(text)),
            Written { exact: None, prefix: None, regex: Some(text) } => Ok(Self::Regex(text)),
            _ => Err(Ambiguous),
        }
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for StringMatch {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "StringMatch".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Written::json_schema(generator)
    }
}
