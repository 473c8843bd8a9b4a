//! Workloads come and go: their groups, addresses and nodes.

use std::net::IpAddr;
use std::ops::Bound;
use std::sync::Arc;

use ambit_model::{PolicyKey, SameNode, WorkloadUid};
use ambit_resources::ObjectId;

use super::{World, id_of};
use crate::enrolment::Wish;
use crate::instance::{Face, Instance, InstanceKind};
use crate::peer_authentication::Standing;
use crate::replica::Replica;
use crate::waypoint::Choice;
use crate::{Tunnels, workload_entry};

/// Where a workload stands among the others.
#[derive(Debug, Default)]
struct Position {
    replica: Option<Arc<Replica>>,
    node: Arc<str>,
    claims: Vec<IpAddr>,
    written: Vec<IpAddr>,
    leaving: bool,
    /// The namespace of a pod that wishes to be enrolled for itself.
    wishing: Option<Arc<str>>,
    /// The waypoint it asks for itself, and the object that does.
    waypoint: Option<(Choice, ObjectId)>,
}

impl Position {
    fn of(instance: &Instance) -> Self {
        let wishes = instance.kind == InstanceKind::Pod && instance.wish.enrolled == Some(true);
        Self {
            replica: instance.replica.clone(),
            node: Arc::clone(&instance.workload.node),
            claims: instance.claims().to_vec(),
            written: instance.addresses().to_vec(),
            leaving: instance.leaving,
            wishing: wishes.then(|| Arc::clone(&instance.workload.namespace)),
            waypoint: instance.waypoint().and_then(|choice| Some((choice, id_of(instance)?))),
        }
    }
}

impl World {
    pub(super) fn put_instance(&mut self, mut instance: Instance) {
        let mut uid = instance.workload.uid.clone();
        self.mark_workload(&uid);
        let after = Position::of(&instance);
        let mut before = Position::default();
        if let Some(old) = self.workloads.get(&uid) {
            instance.succeed(old);
            before = Position::of(old);
            uid = old.workload.uid.clone();
        }
        self.workloads.insert(uid.clone(), instance);
        self.reposition(&uid, &before, &after);
    }

    pub(super) fn remove_instance(&mut self, uid: &WorkloadUid) -> Option<Instance> {
        let before = Position::of(self.workloads.get(uid)?);
        self.mark_workload(uid);
        let removed = self.workloads.remove(uid);
        self.reposition(uid, &before, &Position::default());
        removed
    }

    fn reposition(&mut self, uid: &WorkloadUid, before: &Position, after: &Position) {
        if before.replica != after.replica {
            if let Some(last) = before.replica.as_ref().and_then(|replica| self.replicas.leave(replica, uid)) {
                self.stand(&last.standing, &Standing::default(), None);
            }
            after.replica.iter().for_each(|replica| self.replicas.join(replica, uid));
        }
        if before.waypoint != after.waypoint {
            before.waypoint.iter().for_each(|(choice, id)| self.ask(Some(choice), id, false));
            after.waypoint.iter().for_each(|(choice, id)| self.ask(Some(choice), id, true));
        }
        if before.node != after.node {
            self.leave_node(&before.node, uid);
            if !after.node.is_empty() {
                self.nodes.entry(Arc::clone(&after.node)).or_default().workloads.insert(uid.clone());
            }
        }
        if before.wishing != after.wishing {
            before.wishing.iter().for_each(|namespace| self.count_wishing(namespace, false));
            after.wishing.iter().for_each(|namespace| self.count_wishing(namespace, true));
        }
        if (&before.claims, before.leaving) != (&after.claims, after.leaving) {
            before.claims.iter().for_each(|address| self.addresses.release(*address, uid));
            after.claims.iter().for_each(|address| self.addresses.claim(*address, uid));
            before.claims.iter().chain(&after.claims).for_each(|address| self.mark_address(*address));
        }
        if before.written != after.written || (&before.claims, before.leaving) != (&after.claims, after.leaving) {
            before.written.iter().chain(&after.written).for_each(|address| self.endpoints.outdate_address(*address));
        }
    }

    /// One pod more of a namespace wishes for itself, or one less.
    fn count_wishing(&mut self, namespace: &Arc<str>, more: bool) {
        self.mark_meshed(namespace);
        let count = self.wishing.entry(Arc::clone(namespace)).or_default();
        *count = if more { *count + 1 } else { count.saturating_sub(1) };
        if *count == 0 {
            self.wishing.remove(namespace);
        }
    }

    fn leave_node(&mut self, name: &Arc<str>, uid: &WorkloadUid) {
        if let Some(node) = self.nodes.get_mut(name) {
            node.workloads.remove(uid);
            if node.workloads.is_empty() && node.locality.is_none() {
                self.nodes.remove(name);
            }
        }
    }

    /// Whoever claims an address or asks for it must be looked at again.
    pub(super) fn mark_address(&mut self, address: IpAddr) {
        for uid in self.addresses.claimants(address).to_vec() {
            self.mark_workload(&uid);
            self.marked.issues.extend(self.workloads.get(&uid).and_then(id_of));
        }
        let asking: Vec<_> = self.given.asking(address).cloned().collect();
        for (owner, service) in asking {
            self.mark_service(&service);
            self.marked.issues.insert(owner);
        }
    }

    /// A workload must be looked at again.
    pub(super) fn mark_workload(&mut self, uid: &WorkloadUid) {
        if !self.marked.workloads.contains_key(uid) {
            let face = self.workloads.get(uid).map_or_else(Face::default, |it| it.face(self.wish_of(it).0));
            self.marked.workloads.insert(uid.clone(), face);
        }
    }

    /// All pods of a namespace must be looked at again.
    pub(super) fn mark_pods(&mut self, namespace: &str) {
        self.mark_from(&WorkloadUid::pod(&self.shared.options.cluster, namespace, ""));
    }

    /// All pods and WorkloadEntries of a namespace must be looked at again.
    pub(super) fn mark_workloads(&mut self, namespace: &str) {
        self.mark_pods(namespace);
        self.mark_from(&workload_entry::uid(&self.shared.options.cluster, namespace, ""));
    }

    /// All whose uids begin with this one.
    fn mark_from(&mut self, first: &WorkloadUid) {
        let all = self.workloads.range((Bound::Included(first), Bound::Unbounded));
        let all = all.take_while(|(uid, _)| uid.as_str().starts_with(first.as_str()));
        let all: Vec<_> = all.map(|(uid, _)| uid.clone()).collect();
        all.iter().for_each(|uid| self.mark_workload(uid));
    }

    pub(super) fn mark_meshed(&mut self, namespace: &Arc<str>) {
        let meshed = self.is_meshed(namespace);
        self.marked.namespaces.entry(Arc::clone(namespace)).or_insert(meshed);
    }

    /// Whether a pod of a namespace must be taken for one that is to be enrolled while nobody can tell: the
    /// namespace wishes for it, or some pod there for itself.
    pub(super) fn is_meshed(&self, namespace: &str) -> bool {
        let wish = self.namespaces.get(namespace).and_then(|space| space.wish.enrolled);
        let wished = wish == Some(true) || self.wishing.contains_key(namespace);
        wished && !self.shared.options.dissolve
    }

    pub(super) fn mark_policy(&mut self, key: &PolicyKey) {
        if !self.marked.authorizations.contains_key(key) {
            let before = self.authorization(key).cloned();
            self.marked.authorizations.insert(key.clone(), before);
        }
    }

    /// Whether a workload is to be enrolled, and how its same-node traffic is to travel. Where the cluster
    /// will tell of a pod's namespace, nobody knows until it did: taken for unmeshed, the pod would start in
    /// plaintext.
    pub(super) fn wish_of(&self, instance: &Instance) -> (Option<bool>, Option<SameNode>) {
        let is_pod = instance.kind == InstanceKind::Pod;
        let namespace = self.namespaces.get(&instance.workload.namespace).filter(|_| is_pod).map(|space| space.wish);
        let told = !is_pod || namespace.is_some() || self.shared.options.tunnels == Tunnels::AsWished;
        let Wish { enrolled, same_node } = instance.wish.or(namespace.unwrap_or_default());
        let enrolled = enrolled.or(told.then_some(false));
        (enrolled.map(|enrolled| enrolled && !self.shared.options.dissolve), same_node)
    }
}
