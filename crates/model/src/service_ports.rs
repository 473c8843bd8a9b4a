//! The services a workload is an endpoint of.

use std::collections::BTreeMap;

use crate::{PortMapping, ServiceKey};

/// The services a workload is an endpoint of, with its ports for each, by key. Nearly always one: a sorted
/// list takes a tenth of a map's memory.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ServicePorts(Box<[(ServiceKey, Box<[PortMapping]>)]>);

impl ServicePorts {
    /// The ports for a service.
    #[must_use]
    pub fn get(&self, service: &ServiceKey) -> Option<&[PortMapping]> {
        let at = self.0.binary_search_by(|(key, _)| key.cmp(service)).ok()?;
        self.0.get(at).map(|(_, ports)| &**ports)
    }
    /// Whether it is an endpoint of a service.
    #[must_use]
    pub fn contains_key(&self, service: &ServiceKey) -> bool {
        self.get(service).is_some()
    }
    /// Services with their ports, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&ServiceKey, &[PortMapping])> {
        self.0.iter().map(|(key, ports)| (key, &**ports))
    }
    /// The services, by key.
    pub fn keys(&self) -> impl Iterator<Item = &ServiceKey> {
        self.0.iter().map(|(key, _)| key)
    }
    /// How many services.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// Whether it is an endpoint of none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Of several entries with one key the last is taken.
impl FromIterator<(ServiceKey, Vec<PortMapping>)> for ServicePorts {
    fn from_iter<I: IntoIterator<Item = (ServiceKey, Vec<PortMapping>)>>(entries: I) -> Self {
        let sorted: BTreeMap<_, _> = entries.into_iter().collect();
        Self(sorted.into_iter().map(|(key, ports)| (key, ports.into())).collect())
    }
}
