//! Namespace.

use serde::Deserialize;

use crate::Metadata;
use crate::unknown_field::FieldTable;

/// A namespace. Only its labels and annotations matter.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Namespace {
    /// Metadata.
    pub metadata: Metadata,
}

pub(crate) const FIELDS: FieldTable = &[("", &["spec", "status"])];
