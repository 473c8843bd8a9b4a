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

    /// Whether two are in one region, as far as is known.
    pub(crate) fn is_same_region(&self, other: &Self) -> bool {
        !self.region.is_empty() && self.region == other.region
    }

    /// Whether two are in one zone, as far as is known. Zones of different regions may have one name.
    pub(crate) fn is_same_zone(&self, other: &Self) -> bool {
        !self.zone.is_empty() && (&self.region, &self.zone) == (&other.region, &other.zone)
    }
}

impl From<&ambit_model::Locality> for Place {
    fn from(locality: &ambit_model::Locality) -> Self {
        Self { region: Arc::clone(&locality.region), zone: Arc::clone(&locality.zone), subzone: Arc::default() }
    }
}
