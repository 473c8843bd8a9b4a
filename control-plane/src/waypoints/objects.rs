//! Users' objects, and which waypoint is told of which. An object that changes is held against each waypoint; a
//! waypoint whose services or routes change is held against all objects.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use ambit_compile::Delta;
use ambit_model::{GatewayAddress, GatewayKey, ServiceKey, WorkloadUid};
use ambit_resources::ObjectId;
use ambit_xds::Entry;

use super::scope::Scope;
use super::sent::Sent;

/// All of them.
#[derive(Debug)]
pub(crate) struct Objects {
    root: Arc<str>,
    objects: HashMap<ObjectId, Sent>,
    waypoints: BTreeMap<GatewayKey, Waypoint>,
    /// What is bound, with its namespace, to which waypoint.
    bound: HashMap<Bound, (Arc<str>, GatewayKey)>,
    entries: Vec<Entry>,
}

/// A waypoint, or what is only bound to.
#[derive(Debug)]
struct Waypoint {
    scope: Scope,
    /// Whether there is such a Gateway: nobody is told anything otherwise.
    exists: bool,
    told: BTreeSet<ObjectId>,
    /// Whether its scope changed since all objects were held against it.
    stale: bool,
}

/// What may be bound to a waypoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Bound {
    Service(ServiceKey),
    Workload(WorkloadUid),
}

impl Objects {
    /// No objects yet; those of `root` concern every waypoint.
    pub(crate) fn new(root: Arc<str>) -> Self {
        let (objects, waypoints, bound, entries) = Default::default();
        Self { root, objects, waypoints, bound, entries }
    }

    /// An object came, or changed.
    pub(crate) fn put(&mut self, id: &ObjectId, sent: Sent) {
        let before = self.objects.insert(id.clone(), sent);
        let Some(now) = self.objects.get(id) else { return };
        if before.as_ref().is_some_and(|before| before.object == now.object) {
            return;
        }
        for (key, waypoint) in self.waypoints.iter_mut().filter(|(_, waypoint)| waypoint.exists) {
            waypoint.judge(key, id, [before.as_ref(), Some(now)], &mut self.entries);
        }
    }

    /// An object went.
    pub(crate) fn remove(&mut self, id: &ObjectId) {
        let Some(before) = self.objects.remove(id) else { return };
        for (key, waypoint) in &mut self.waypoints {
            waypoint.judge(key, id, [Some(&before), None], &mut self.entries);
        }
    }

    /// These are the waypoints there are.
    pub(crate) fn exist(&mut self, keys: &BTreeSet<GatewayKey>) {
        for key in keys {
            let waypoint = entry(&mut self.waypoints, key, &self.root);
            waypoint.stale |= !std::mem::replace(&mut waypoint.exists, true);
        }
        for (key, waypoint) in &mut self.waypoints {
            waypoint.stale |= waypoint.exists && !keys.contains(key);
            waypoint.exists = keys.contains(key);
        }
    }

    /// What is bound to which waypoint has changed.
    pub(crate) fn bind(&mut self, delta: &Delta) {
        for (key, service) in &delta.services {
            let waypoint = service.as_ref().and_then(|service| gateway(service.waypoint.as_deref()?));
            self.bind_one(Bound::Service(key.clone()), waypoint.map(|it| (Arc::clone(&key.namespace), it)));
        }
        for (uid, workload) in &delta.workloads {
            let waypoint = workload
                .as_ref()
                .and_then(|workload| Some((Arc::clone(&workload.namespace), gateway(workload.waypoint.as_deref()?)?)));
            self.bind_one(Bound::Workload(uid.clone()), waypoint);
        }
    }

    fn bind_one(&mut self, bound: Bound, to: Option<(Arc<str>, GatewayKey)>) {
        let before = match to.clone() {
            Some(to) => self.bound.insert(bound.clone(), to),
            None => self.bound.remove(&bound),
        };
        if before == to {
            return;
        }
        let host = if let Bound::Service(key) = &bound { Some(&key.hostname) } else { None };
        for (to, binds) in [(before, false), (to, true)] {
            let Some((namespace, key)) = to else { continue };
            let waypoint = entry(&mut self.waypoints, &key, &self.root);
            waypoint.stale |= waypoint.scope.bind(&namespace, host, binds);
        }
    }

    /// What is to be published.
    pub(crate) fn settle(&mut self) -> Vec<Entry> {
        for (key, waypoint) in self.waypoints.iter_mut().filter(|(_, waypoint)| waypoint.stale) {
            // First what routes: it decides what else concerns the waypoint.
            for routes in [true, false] {
                for (id, sent) in self.objects.iter().filter(|(_, sent)| sent.concern.leads_to.is_empty() != routes) {
                    let now = Some(sent).filter(|_| waypoint.exists);
                    waypoint.judge(key, id, [Some(sent), now], &mut self.entries);
                }
            }
            waypoint.stale = false;
        }
        self.waypoints.retain(|_, waypoint| waypoint.exists || !waypoint.scope.is_empty());
        std::mem::take(&mut self.entries)
    }
}

impl Waypoint {
    /// An object was so, and is so now. What is the same is not told again.
    fn judge(&mut self, key: &GatewayKey, id: &ObjectId, [before, now]: [Option<&Sent>; 2], entries: &mut Vec<Entry>) {
        let now = now.filter(|now| now.concern.is_of(&self.scope));
        let before = before.filter(|_| self.told.contains(id));
        let went = before.is_some_and(|before| self.scope.lead(&before.concern.leads_to, false));
        let came = now.is_some_and(|now| self.scope.lead(&now.concern.leads_to, true));
        // Where something went and came it may be the same; then all is looked at for nothing.
        self.stale |= went != came || (went && before.map(leads) != now.map(leads));
        match now {
            Some(now) if before.is_none_or(|before| before.object != now.object) => {
                self.told.insert(id.clone());
                entries.push(Entry::object(key, &now.object));
            }
            None if before.is_some() => {
                self.told.remove(id);
                entries.push(Entry::removed_object(key, id.kind.word(), &id.namespace, &id.name));
            }
            _ => {}
        }
    }
}

fn leads(sent: &Sent) -> &BTreeSet<super::relevance::Place> {
    &sent.concern.leads_to
}

fn entry<'a>(waypoints: &'a mut BTreeMap<GatewayKey, Waypoint>, key: &GatewayKey, root: &Arc<str>) -> &'a mut Waypoint {
    waypoints.entry(key.clone()).or_insert_with(|| Waypoint {
        scope: Scope::new(key.clone(), Arc::clone(root)),
        exists: false,
        told: BTreeSet::new(),
        stale: false,
    })
}

/// The Gateway whose service an address names. What is kept from a waypoint that is not there, or does not allow it,
/// is bound to nobody, and nothing of it is told to whoever is of that name.
fn gateway(address: &GatewayAddress) -> Option<GatewayKey> {
    let service = address.service().filter(|service| !service.hostname.ends_with(".invalid"))?;
    let name = service.hostname.split('.').next()?;
    Some(GatewayKey { namespace: Arc::clone(&service.namespace), name: name.into() })
}

#[cfg(test)]
mod tests;
