//! Objects come and go, and mark what depends on them.

use std::net::IpAddr;
use std::sync::Arc;

use ambit_model::{Locality, ServiceKey, WorkloadUid};
use ambit_resources::{Kind, ObjectId};

use super::{World, Written};
use crate::authorization::Selected;
use crate::held::{Held, Meaning, Other};
use crate::instance::Instance;
use crate::peer_authentication::Modes;
use crate::service::Frontend;

impl World {
    /// Puts an object in force, in place of the version before it.
    pub(crate) fn put(&mut self, id: ObjectId, held: Held) {
        match held.means {
            Meaning::Workload(instance) => {
                self.objects.remove(&id); // its version before may have been no workload
                self.put_instance(*instance);
                self.marked.issues.insert(id);
            }
            Meaning::Other(means) => {
                if let Some(uid) = self.uid_of(&id) {
                    self.remove_instance(&uid);
                }
                let written = Written { file: held.file, line: held.line, means };
                let after = written.means.clone();
                let before = self.objects.insert(id.clone(), written).map_or(Other::Nothing, |written| written.means);
                self.replace(&id, before, after);
            }
        }
    }

    /// Takes an object out of force, and hands it back.
    pub(crate) fn take(&mut self, id: &ObjectId) -> Option<Held> {
        self.marked.issues.insert(id.clone());
        let instance = self.uid_of(id).and_then(|uid| self.remove_instance(&uid));
        if let Some(instance) = instance {
            let (file, line) = (Arc::clone(&instance.file), instance.line);
            return Some(Held { file, line, means: Meaning::Workload(Box::new(instance)) });
        }
        let Written { file, line, means } = self.objects.remove(id)?;
        self.replace(id, means.clone(), Other::Nothing);
        Some(Held { file, line, means: Meaning::Other(means) })
    }

    /// A node says whether it captured a pod.
    pub(crate) fn report(&mut self, uid: &WorkloadUid, captured: bool) {
        self.mark_workload(uid);
        if let Some(Instance { reported, captured: said, .. }) = self.workloads.get_mut(uid) {
            *reported = Some(captured).filter(|captured| captured != said);
        }
    }

    /// One meaning for another, of which either may be nothing.
    fn replace(&mut self, id: &ObjectId, before: Other, after: Other) {
        self.marked.issues.insert(id.clone());
        if before != after {
            if id.kind == Kind::Namespace {
                return self.change_namespace(id, before.space(), after.space());
            }
            self.change(id, before, false);
            self.change(id, after, true);
        }
    }

    /// A meaning comes, or goes.
    fn change(&mut self, id: &ObjectId, means: Other, comes: bool) {
        match means {
            Other::Nothing | Other::Namespace(_) => {}
            Other::Node(site) => {
                self.change_node(&id.name, site.locality.clone().filter(|_| comes));
                site.addresses.iter().for_each(|address| self.give(*address, id, comes));
            }
            Other::Service(frontend) => self.change_frontend(id, &frontend, comes),
            Other::Slice(slice) => {
                self.endpoints.slice(&slice.service, id, comes);
                self.endpoints.name(id, slice.addresses(), comes);
            }
            Other::Entry(entry) => {
                entry.frontends.iter().for_each(|frontend| self.change_frontend(id, frontend, comes));
                self.endpoints.name(id, entry.addresses(), comes);
            }
            Other::Authorization(policy) => self.change_policy(&policy, comes),
            Other::PeerAuthentication(modes) => self.change_modes(id, &modes, comes),
            Other::Attached(targets) => self.change_attached(id, &targets, comes),
            Other::Gateway(gateway) => self.change_gateway(id, &gateway, comes),
            Other::WaypointClass => self.change_waypoint_class(&id.name, comes),
            Other::Exports(list) => {
                let all: Vec<_> = self.frontends.services().map(|service| service.key.clone()).collect();
                all.iter().for_each(|key| self.mark_service(key));
                self.exports = if comes { list } else { Arc::default() };
            }
        }
    }

    fn change_node(&mut self, name: &Arc<str>, locality: Option<Arc<Locality>>) {
        let node = self.nodes.entry(Arc::clone(name)).or_default();
        node.locality = locality;
        let here: Vec<_> = node.workloads.iter().cloned().collect();
        if here.is_empty() && node.locality.is_none() {
            self.nodes.remove(name);
        }
        here.iter().for_each(|uid| self.mark_workload(uid));
    }

    /// A Service's or Node's address comes, or goes.
    fn give(&mut self, address: IpAddr, holder: &ObjectId, comes: bool) {
        self.mark_address(address);
        self.given.give(address, holder, comes);
    }

    fn change_policy(&mut self, policy: &Arc<Selected>, comes: bool) {
        let key = &policy.authorization.key;
        self.mark_policy(key);
        self.replicas.outdate_selected(&policy.selector());
        if comes {
            self.selecting.insert(&policy.selector(), key.clone());
            self.policies.insert(key.clone(), Arc::clone(policy));
        } else {
            self.selecting.remove(&policy.selector(), key);
            self.policies.remove(key);
        }
    }

    fn change_modes(&mut self, id: &ObjectId, modes: &Arc<Modes>, comes: bool) {
        if comes {
            self.peers.insert(id, modes);
        } else {
            self.peers.remove(id, modes);
        }
        if let Some(selector) = modes.selector(id) {
            return self.replicas.outdate_selected(&selector);
        }
        self.marked.issues.extend(self.peers.wide_in(&id.namespace).cloned());
        if *id.namespace == *self.shared.options.root_namespace {
            self.replicas.outdate_all();
        } else {
            self.replicas.outdate_namespace(&id.namespace);
        }
    }

    fn change_frontend(&mut self, id: &ObjectId, frontend: &Arc<Frontend>, comes: bool) {
        let key = &frontend.service.key;
        self.mark_service(key);
        frontend.ask.waypoints().for_each(|waypoint| self.waypoints.ask(waypoint, id, comes));
        for address in &frontend.service.addresses {
            if id.kind == Kind::Service {
                self.give(*address, id, comes);
            } else {
                self.given.ask(*address, id, key, comes);
            }
        }
        let claimants = self.frontends.claimants(key).cloned().collect::<Vec<_>>();
        let (before, after) = self.frontends.change(key, id, Some(frontend).filter(|_| comes));
        for frontend in before.iter().chain(&after) {
            self.replicas.outdate_selected(&frontend.selector());
        }
        self.endpoints.outdate_service(key);
        self.outdate_guards(key);
        for owner in claimants.iter().chain(self.frontends.claimants(key)) {
            self.marked.issues.insert(owner.clone());
            if owner.kind == Kind::ServiceEntry {
                self.endpoints.outdate(owner);
            }
        }
    }

    pub(super) fn mark_service(&mut self, key: &ServiceKey) {
        if !self.marked.services.contains_key(key) {
            self.marked.services.insert(key.clone(), self.service(key));
        }
    }
}
