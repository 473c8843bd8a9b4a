//! The services in force, each by its key.

use std::collections::BTreeMap;
use std::sync::Arc;

use ambit_model::{Service, ServiceKey};
use ambit_resources::ObjectId;

use crate::labels::Selectors;
use crate::replica::Replica;
use crate::service::Frontend;

/// The services of all objects, of which several may claim a key; the first by name has it, and a Service
/// before a ServiceEntry.
#[derive(Debug, Default)]
pub(crate) struct Frontends {
    by_key: BTreeMap<ServiceKey, Box<[Claim]>>,
    /// Those in force.
    selectors: Selectors<ServiceKey>,
}

type Claim = (ObjectId, Arc<Frontend>);

impl Frontends {
    /// Whose the key is, and what it means.
    pub(crate) fn find(&self, key: &ServiceKey) -> Option<(&ObjectId, &Arc<Frontend>)> {
        self.by_key.get(key)?.first().map(|(owner, frontend)| (owner, frontend))
    }

    /// All who claim a key, the one in force first.
    pub(crate) fn claimants(&self, key: &ServiceKey) -> impl Iterator<Item = &ObjectId> {
        self.by_key.get(key).into_iter().flatten().map(|(owner, _)| owner)
    }

    /// The keys claimed in a namespace.
    pub(crate) fn keys_in(&self, namespace: &Arc<str>) -> impl Iterator<Item = &ServiceKey> {
        let first = ServiceKey { namespace: Arc::clone(namespace), hostname: "".into() };
        let keys = self.by_key.range(first..).map(|(key, _)| key);
        keys.take_while(move |key| key.namespace == *namespace)
    }

    /// Puts in or takes out what an object means by a key. Hands back what was in force and what is.
    pub(crate) fn change(
        &mut self,
        key: &ServiceKey,
        owner: &ObjectId,
        frontend: Option<&Arc<Frontend>>,
    ) -> (Option<Arc<Frontend>>, Option<Arc<Frontend>>) {
        let before = self.find(key).map(|(_, frontend)| Arc::clone(frontend));
        let mut claims = self.by_key.remove(key).unwrap_or_default().into_vec();
        claims.retain(|(other, _)| other != owner);
        claims.extend(frontend.map(|frontend| (owner.clone(), Arc::clone(frontend))));
        claims.sort_by(|(a, _), (b, _)| a.cmp(b));
        if !claims.is_empty() {
            self.by_key.insert(key.clone(), claims.into());
        }
        let after = self.find(key).map(|(_, frontend)| Arc::clone(frontend));
        if let Some(before) = &before {
            self.selectors.remove(&before.selector(), key);
        }
        if let Some(after) = &after {
            self.selectors.insert(&after.selector(), key.clone());
        }
        (before, after)
    }

    /// The services that select a replica.
    pub(crate) fn selecting<'a>(&'a self, replica: &'a Replica) -> impl Iterator<Item = &'a Frontend> {
        let keys = self.selectors.selecting(&replica.namespace, &replica.labels);
        keys.filter_map(|key| self.find(key)).map(|(_, frontend)| &**frontend)
    }

    pub(crate) fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.by_key.values().filter_map(|claims| claims.first()).map(|(_, frontend)| &frontend.service)
    }
}
