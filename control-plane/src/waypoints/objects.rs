//! Users' objects, and which waypoint is told of which. An object that changes is held against each waypoint; a
//! waypoint whose services or routes change is held against all objects.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use ambit_compile::Delta;
use ambit_model::{GatewayAddress, GatewayKey, ServiceKey, WorkloadUid};
use ambit_resources::ObjectId;
use ambit_xds::Entry;
use ambit_xds::proto::config;

use super::scope::{Counted, Scope};
use super::sent::Sent;
use crate::credentials::{Use, Wanted};

/// All of them.
#[derive(Debug)]
pub(crate) struct Objects {
    root: Arc<str>,
    objects: HashMap<ObjectId, Sent>,
    waypoints: BTreeMap<GatewayKey, Waypoint>,
    /// What is bound, with its namespace, to which waypoints.
    bound: HashMap<Bound, (Arc<str>, Vec<GatewayKey>)>,
    told: Vec<Told>,
}

/// What a waypoint is told of an object: what it is now, or that it is none of its concern any more.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) waypoint: GatewayKey,
    pub(crate) id: ObjectId,
    pub(crate) object: Option<config::Object>,
}

impl Told {
    /// As it is published.
    pub(crate) fn entry(&self) -> Entry {
        let Self { waypoint, id, object } = self;
        match object {
            Some(object) => Entry::object(waypoint, object),
            None => Entry::removed_object(waypoint, id.kind.word(), &id.namespace, &id.name),
        }
    }
}

/// A waypoint, or what is only bound to.
#[derive(Debug)]
struct Waypoint {
    scope: Scope,
    /// Whether there is such a Gateway: nobody is told anything otherwise.
    exists: bool,
    told: BTreeSet<ObjectId>,
    /// The credentials that what it is told of names.
    credentials: Counted<(ObjectId, Use)>,
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
        let (objects, waypoints, bound, told) = Default::default();
        Self { root, objects, waypoints, bound, told }
    }

    /// An object came, or changed. One that is not valid does not take the place of one that is: a waypoint that
    /// starts now has what those have that know the version before. Whether that one is kept.
    pub(crate) fn put(&mut self, id: &ObjectId, sent: Sent) -> bool {
        if !sent.valid && self.objects.get(id).is_some_and(|before| before.valid) {
            return true;
        }
        let before = self.objects.insert(id.clone(), sent);
        let Some(now) = self.objects.get(id) else { return false };
        if before.as_ref().is_none_or(|before| before.object != now.object) {
            for (key, waypoint) in self.waypoints.iter_mut().filter(|(_, waypoint)| waypoint.exists) {
                waypoint.judge(key, id, [before.as_ref(), Some(now)], &mut self.told);
            }
        }
        false
    }

    /// An object went.
    pub(crate) fn remove(&mut self, id: &ObjectId) {
        let Some(before) = self.objects.remove(id) else { return };
        for (key, waypoint) in &mut self.waypoints {
            waypoint.judge(key, id, [Some(&before), None], &mut self.told);
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
            let waypoints = service.iter().flat_map(|service| service.waypoints());
            let waypoints = waypoints.filter_map(|waypoint| gateway(waypoint)).collect();
            self.bind_one(Bound::Service(key.clone()), &key.namespace, waypoints);
        }
        for (uid, workload) in &delta.workloads {
            let namespace = workload.as_ref().map(|workload| Arc::clone(&workload.namespace)).unwrap_or_default();
            let waypoint = workload.as_ref().and_then(|workload| gateway(workload.waypoint.as_deref()?));
            self.bind_one(Bound::Workload(uid.clone()), &namespace, waypoint.into_iter().collect());
        }
    }

    fn bind_one(&mut self, bound: Bound, namespace: &Arc<str>, to: Vec<GatewayKey>) {
        let to = (!to.is_empty()).then(|| (Arc::clone(namespace), to));
        let before = match to.clone() {
            Some(to) => self.bound.insert(bound.clone(), to),
            None => self.bound.remove(&bound),
        };
        if before == to {
            return;
        }
        let host = if let Bound::Service(key) = &bound { Some(&key.hostname) } else { None };
        for (to, binds) in [(before, false), (to, true)] {
            let Some((namespace, keys)) = to else { continue };
            for key in keys {
                let waypoint = entry(&mut self.waypoints, &key, &self.root);
                waypoint.stale |= waypoint.scope.bind(&namespace, host, binds);
            }
        }
    }

    /// The credentials that each waypoint needs.
    pub(crate) fn credentials(&self) -> Wanted {
        let wanted = |(key, waypoint): (&GatewayKey, &Waypoint)| {
            let all: BTreeSet<_> = waypoint.credentials.all().cloned().collect();
            (!all.is_empty()).then(|| (key.clone(), all))
        };
        self.waypoints.iter().filter_map(wanted).collect()
    }

    /// What is to be published.
    pub(crate) fn settle(&mut self) -> Vec<Told> {
        for (key, waypoint) in self.waypoints.iter_mut().filter(|(_, waypoint)| waypoint.stale) {
            // First what routes: it decides what else concerns the waypoint.
            for routes in [true, false] {
                for (id, sent) in self.objects.iter().filter(|(_, sent)| sent.concern.leads_to.is_empty() != routes) {
                    let now = Some(sent).filter(|_| waypoint.exists);
                    waypoint.judge(key, id, [Some(sent), now], &mut self.told);
                }
            }
            waypoint.stale = false;
        }
        self.waypoints.retain(|_, waypoint| waypoint.exists || !waypoint.scope.is_empty());
        std::mem::take(&mut self.told)
    }
}

impl Waypoint {
    /// An object was so, and is so now. What is the same is not told again.
    fn judge(&mut self, key: &GatewayKey, id: &ObjectId, [before, now]: [Option<&Sent>; 2], out: &mut Vec<Told>) {
        let now = now.filter(|now| now.concern.is_of(&self.scope));
        let before = before.filter(|_| self.told.contains(id));
        let went = before.is_some_and(|before| self.scope.lead(&before.concern.leads_to, false));
        let came = now.is_some_and(|now| self.scope.lead(&now.concern.leads_to, true));
        // Where something went and came it may be the same; then all is looked at for nothing.
        self.stale |= went != came || (went && before.map(leads) != now.map(leads));
        for (object, named) in [(before, false), (now, true)] {
            for credential in object.into_iter().flat_map(|object| object.concern.credentials(key)) {
                self.credentials.count(&credential, named);
            }
        }
        match now {
            Some(now) if before.is_none_or(|before| before.object != now.object) => {
                self.told.insert(id.clone());
                out.push(Told { waypoint: key.clone(), id: id.clone(), object: Some(now.object.clone()) });
            }
            None if before.is_some() => {
                self.told.remove(id);
                out.push(Told { waypoint: key.clone(), id: id.clone(), object: None });
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
        credentials: Counted::default(),
        stale: false,
    })
}

/// The Gateway whose service an address names. What is kept from a waypoint that is not there, or does not allow it,
/// is bound to nobody, and nothing of it is told to whoever is of that name.
pub(super) fn gateway(address: &GatewayAddress) -> Option<GatewayKey> {
    let service = address.service().filter(|service| !service.hostname.ends_with(".invalid"))?;
    let name = service.hostname.split('.').next()?;
    Some(GatewayKey { namespace: Arc::clone(&service.namespace), name: name.into() })
}

#[cfg(test)]
mod tests;
