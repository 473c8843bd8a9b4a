//! From one snapshot to the next.

use std::collections::HashSet;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;

use ambit_model::{Authorization, PolicyKey, Service, ServiceKey, Workload, WorkloadUid, canonical_ip};

use crate::Snapshot;

/// One step. Putting in replaces what has the same key.
#[derive(Debug, Clone)]
pub enum Update {
    /// Puts a workload in.
    Workload(Arc<Workload>),
    /// Takes a workload out.
    RemoveWorkload(WorkloadUid),
    /// Puts a service in.
    Service(Arc<Service>),
    /// Takes a service out.
    RemoveService(ServiceKey),
    /// Puts a policy in.
    Policy(Arc<Authorization>),
    /// Takes a policy out.
    RemovePolicy(PolicyKey),
    /// What was found for a host name, which may be nothing, or that it is no longer looked up.
    Found(Arc<str>, Option<Arc<[IpAddr]>>),
}

/// What differs between two snapshots. Objects put in unchanged are not told.
#[derive(Debug, Default)]
pub struct Changes {
    /// Workloads that came, went or changed.
    pub workloads: Vec<Change<Workload>>,
    /// Services that came, went or changed.
    pub services: Vec<Change<Service>>,
    /// Policies that came, went or changed.
    pub policies: Vec<Change<Authorization>>,
}

/// What became of one object; at least one side is there.
#[derive(Debug)]
pub struct Change<T> {
    /// As it was, unless it is new.
    pub before: Option<Arc<T>>,
    /// As it is, unless it is gone.
    pub after: Option<Arc<T>>,
}

impl Changes {
    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.workloads.is_empty() && self.services.is_empty() && self.policies.is_empty()
    }

    /// Every address whose meaning may have changed; to follow [`Snapshot::mesh_destinations`], ask
    /// [`Snapshot::is_mesh_destination`] of each. An address may come twice.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let workloads = self.workloads.iter().flat_map(|change| change.sides()).flat_map(|w| w.addresses.iter());
        let services = self.services.iter().flat_map(|change| change.sides()).flat_map(|s| s.addresses.iter());
        workloads.chain(services).map(|ip| canonical_ip(*ip))
    }
}

impl<T> Change<T> {
    fn sides(&self) -> impl Iterator<Item = &T> {
        self.before.iter().chain(&self.after).map(Arc::as_ref)
    }
}

impl Snapshot {
    /// A snapshot of these objects. Of several with one key the last is taken.
    #[must_use]
    pub fn build(workloads: Vec<Workload>, services: Vec<Service>, policies: Vec<Authorization>) -> Self {
        let workloads = workloads.into_iter().map(Arc::new).collect();
        let services = services.into_iter().map(Arc::new).collect();
        Self::default().replace_all(workloads, services, policies.into_iter().map(Arc::new).collect()).0
    }

    /// The snapshot after these steps, and what they changed. Costs a few thousand instructions plus
    /// what is touched: give it whole batches.
    #[must_use]
    pub fn apply(&self, updates: impl IntoIterator<Item = Update>) -> (Self, Changes) {
        let mut next = self.clone();
        let mut changes = Changes::default();
        for update in updates {
            match update {
                Update::Workload(workload) => {
                    changes.workloads.extend(next.replace_workload(&workload.uid, Some(&workload)));
                }
                Update::RemoveWorkload(uid) => changes.workloads.extend(next.replace_workload(&uid, None)),
                Update::Service(service) => {
                    changes.services.extend(next.replace_service(&service.key, Some(&service)));
                }
                Update::RemoveService(key) => changes.services.extend(next.replace_service(&key, None)),
                Update::Policy(policy) => changes.policies.extend(next.replace_policy(&policy.key, Some(&policy))),
                Update::RemovePolicy(key) => changes.policies.extend(next.replace_policy(&key, None)),
                Update::Found(name, found) => next.learn(&name, found.as_ref()),
            }
        }
        (next, changes)
    }

    /// The snapshot of these objects alone, made from this one: what is equal is kept, not replaced. An
    /// object that is the very same allocation as before costs one look-up.
    #[must_use]
    pub fn replace_all(
        &self,
        workloads: Vec<Arc<Workload>>,
        services: Vec<Arc<Service>>,
        policies: Vec<Arc<Authorization>>,
    ) -> (Self, Changes) {
        let mut updates = Vec::new();
        let gone = missing(self.workloads(), &workloads, |workload| &workload.uid);
        updates.extend(gone.into_iter().map(Update::RemoveWorkload));
        let gone = missing(self.services(), &services, |service| &service.key);
        updates.extend(gone.into_iter().map(Update::RemoveService));
        let gone = missing(self.policies(), &policies, |policy| &policy.key);
        updates.extend(gone.into_iter().map(Update::RemovePolicy));

        let workloads = workloads.into_iter().map(Update::Workload);
        let services = services.into_iter().map(Update::Service);
        let policies = policies.into_iter().map(Update::Policy);
        self.apply(updates.into_iter().chain(workloads).chain(services).chain(policies))
    }

    /// This one, which has found for host names what another has; nothing where it has already. What is published
    /// takes the place of what was learnt meanwhile.
    #[must_use]
    pub fn taught_by(&self, other: &Self) -> Option<Self> {
        let lessons = self.names.lessons(&other.names);
        (!lessons.is_empty()).then(|| self.apply(lessons).0)
    }

    fn replace_workload(&mut self, uid: &WorkloadUid, after: Option<&Arc<Workload>>) -> Option<Change<Workload>> {
        if self.workloads.find(uid) == after {
            return None;
        }
        let before = self.workloads.replace(uid, after);
        if let Some(workload) = &before {
            self.names.endpoints_of(workload).iter().for_each(|endpoint| self.endpoints.remove(endpoint));
        }
        self.names.replace(before.as_ref(), after);
        if let Some(workload) = after {
            self.names.endpoints_of(workload).iter().for_each(|endpoint| self.endpoints.insert(endpoint));
        }
        Some(Change { before, after: after.cloned() })
    }

    fn learn(&mut self, name: &Arc<str>, found: Option<&Arc<[IpAddr]>>) {
        let before = self.names.clone();
        for workload in self.names.learn(name, found) {
            before.endpoints_of(&workload).iter().for_each(|endpoint| self.endpoints.remove(endpoint));
            self.names.endpoints_of(&workload).iter().for_each(|endpoint| self.endpoints.insert(endpoint));
        }
    }

    fn replace_service(&mut self, key: &ServiceKey, after: Option<&Arc<Service>>) -> Option<Change<Service>> {
        if self.services.find(key) == after {
            return None;
        }
        Some(Change { before: self.services.replace(key, after), after: after.cloned() })
    }

    fn replace_policy(&mut self, key: &PolicyKey, after: Option<&Arc<Authorization>>) -> Option<Change<Authorization>> {
        if self.policies.find(key) == after {
            return None;
        }
        Some(Change { before: self.policies.replace(key, after), after: after.cloned() })
    }
}

/// The keys of `held` that `wanted` does not have.
fn missing<'a, T: 'a, K: Hash + Eq + Clone>(
    held: impl Iterator<Item = &'a Arc<T>>,
    wanted: &[Arc<T>],
    key: impl Fn(&T) -> &K,
) -> Vec<K> {
    let wanted: HashSet<&K> = wanted.iter().map(|object| key(object)).collect();
    held.map(|object| key(object)).filter(|key| !wanted.contains(key)).cloned().collect()
}

#[cfg(test)]
mod tests;
