//! ServiceAccount.

use serde::Deserialize;

use crate::Metadata;
use crate::unknown_field::FieldTable;

/// A service account. An identity exists through the pods that use it, so this has no effect; it is
/// known so that a folder that holds one is not reported.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct ServiceAccount {
    /// Metadata.
    pub metadata: Metadata,
}

pub(crate) const FIELDS: FieldTable = &[("", &["automountServiceAccountToken", "imagePullSecrets", "secrets"])];
