//! The services of the mesh, by their host names.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ambit_model::{Service, ServiceKey};

use super::hosts::{HostPattern, patterns_of};

/// Where the services of the mesh are looked up.
pub trait L7Services {
    /// A service as it is now.
    fn service(&self, key: &ServiceKey) -> Option<Arc<Service>>;
}

/// The services of the mesh. Several may have one host, in different namespaces.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    by_host: HashMap<Arc<str>, BTreeMap<Arc<str>, Arc<Service>>>,
}

impl Directory {
    /// A service as it is now; says how it was.
    pub(crate) fn replace(&mut self, key: &ServiceKey, now: Option<Arc<Service>>) -> Option<Arc<Service>> {
        let Some(service) = now else {
            let here = self.by_host.get_mut(&key.hostname)?;
            let before = here.remove(&key.namespace);
            if here.is_empty() {
                self.by_host.remove(&key.hostname);
            }
            return before;
        };
        self.by_host.entry(Arc::clone(&key.hostname)).or_default().insert(Arc::clone(&key.namespace), service)
    }

    pub(crate) fn service(&self, key: &ServiceKey) -> Option<&Arc<Service>> {
        self.by_host.get(&key.hostname)?.get(&key.namespace)
    }

    /// All services.
    pub(crate) fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.by_host.values().flat_map(BTreeMap::values)
    }

    /// The services a pattern is about.
    pub(crate) fn matching<'a>(&'a self, pattern: &'a HostPattern) -> impl Iterator<Item = &'a Arc<Service>> {
        let exact = (!pattern.is_wildcard()).then(|| self.by_host.get(pattern.as_str())).flatten();
        let all = pattern.is_wildcard().then_some(&self.by_host);
        let similar = all.into_iter().flatten().filter(|(host, _)| pattern.matches(host)).map(|(_, here)| here);
        exact.into_iter().chain(similar).flat_map(BTreeMap::values)
    }

    /// The service that one of some host names means: of the first that there is, in the first of the namespaces
    /// that has it, or else in any. A host no service has may be one of a wildcard's.
    pub(crate) fn find(&self, names: &[Arc<str>], prefer: &[&str]) -> Option<&Arc<Service>> {
        let here = names.iter().find_map(|name| self.by_host.get(name)).or_else(|| {
            let patterns = names.iter().flat_map(|name| patterns_of(name).skip(1));
            patterns.into_iter().find_map(|pattern| self.by_host.get(pattern.as_str()))
        })?;
        prefer.iter().find_map(|namespace| here.get(*namespace)).or_else(|| here.values().next())
    }
}
