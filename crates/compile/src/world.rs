//! All objects in force, and what depends on what. An object that comes, changes or goes marks what
//! depends on it; [`World::settle`] compiles what is marked, and nothing else.

mod canary;
mod change;
mod members;
mod settle;
mod waypoints;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ambit_model::{Authorization, Locality, PolicyKey, Service, ServiceKey, WorkloadUid};
use ambit_resources::{FieldPath, Kind, ObjectId, Severity};

use crate::address_book::AddressBook;
use crate::authorization::Selected;
use crate::endpoints::Endpoints;
use crate::frontends::Frontends;
use crate::given::Given;
use crate::guards::Guards;
use crate::held::Other;
use crate::instance::{Face, Instance, InstanceKind};
use crate::labels::Selectors;
use crate::namespace::Space;
use crate::peer_authentication::PeerAuthentications;
use crate::replicas::Replicas;
use crate::shared::Shared;
use crate::waypoint::{CANARY, USE};
use crate::waypoints::Waypoints;
use crate::{Cost, Issue, Options, Problem, workload_entry};

/// All objects in force.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) shared: Shared,
    /// What is no workload.
    objects: BTreeMap<ObjectId, Written>,
    workloads: BTreeMap<WorkloadUid, Instance>,
    namespaces: BTreeMap<Arc<str>, Arc<Space>>,
    /// By namespace, how many pods wish to be enrolled for themselves.
    wishing: BTreeMap<Arc<str>, usize>,
    nodes: BTreeMap<Arc<str>, Node>,
    replicas: Replicas,
    frontends: Frontends,
    /// Services in force that others make other than they are by themselves: behind a waypoint, without some of
    /// their addresses.
    adapted: BTreeMap<ServiceKey, Arc<Service>>,
    given: Given,
    /// Who sees services that do not say so; nobody named: everybody.
    exports: Arc<[Arc<str>]>,
    endpoints: Endpoints,
    addresses: AddressBook,
    policies: BTreeMap<PolicyKey, Arc<Selected>>,
    selecting: Selectors<PolicyKey>,
    peers: PeerAuthentications,
    waypoints: Waypoints,
    guards: Guards,
    marked: Marked,
}

/// An object that is no workload, and where it is written.
#[derive(Debug)]
struct Written {
    file: Arc<str>,
    line: u32,
    means: Other,
}

/// Where a node is, and what runs there.
#[derive(Debug, Default)]
struct Node {
    locality: Option<Arc<Locality>>,
    workloads: BTreeSet<WorkloadUid>,
}

/// What is to be looked at again, each as it was when it was marked.
#[derive(Debug, Default)]
struct Marked {
    workloads: BTreeMap<WorkloadUid, Face>,
    services: BTreeMap<ServiceKey, Option<Arc<Service>>>,
    authorizations: BTreeMap<PolicyKey, Option<Arc<Authorization>>>,
    namespaces: BTreeMap<Arc<str>, bool>,
    /// Objects about which there may be something else to be said.
    issues: BTreeSet<ObjectId>,
    cost: Cost,
}

impl World {
    pub(crate) fn new(options: Options) -> Self {
        Self { shared: Shared { options, ..Shared::default() }, ..Self::default() }
    }

    /// The file and line of an object in force.
    pub(crate) fn place(&self, id: &ObjectId) -> Option<(&Arc<str>, u32)> {
        match self.instance(id) {
            Some(instance) => Some((&instance.file, instance.line)),
            None => self.objects.get(id).map(|written| (&written.file, written.line)),
        }
    }

    /// The objects in force that a file holds.
    pub(crate) fn objects_of<'a>(&'a self, file: &'a str) -> impl Iterator<Item = ObjectId> + 'a {
        let workloads = self.workloads.values().filter(move |instance| *instance.file == *file);
        let others = self.objects.iter().filter(move |(_, written)| *written.file == *file);
        workloads.filter_map(id_of).chain(others.map(|(id, _)| id.clone()))
    }

    pub(crate) fn workloads(&self) -> impl Iterator<Item = &Instance> {
        self.workloads.values()
    }

    pub(crate) fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.frontends.services().map(|service| self.adapted.get(&service.key).unwrap_or(service))
    }

    fn service(&self, key: &ServiceKey) -> Option<Arc<Service>> {
        let (_, frontend) = self.frontends.find(key)?;
        Some(Arc::clone(self.adapted.get(key).unwrap_or(&frontend.service)))
    }

    pub(crate) fn authorizations(&self) -> impl Iterator<Item = &Arc<Authorization>> {
        let users = self.policies.values().map(|selected| &selected.authorization);
        users.chain(self.peers.policies()).chain(self.guards.policies())
    }

    /// What is to be said about an object by reason of others.
    pub(crate) fn issues_of(&self, id: &ObjectId) -> Vec<Issue> {
        let Some((file, line)) = self.place(id) else { return Vec::new() };
        let issue = |severity, line, field: &str, problem| Issue {
            severity,
            file: Arc::clone(file),
            line,
            object: Some(id.clone()),
            field: FieldPath::of(field),
            problem,
        };
        let asked = FieldPath::of("metadata.labels").field(USE);
        let waypoint =
            self.waypoint_problem(id).map(|it| Issue { field: asked, ..issue(Severity::Warning, line, "", it) });
        let asked = FieldPath::of("metadata.labels").field(CANARY);
        let canary = self.canary_problem(id);
        let canary = canary.map(|it| Issue { field: asked, ..issue(Severity::Warning, line, "", it) });
        if let Some(instance) = self.instance(id) {
            let field = if instance.kind == InstanceKind::Pod { "status.podIPs" } else { "spec.address" };
            let taken = self.taken(instance).into_iter();
            let problems = taken.map(|(address, holder)| Problem::AddressTaken { address, holder });
            let issues = problems.map(|it| issue(Severity::Error, instance.addresses_line, field, it));
            return issues.chain(waypoint).collect();
        }
        let mut issues: Vec<_> = waypoint.into_iter().chain(canary).collect();
        if let Some((winner, selected)) = self.peers.winner_over(id) {
            let problem = Problem::Superseded { winner: winner.clone(), selected };
            issues.push(issue(Severity::Warning, line, "", problem));
        }
        for (host, holder) in self.taken_hosts(id) {
            issues.push(issue(Severity::Error, line, "spec.hosts", Problem::HostTaken { host, holder }));
        }
        for (address, holder) in self.taken_addresses(id) {
            issues.push(issue(Severity::Error, line, "spec.addresses", Problem::AddressTaken { address, holder }));
        }
        issues
    }

    /// The hosts an object must do without, and who has them.
    fn taken_hosts(&self, id: &ObjectId) -> Vec<(Arc<str>, ObjectId)> {
        let Some(Written { means: Other::Entry(entry), .. }) = self.objects.get(id) else { return Vec::new() };
        let keys = entry.frontends.iter().map(|frontend| &frontend.service.key);
        let holders = keys.filter_map(|key| Some((Arc::clone(&key.hostname), self.frontends.find(key)?.0.clone())));
        holders.filter(|(_, holder)| holder != id).collect()
    }

    /// The virtual addresses an object must do without, and who has them.
    fn taken_addresses(&self, id: &ObjectId) -> Vec<(IpAddr, ObjectId)> {
        let Some(Written { means: Other::Entry(entry), .. }) = self.objects.get(id) else { return Vec::new() };
        // All hosts have the same addresses.
        entry.frontends.first().map(|frontend| self.taken_from(id, &frontend.service)).unwrap_or_default()
    }

    /// The virtual addresses an object's service must do without, and who has them: a ServiceEntry only asks
    /// for what services, nodes and pods were given.
    fn taken_from(&self, owner: &ObjectId, service: &Service) -> Vec<(IpAddr, ObjectId)> {
        if owner.kind != Kind::ServiceEntry {
            return Vec::new();
        }
        let pod = |address| self.holder(address).filter(|holder| holder.kind == InstanceKind::Pod).and_then(id_of);
        let holder = |address| self.given.holder(address).cloned().or_else(|| pod(address));
        service.addresses.iter().filter_map(|address| Some((*address, holder(*address)?))).collect()
    }

    /// The addresses a workload must do without, and who has them.
    fn taken(&self, instance: &Instance) -> Vec<(IpAddr, ObjectId)> {
        let claims = instance.claims().iter();
        claims.filter_map(|address| Some((*address, self.taken_by(instance, *address)?))).collect()
    }

    fn taken_by(&self, instance: &Instance, address: IpAddr) -> Option<ObjectId> {
        // At a node's address a tunnel would end at the node's agent, which is no workload's.
        let node = self.given.node(address).filter(|_| instance.is_machine_with_agent());
        let other = || self.holder(address).filter(|holder| holder.workload.uid != instance.workload.uid);
        node.cloned().or_else(|| other().and_then(id_of))
    }

    /// Who has an address: of those who claim it the first by uid, but a pod on its way out gives way to one
    /// that comes. Kubernetes gave a pod its address, others only say they have it: they never win one that
    /// a pod has, and still serves on, to its end.
    fn holder(&self, address: IpAddr) -> Option<&Instance> {
        let claimants = self.addresses.claimants(address).iter().filter_map(|uid| self.workloads.get(uid));
        claimants.min_by_key(|claimant| (claimant.kind != InstanceKind::Pod, claimant.leaving))
    }

    fn instance(&self, id: &ObjectId) -> Option<&Instance> {
        self.workloads.get(&self.uid_of(id)?)
    }

    fn uid_of(&self, id: &ObjectId) -> Option<WorkloadUid> {
        let cluster = &self.shared.options.cluster;
        if id.kind == Kind::Pod {
            Some(WorkloadUid::pod(cluster, &id.namespace, &id.name))
        } else {
            (id.kind == Kind::WorkloadEntry).then(|| workload_entry::uid(cluster, &id.namespace, &id.name))
        }
    }
}

/// The object a workload stands for by itself.
fn id_of(instance: &Instance) -> Option<ObjectId> {
    let kind = match instance.kind {
        InstanceKind::Pod => Kind::Pod,
        InstanceKind::Entry => Kind::WorkloadEntry,
        InstanceKind::Endpoint => return None,
    };
    let workload = &instance.workload;
    Some(ObjectId { kind, namespace: Arc::clone(&workload.namespace), name: workload.name().into() })
}

#[cfg(test)]
mod tests;
