//! What a token says.

use std::iter;
use std::sync::Arc;

use serde_json::{Map, Value};

/// The claims of a token whose signature, issuer, audience and times were found good.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims {
    map: Map<String, Value>,
    /// `issuer/subject`.
    principal: Option<String>,
    /// Claims whose text is a list of words.
    words: Vec<Arc<str>>,
}

impl Claims {
    /// The claims of a token; `words` are the rule's [`crate::JwtRule::space_delimited`].
    #[must_use]
    pub fn new(map: Map<String, Value>, words: &[Arc<str>]) -> Self {
        let text = |name| map.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let principal = text("iss").zip(text("sub")).map(|(issuer, subject)| format!("{issuer}/{subject}"));
        Self { map, principal, words: words.to_vec() }
    }

    /// The request's principal, `issuer/subject`; none where the token lacks either.
    #[must_use]
    pub fn principal(&self) -> Option<&str> {
        self.principal.as_deref()
    }

    /// All claims, as they stand in the token.
    #[must_use]
    pub fn map(&self) -> &Map<String, Value> {
        &self.map
    }

    /// The claim at a path.
    #[must_use]
    pub fn find<N: AsRef<str>>(&self, path: &[N]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.map.get(first.as_ref())?, |value, name| value.get(name.as_ref()))
    }

    /// Whether one of the texts of the claim at a path does: itself, one of a list, or one of its words. What is no
    /// text does not.
    pub(super) fn any_text<N: AsRef<str>>(&self, path: &[N], does: impl FnMut(&str) -> bool) -> bool {
        match (self.find(path), path) {
            (Some(Value::String(text)), [name]) if self.is_words(name.as_ref()) => {
                text.split_ascii_whitespace().any(does)
            }
            (Some(Value::String(text)), _) => iter::once(text.as_str()).any(does),
            (Some(Value::Array(list)), _) => list.iter().filter_map(Value::as_str).any(does),
            _ => false,
        }
    }

    fn is_words(&self, name: &str) -> bool {
        matches!(name, "scope" | "permission") || self.words.iter().any(|word| **word == *name)
    }
}
