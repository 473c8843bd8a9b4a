//! Who is behind which waypoint, and who must be looked at again when that changes.

use std::sync::Arc;

use ambit_model::{
    Authorization, Canary, GatewayAddress, GatewayKey, PolicyKey, ServiceKey, ServicePorts, WaypointFailure, Workload,
    WorkloadUid,
};
use ambit_resources::{Kind, ObjectId};

use super::World;
use crate::Problem;
use crate::guards::{Behind, Target};
use crate::held::Other;
use crate::instance::InstanceKind;
use crate::namespace::Space;
use crate::service::Frontend;
use crate::waypoint::{Ask, AskedCanary, Choice, Gateway};
use crate::waypoints::{Purpose, own_service};

impl Other {
    pub(super) fn space(&self) -> Option<&Arc<Space>> {
        if let Self::Namespace(space) = self { Some(space) } else { None }
    }

    fn frontends(&self) -> &[Arc<Frontend>] {
        if let Self::Service(frontend) = self {
            std::slice::from_ref(frontend)
        } else if let Self::Entry(entry) = self {
            &entry.frontends
        } else {
            &[]
        }
    }
}

impl World {
    pub(super) fn change_namespace(&mut self, id: &ObjectId, before: Option<&Arc<Space>>, after: Option<&Arc<Space>>) {
        let name = &id.name;
        let asks = |space: Option<&Arc<Space>>| space.map(|space| space.ask.clone()).unwrap_or_default();
        let wish = |space: Option<&Arc<Space>>| space.map(|space| space.wish);
        let labels = |space: Option<&Arc<Space>>| space.map(|space| space.labels.clone());
        let (asked, asking) = (asks(before), asks(after));
        let distribution = |space: Option<&Arc<Space>>| space.map(|space| space.distribution).unwrap_or_default();
        let behind = asked != asking || (labels(before) != labels(after) && self.waypoints.choose_by_labels());
        if wish(before) != wish(after) {
            self.mark_meshed(name);
            self.mark_pods(name);
        }
        if behind {
            self.mark_workloads(name);
            self.mark_services(name);
            self.marked.issues.extend(self.waypoints.asking_in(name).cloned());
        }
        if distribution(before) != distribution(after) {
            self.mark_services(name);
        }
        asked.waypoints().for_each(|waypoint| self.waypoints.ask(waypoint, id, false));
        asking.waypoints().for_each(|waypoint| self.waypoints.ask(waypoint, id, true));
        match after {
            Some(space) => drop(self.namespaces.insert(Arc::clone(name), Arc::clone(space))),
            None => drop(self.namespaces.remove(name)),
        }
    }

    /// An object begins to ask for a waypoint, or ceases to.
    pub(super) fn ask(&mut self, choice: Option<&Choice>, object: &ObjectId, begins: bool) {
        if let Some(waypoint) = choice.and_then(Choice::waypoint) {
            self.waypoints.ask(waypoint, object, begins);
        }
    }

    pub(super) fn change_gateway(&mut self, id: &ObjectId, gateway: &Arc<Gateway>, comes: bool) {
        let key = GatewayKey { namespace: Arc::clone(&id.namespace), name: Arc::clone(&id.name) };
        let own = own_service(&key, &mut self.shared);
        self.mark_asking(&key, gateway.serves.workloads || self.is_guarded_in_vain(&key));
        self.mark_named(&key, &own);
        self.waypoints.change(&key, Some(gateway).filter(|_| comes), &mut self.shared);
    }

    pub(super) fn change_waypoint_class(&mut self, name: &Arc<str>, comes: bool) {
        for key in self.waypoints.change_class(name, comes) {
            let own = own_service(&key, &mut self.shared);
            self.mark_asking(&key, self.is_for_workloads(&key) || self.is_guarded_in_vain(&key));
            self.mark_named(&key, &own);
        }
    }

    /// What is a waypoint's own may be so no more, or may be now.
    fn mark_named(&mut self, key: &GatewayKey, own: &ServiceKey) {
        self.mark_service(own);
        self.mark_behind(own);
        self.guards.outdate(key);
    }

    /// A policy for waypoints comes, or goes: what it is attached to may be for its waypoint only, or no more.
    pub(super) fn change_attached(&mut self, id: &ObjectId, targets: &[Target], comes: bool) {
        for target in targets {
            self.guards.attach(target, id, comes);
            match target {
                Target::Service(namespace, name) => {
                    let key = crate::service::key(namespace, name, &mut self.shared);
                    self.mark_service(&key);
                }
                Target::ServiceEntry(namespace, name) => {
                    let (namespace, name) = (Arc::clone(namespace), Arc::clone(name));
                    self.mark_services_of(&ObjectId { kind: Kind::ServiceEntry, namespace, name });
                }
                Target::Gateway(key) => self.mark_asking(key, self.is_for_workloads(key)),
                Target::Class(class) => {
                    for key in self.waypoints.of_class(class).into_iter().chain(self.waypoints.asked_in_vain()) {
                        self.mark_asking(&key, self.is_for_workloads(&key));
                    }
                }
            }
        }
    }

    /// Whether a waypoint is for workloads, or may be as far as anybody knows.
    fn is_for_workloads(&self, key: &GatewayKey) -> bool {
        self.waypoints.known(key).is_none_or(|gateway| gateway.serves.workloads)
    }

    /// Whoever asks for a waypoint must be looked at again; pods that do not ask themselves only where the waypoint
    /// is for workloads, or nobody knows.
    fn mark_asking(&mut self, key: &GatewayKey, workloads: bool) {
        let asking: Vec<_> = self.waypoints.asking(key).cloned().collect();
        for object in asking {
            if object.kind == Kind::Namespace {
                self.mark_services(&object.name);
                // Of their canaries something else may be to be said.
                self.marked.issues.extend(self.waypoints.asking_in(&object.name).cloned());
                if workloads {
                    self.mark_workloads(&object.name);
                }
            } else if let Some(uid) = self.uid_of(&object) {
                self.mark_workload(&uid);
            } else {
                self.mark_services_of(&object);
            }
            self.marked.issues.insert(object);
        }
    }

    /// The services of an object must be looked at again.
    fn mark_services_of(&mut self, id: &ObjectId) {
        let frontends = self.objects.get(id).map_or(&[][..], |written| written.means.frontends());
        let keys: Vec<_> = frontends.iter().map(|frontend| frontend.service.key.clone()).collect();
        keys.iter().for_each(|key| self.mark_service(key));
    }

    /// All services of a namespace must be looked at again.
    fn mark_services(&mut self, namespace: &Arc<str>) {
        let keys: Vec<_> = self.frontends.keys_in(namespace).cloned().collect();
        keys.iter().for_each(|key| self.mark_service(key));
    }

    /// The workloads behind a service must be looked at again.
    fn mark_behind(&mut self, key: &ServiceKey) {
        let Some((owner, frontend)) = self.frontends.find(key) else { return };
        let selector = frontend.selector();
        let replicas = self.replicas.selected_in(&key.namespace, &selector);
        let selected = replicas.filter_map(|replica| self.replicas.group(replica)).flat_map(|group| &group.members);
        let behind: Vec<_> = selected.chain(self.endpoints.behind(key, owner)).cloned().collect();
        behind.iter().for_each(|uid| self.mark_workload(uid));
    }

    /// The waypoint a service is behind. Whether its workloads are for that waypoint only is settled beside.
    pub(super) fn service_behind(
        &mut self,
        owner: &ObjectId,
        frontend: &Frontend,
    ) -> Option<(Arc<GatewayAddress>, Option<Canary>, WaypointFailure)> {
        let key = &frontend.service.key;
        let space = self.namespaces.get(&key.namespace).cloned();
        let from_space = space.as_ref().and_then(|space| space.ask.waypoint.as_ref());
        let purpose = Purpose {
            namespace: &key.namespace,
            labels: space.as_ref().map(|space| &space.labels),
            workload: false,
            explicit: frontend.ask.waypoint.is_some(),
        };
        let waypoint = frontend.ask.waypoint.as_ref().or(from_space).and_then(Choice::waypoint);
        let waypoint = waypoint.filter(|it| !self.waypoints.is_exempt(key, it, purpose.explicit));
        let address = waypoint.and_then(|it| Some((it, self.waypoints.address(it, purpose, &mut self.shared)?)));
        let failure = frontend.ask.failure.or(space.as_ref().and_then(|space| space.ask.failure)).unwrap_or_default();
        let canary = address.as_ref().and_then(|(it, _)| self.canary_of(frontend, space.as_deref(), it, purpose));
        let guarded = address.as_ref().and_then(|(it, _)| {
            let by_canary = || self.guarded(None, &canary.as_ref()?.waypoint, purpose, failure);
            let behind = self.guarded(Some(owner), it, purpose, failure).or_else(by_canary)?;
            let (waypoint, canary) = (GatewayKey::clone(it), canary.as_ref().map(|canary| canary.waypoint.clone()));
            Some(Behind { waypoint, canary, ..behind })
        });
        let canary = canary.and_then(|AskedCanary { waypoint, percent }| {
            let waypoint = self.waypoints.address(&waypoint, purpose, &mut self.shared)?;
            Some(Canary { waypoint, percent })
        });
        let address = address.map(|(_, address)| (address, canary, failure));
        if self.guards.guard(key, guarded) {
            self.mark_behind(key);
        }
        address
    }

    /// What is to be reached by its waypoint only, if it is. Clients of what may do without do so too where they may
    /// not have the waypoint.
    fn guarded(
        &self,
        object: Option<&ObjectId>,
        waypoint: &GatewayKey,
        purpose: Purpose<'_>,
        failure: WaypointFailure,
    ) -> Option<Behind> {
        let passes = failure == WaypointFailure::Open && self.waypoints.judge(waypoint, purpose).is_err();
        let guarded = !passes && self.is_guarded(object, waypoint);
        guarded.then(|| Behind { waypoint: waypoint.clone(), canary: None, failure })
    }

    /// Whether rules of requests are in force for an object behind a waypoint, or for all that is behind it.
    fn is_guarded(&self, object: Option<&ObjectId>, waypoint: &GatewayKey) -> bool {
        let own = object.map(|ObjectId { kind, namespace, name }| {
            let target = if *kind == Kind::Service { Target::Service } else { Target::ServiceEntry };
            target(Arc::clone(namespace), Arc::clone(name))
        });
        let Some(gateway) = self.waypoints.known(waypoint) else {
            return self.guards.is_attached(own) || self.is_guarded_in_vain(waypoint);
        };
        let all = [Target::Gateway(waypoint.clone()), Target::Class(Arc::clone(&gateway.class))];
        self.guards.is_attached(own.into_iter().chain(all))
    }

    /// Whether rules of requests are in force for all behind a waypoint of which nobody knows the class: each may be
    /// its own.
    fn is_guarded_in_vain(&self, waypoint: &GatewayKey) -> bool {
        self.guards.is_any_class_attached() || self.guards.is_attached([Target::Gateway(waypoint.clone())])
    }

    /// The waypoint a workload is behind where it is addressed itself, and by which only it is to be reached.
    pub(super) fn workload_behind(
        &mut self,
        uid: &WorkloadUid,
        services: &ServicePorts,
    ) -> (Option<(Arc<GatewayAddress>, WaypointFailure)>, Option<Behind>) {
        let instance = self.workloads.get(uid);
        let instance = instance.filter(|it| it.kind != InstanceKind::Endpoint && !it.workload.host_network);
        let Some(instance) = instance else { return (None, None) };
        let namespace = &instance.workload.namespace;
        let space = self.namespaces.get(namespace);
        let own = instance.waypoint();
        let choice = own.as_ref().or(space.and_then(|space| space.ask.waypoint.as_ref()));
        let explicit = own.is_some();
        let exempt = |it: &GatewayKey| services.keys().any(|service| self.waypoints.is_exempt(service, it, explicit));
        let waypoint = choice.and_then(Choice::waypoint).filter(|it| !exempt(it));
        let Some(waypoint) = waypoint else { return (None, None) };
        let labels = space.map(|space| &space.labels);
        let purpose = Purpose { namespace, labels, workload: true, explicit };
        let failure = instance.waypoint_failure().or(space.and_then(|space| space.ask.failure)).unwrap_or_default();
        let address = self.waypoints.address(waypoint, purpose, &mut self.shared);
        // One that is gone may have been for workloads: its rules hold until it is known that it is not.
        let ruled = address.is_some() || self.waypoints.known(waypoint).is_none();
        let guarded = ruled.then(|| self.guarded(None, waypoint, purpose, failure)).flatten();
        (address.map(|address| (address, failure)), guarded)
    }

    /// The policies a workload lists, with those by which it is for waypoints only.
    pub(super) fn with_guards(
        &mut self,
        uid: &WorkloadUid,
        services: &ServicePorts,
        policies: Arc<[PolicyKey]>,
        own: Option<Behind>,
    ) -> Arc<[PolicyKey]> {
        let guards = self.guards.list(uid, services.iter(), own);
        if guards.is_empty() {
            return policies;
        }
        let mut all: Vec<_> = policies.iter().chain(&guards).cloned().collect();
        all.sort();
        all.into()
    }

    /// A workload is so now: it may be a waypoint, whom others are to let in.
    pub(super) fn follow_waypoint(&mut self, uid: &WorkloadUid, workload: Option<&Workload>) {
        for waypoint in self.waypoints.follow(uid, workload) {
            self.guards.outdate(&waypoint);
        }
    }

    /// A service is another now: it may say otherwise which endpoints of a waypoint are to be had.
    pub(super) fn outdate_guards(&mut self, service: &ServiceKey) {
        if let Some(waypoint) = self.waypoints.named_like(service) {
            self.guards.outdate(waypoint);
        }
    }

    pub(super) fn compile_guards(&mut self) {
        for key in self.guards.take_stale() {
            self.mark_policy(&key);
            self.guards.compile(&key, &self.waypoints, &self.frontends, &mut self.shared);
        }
    }

    /// A policy in force.
    pub(super) fn authorization(&self, key: &PolicyKey) -> Option<&Arc<Authorization>> {
        let users = self.policies.get(key).map(|selected| &selected.authorization);
        users.or_else(|| self.peers.policy(key)).or_else(|| self.guards.policy(key))
    }

    /// What an object asks for, as a Namespace or by the services it makes.
    pub(super) fn ask_of(&self, id: &ObjectId) -> Option<&Ask> {
        let means = &self.objects.get(id)?.means;
        let of_service = || means.frontends().first().map(|frontend| &frontend.ask);
        means.space().map(|space| &space.ask).or_else(of_service)
    }

    /// What is wrong with the waypoint an object asks for itself.
    pub(super) fn waypoint_problem(&self, id: &ObjectId) -> Option<Problem> {
        let (choice, workload) = if self.objects.contains_key(id) {
            let choice = self.ask_of(id).and_then(|ask| ask.waypoint.clone());
            (choice, (id.kind != Kind::Namespace).then_some(false))
        } else {
            (self.instance(id)?.waypoint(), Some(true))
        };
        let waypoint = choice.as_ref().and_then(Choice::waypoint)?;
        let namespace = if id.kind == Kind::Namespace { &id.name } else { &id.namespace };
        let labels = self.namespaces.get(namespace).map(|space| &space.labels);
        let purpose = Purpose { namespace, labels, workload: workload == Some(true), explicit: true };
        let serves = match self.waypoints.judge(waypoint, purpose) {
            Ok(gateway) => gateway.serves,
            Err(problem) => return Some(problem),
        };
        let what = match workload {
            Some(true) if !serves.workloads => "workloads",
            Some(false) if !serves.services => "services",
            _ => return None,
        };
        Some(Problem::WaypointForOthers { waypoint: waypoint.clone(), what })
    }
}
