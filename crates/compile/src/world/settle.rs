//! Compiles what is marked, in the order in which one depends on the other.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ambit_model::{Application, Authorization, PolicyKey, Service, ServiceKey, Workload, WorkloadUid};
use ambit_resources::ObjectId;

use super::{Marked, World};
use crate::endpoints::Wanted;
use crate::enrolment::Wish;
use crate::held::Other;
use crate::instance::{Face, Instance, InstanceKind};
use crate::peer_authentication::Standing;
use crate::replica::Replica;
use crate::replicas::Binding;
use crate::shared::Services;
use crate::{Delta, exports};

impl World {
    /// Compiles what is marked. Hands back what came out otherwise than before, and about which objects
    /// there may be something else to be said.
    pub(crate) fn settle(&mut self) -> (Delta, Vec<ObjectId>) {
        for owner in self.endpoints.take_stale() {
            self.marked.cost.endpoints += 1;
            self.place_endpoints(&owner);
        }
        for replica in self.replicas.take_stale() {
            self.marked.cost.replicas += 1;
            self.bind(&replica);
        }
        let mut delta = Delta::default();
        // Services go before workloads, which are denied to others where a service is to be reached by a waypoint
        // only, and workloads before policies, which name those that are waypoints.
        for (key, before) in std::mem::take(&mut self.marked.services) {
            self.adapt(&key, before.as_ref());
            let after = self.service(&key);
            if before != after {
                delta.services.push((key, after));
            }
        }
        let workloads = std::mem::take(&mut self.marked.workloads);
        self.marked.cost.workloads += workloads.len();
        for (uid, before) in workloads {
            let after = self.compile_workload(&uid, &before);
            self.follow_waypoint(&uid, after.workload.as_deref());
            if before.workload != after.workload {
                delta.workloads.push((uid.clone(), after.workload));
            }
            if before.pod != after.pod {
                delta.pods.push((uid, after.pod.map(Arc::new)));
            }
        }
        self.compile_guards();
        let Marked { authorizations, namespaces, issues, cost, .. } = std::mem::take(&mut self.marked);
        delta.cost = cost;
        for (key, before) in authorizations {
            let after = self.authorization(&key).cloned();
            if before != after {
                delta.authorizations.push((key, after));
            }
        }
        let namespaces =
            namespaces.into_iter().map(|(namespace, before)| (self.is_meshed(&namespace), before, namespace));
        delta.meshed_namespaces =
            namespaces.filter(|(after, before, _)| after != before).map(|(after, _, it)| (it, after)).collect();
        (delta, issues.into_iter().collect())
    }

    /// Puts a service behind its waypoint, leaves out the addresses it must do without, and takes over what its
    /// namespace and the mesh say for it. Depends on the object whose the service is, on its namespace, on the waypoint,
    /// on who has the addresses, and on the mesh's configuration.
    fn adapt(&mut self, key: &ServiceKey, before: Option<&Arc<Service>>) {
        self.adapted.remove(key);
        let found = self.frontends.find(key).map(|(owner, frontend)| (owner.clone(), Arc::clone(frontend)));
        let Some((owner, frontend)) = found else {
            self.guards.guard(key, None);
            return;
        };
        let behind = self.service_behind(&owner, &frontend);
        let held = &frontend.service;
        let taken = self.taken_from(&owner, held);
        let space = self.namespaces.get(&key.namespace).filter(|_| frontend.follows_namespace);
        let load_balancing = space.map_or(held.load_balancing, |space| space.distribution);
        let mesh = self.exports.iter().map(|name| &**name).filter(|_| frontend.follows_mesh);
        let exported_to = exports::namespaces(mesh, &key.namespace, &mut self.shared);
        let exported_to = exported_to.or_else(|| held.exported_to.clone());
        let rest = held.addresses.iter().filter(|address| taken.iter().all(|(other, _)| other != *address));
        let (waypoint, canary, waypoint_failure) = match behind {
            Some((waypoint, canary, failure)) => (Some(waypoint), canary, failure),
            None => Default::default(),
        };
        let addresses = rest.copied().collect();
        let same = Service::clone(held);
        let adapted = Service { addresses, load_balancing, waypoint, canary, waypoint_failure, exported_to, ..same };
        if adapted != **held {
            let same = before.filter(|before| ***before == adapted).cloned();
            self.adapted.insert(key.clone(), same.unwrap_or_else(|| Arc::new(adapted)));
        }
    }

    /// Puts the endpoints an object names behind their services. Depends on the object, on the services,
    /// and on who has the addresses.
    fn place_endpoints(&mut self, owner: &ObjectId) {
        for (uid, made) in self.endpoints.detach(owner) {
            self.mark_workload(&uid);
            if made {
                self.workloads.remove(&uid);
            }
        }
        let Some(written) = self.objects.get(owner) else { return };
        let (file, line) = (Arc::clone(&written.file), written.line);
        let wanted = match &written.means {
            Other::Slice(slice) => {
                let service = self.frontends.find(&slice.service).map(|(_, frontend)| frontend);
                let service = service.filter(|frontend| frontend.labels.is_empty());
                service.map(|frontend| slice.endpoints(owner, frontend, &mut self.shared)).unwrap_or_default()
            }
            Other::Entry(entry) => entry
                .endpoints(|frontend| self.frontends.find(&frontend.service.key).is_some_and(|(id, _)| id == owner)),
            Other::Nothing
            | Other::Node(_)
            | Other::Namespace(_)
            | Other::Service(_)
            | Other::Authorization(_)
            | Other::PeerAuthentication(_)
            | Other::Attached(_)
            | Other::Gateway(_)
            | Other::WaypointClass
            | Other::Exports(_) => return,
        };
        for Wanted { pod, services, workload } in wanted {
            let known = self.known(pod, &workload, owner);
            let uid = known.clone().unwrap_or_else(|| workload.uid.clone());
            self.mark_workload(&uid);
            if known.is_none() {
                self.workloads.insert(uid.clone(), endpoint(workload, &file, line));
            }
            self.endpoints.attach(owner, &uid, known.is_none(), services);
        }
    }

    /// The workload that an endpoint is: the pod it says, or whose its address is. Only of the owner's
    /// namespace: nobody puts services of their own on others' workloads.
    fn known(&self, pod: Option<WorkloadUid>, endpoint: &Workload, owner: &ObjectId) -> Option<WorkloadUid> {
        let has_addresses = |it: &Instance| endpoint.addresses.iter().all(|address| it.addresses().contains(address));
        let named = pod.and_then(|uid| self.workloads.get(&uid)).filter(|it| has_addresses(it));
        let known = named.or_else(|| self.holder(*endpoint.addresses.first()?))?;
        (known.workload.namespace == owner.namespace).then(|| known.workload.uid.clone())
    }

    /// What services and policies mean for a group of replicas.
    fn bind(&mut self, replica: &Arc<Replica>) {
        let services = self.frontends.selecting(replica).filter_map(|service| service.endpoint(replica));
        let services = services.collect::<Services>();
        let (standing, policy) = self.peers.judge(replica, &self.shared.options.root_namespace);
        let selecting = self.selecting.selecting(&replica.namespace, &replica.labels);
        let mut policies: Vec<PolicyKey> = selecting.chain(&standing.policy).cloned().collect();
        policies.sort();
        let binding = Binding { services: self.shared.services.share(services), policies: policies.into() };
        let Some(group) = self.replicas.group_mut(replica) else { return };
        let before = std::mem::replace(&mut group.standing, standing.clone());
        if group.binding != binding {
            group.binding = binding;
            let members: Vec<_> = group.members.iter().cloned().collect();
            members.iter().for_each(|uid| self.mark_workload(uid));
        }
        self.stand(&before, &standing, policy);
    }

    /// A group has another standing with the PeerAuthentications.
    pub(super) fn stand(&mut self, before: &Standing, after: &Standing, policy: Option<Authorization>) {
        before.policy.iter().chain(&after.policy).for_each(|key| self.mark_policy(key));
        self.marked.issues.extend(self.peers.restand(before, after, policy));
    }

    /// A workload. Depends on its object, its namespace and node, on the services and policies that select
    /// it or name it, and on who else claims its addresses.
    fn compile_workload(&mut self, uid: &WorkloadUid, before: &Face) -> Face {
        let Some(instance) = self.workloads.get(uid) else {
            self.guards.forget(uid);
            return Face::default();
        };
        let (enrol, same_node) = self.wish_of(instance);
        let held = &*instance.workload;
        let mut addresses = held.addresses.clone();
        let mut written = None;
        if !instance.claims().is_empty() {
            let taken = self.taken(instance);
            let lost = |address: &IpAddr| taken.iter().any(|(other, _)| other == address);
            addresses = instance.addresses().iter().copied().filter(|address| !lost(address)).collect();
            written = (!taken.is_empty()).then(|| instance.addresses().into());
        }
        let locality = match instance.kind {
            InstanceKind::Pod => self.nodes.get(&held.node).and_then(|node| node.locality.clone()),
            InstanceKind::Entry | InstanceKind::Endpoint => held.locality.clone(),
        };
        let tunnel_protocol = instance.tunnel(enrol == Some(true), &self.shared);
        let native_tunnel = instance.is_native(enrol == Some(true));
        let application = Arc::clone(&held.application);
        let (uid, node) = (held.uid.clone(), Arc::clone(&held.node));
        let (healthy, host_network) = (held.healthy, held.host_network);
        let application = self.application(&uid, &application);
        let workload = Workload {
            uid: uid.clone(),
            addresses,
            node,
            locality,
            tunnel_protocol,
            native_tunnel,
            healthy,
            host_network,
            same_node,
            application,
        };
        let Some(instance) = self.workloads.get_mut(&uid) else { return Face::default() };
        instance.keep_written(written);
        match before.workload.as_ref().or(before.pod.as_ref().map(|pod| &pod.workload)) {
            Some(same) if **same == workload => instance.workload = Arc::clone(same),
            _ if *instance.workload != workload => instance.workload = Arc::new(workload),
            _ => {}
        }
        instance.face(enrol)
    }

    /// What a workload has in common with its like, with the services and policies of now.
    fn application(&mut self, uid: &WorkloadUid, held: &Arc<Application>) -> Arc<Application> {
        let instance = self.workloads.get(uid);
        let group = instance.and_then(|it| self.replicas.group(it.replica.as_ref()?));
        let Binding { services, policies } = group.map(|group| group.binding.clone()).unwrap_or_default();
        let services = self.with_named(uid, services);
        let (behind, guarded) = self.workload_behind(uid, &services);
        let policies = self.with_guards(uid, &services, policies, guarded);
        let (waypoint, waypoint_failure) = behind.unzip();
        let waypoint_failure = waypoint_failure.unwrap_or_default();
        let same = held.services == services && held.authorization_policies == policies;
        if same && held.waypoint == waypoint && held.waypoint_failure == waypoint_failure {
            return Arc::clone(held);
        }
        let authorization_policies = policies;
        let held = Application::clone(held);
        let application = Application { services, authorization_policies, waypoint, waypoint_failure, ..held };
        self.shared.applications.share(application)
    }

    /// The services that select a workload, with those that others put it behind by its name or address.
    fn with_named(&mut self, uid: &WorkloadUid, services: Arc<Services>) -> Arc<Services> {
        let mut named = self.endpoints.services_of(uid).peekable();
        if named.peek().is_none() {
            return services;
        }
        let own = services.iter().map(|(service, ports)| (service.clone(), ports.to_vec()));
        let mut all: BTreeMap<_, Vec<_>> = own.collect();
        for (service, ports) in named {
            let mine = all.entry(service.clone()).or_default();
            mine.extend(ports);
            mine.sort_unstable_by_key(|port| (port.service_port, port.target_port));
            mine.dedup();
        }
        self.shared.services.share(all.into_iter().collect::<Services>())
    }
}

/// A workload of which nothing is known but that an object names it.
fn endpoint(workload: Workload, file: &Arc<str>, line: u32) -> Instance {
    Instance {
        workload: Arc::new(workload),
        replica: None,
        rare: None,
        file: Arc::clone(file),
        line,
        addresses_line: line,
        kind: InstanceKind::Endpoint,
        wish: Wish::default(),
        captured: false,
        reported: None,
        leaving: false,
    }
}
