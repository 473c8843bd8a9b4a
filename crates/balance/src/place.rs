//! Where somebody is.

use std::sync::Arc;

/// Where a client or an endpoint is; what is not known is empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Place {
    /// Region.
    pub region: Arc<str>,
    /// Zone of the region.
    pub zone: Arc<str>,
    /// Part of the zone.
    pub subzone: Arc<str>,
}

impl Place {
    /// Whether nothing is known.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.region.is_empty() && self.zone.is_empty() && self.subzone.is_empty()
    }
}

impl From<&ambit_model::Locality> for Place {
    fn from(locality: &ambit_model::Locality) -> Self {
        Self { region: Arc::clone(&locality.region), zone: Arc::clone(&locality.zone), subzone: Arc::default() }
    }
}
