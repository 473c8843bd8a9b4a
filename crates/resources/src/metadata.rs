//! `metadata`, the same for every kind.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Unexpected};

/// What every object says about itself. Its name and namespace are checked by the reader: see
/// [`crate::ObjectId`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    /// Name.
    pub name: String,
    /// Namespace, where one is named.
    pub namespace: Option<String>,
    /// What tells it from others of its name, before it and after it.
    pub uid: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// When it was made.
    pub creation_timestamp: Option<Timestamp>,
    /// When it was asked to go; until then it lives.
    pub deletion_timestamp: Option<Timestamp>,
    /// What it belongs to.
    pub owner_references: Vec<OwnerReference>,
}

/// One of the objects an object belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerReference {
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Whether this is the one that manages it.
    pub controller: bool,
}

/// A time as the API server writes it, `2026-01-31T09:30:00Z`: whole seconds, UTC, so that the order
/// of the texts is the order of the times.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(String);

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        if shape == "0000-00-00T00:00:00Z" {
            Ok(Self(text))
        } else {
            Err(Error::invalid_value(Unexpected::Str(&text), &"a time like 2026-01-31T09:30:00Z"))
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The longest name, and the longest without dots (RFC 1123, as Kubernetes applies it).
const MAX_NAME: (usize, usize) = (253, 63);

/// The longest name allowed, where dots are allowed or not.
pub(crate) fn max_name(dots: bool) -> usize {
    if dots { MAX_NAME.0 } else { MAX_NAME.1 }
}

/// Whether Kubernetes would accept the name: a DNS-1123 subdomain, or a label where dots are not allowed.
#[must_use]
pub fn is_name(name: &str, dots: bool) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    name.len() <= max_name(dots) && if dots { name.split('.').all(label) } else { label(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_kubernetes() {
        let long = "a".repeat(64);
        for (name, dots, expected) in [
            ("web", false, true),
            ("web-1", false, true),
            ("1web", false, true),
            ("a.b", true, true),
            ("a.b", false, false),
            ("", true, false),
            ("-a", true, false),
            ("a-", true, false),
            ("a..b", true, false),
            ("Web", true, false),
            ("a_b", true, false),
            ("../etc", true, false),
            (&long, true, true),
            (&long, false, false),
        ] {
            assert_eq!(is_name(name, dots), expected, "{name:?}");
        }
    }
}
