//! Node.

use serde::Deserialize;

use crate::Metadata;
use crate::unknown_field::FieldTable;

/// A node. Only its labels matter.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Node {
    /// Metadata.
    pub metadata: Metadata,
}

pub(crate) const FIELDS: FieldTable = &[("", &["spec", "status"])];
