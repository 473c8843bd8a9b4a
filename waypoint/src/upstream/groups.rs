//! The endpoints of services that anybody has asked for, with what is known of them by their use. All workers
//! share them; each looks them up once per change of what is in force.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use ambit_balance::{EndpointSpec, Group, Place};
use ambit_l7::{Subset, TrafficPolicy};
use ambit_model::{HealthPolicy, LoadBalancingMode, Service, ServiceKey, Workload};
use ambit_state::Snapshot;

use crate::in_force::InForce;
use crate::plan::FailureReason;
use crate::worker::Worker;

/// The endpoints of all services that anybody has asked for.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    known: Mutex<HashMap<GroupKey, Arc<Backend>>>,
}

/// What a group of endpoints is of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct GroupKey {
    service: ServiceKey,
    port: u16,
    subset: Option<Arc<str>>,
}

/// A group of endpoints and how they are used.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) group: Arc<Group>,
    /// Equal to the plan's, and the same as long as it does not change.
    pub(super) policy: Arc<TrafficPolicy>,
    /// What the group was made of.
    members: Members,
}

impl Backend {
    /// Whether the address a client asked for is where PASSTHROUGH goes: one that is no service's, or one of this
    /// very service where that is no more than a name for what is there (`resolution: NONE`).
    pub(super) fn passes_through(&self, snapshot: &Snapshot, asked: SocketAddr) -> bool {
        let own = &self.members.service;
        let is_own = own.load_balancing == LoadBalancingMode::Passthrough && own.addresses.contains(&asked.ip());
        is_own || snapshot.service_by_vip(asked.ip()).is_none()
    }

    /// The address of an endpoint that may not be chosen, and the service that would be passed over there.
    pub(super) fn left_out(&self) -> Option<&(IpAddr, ServiceKey)> {
        self.members.left_out.as_ref()
    }
}

#[derive(Debug)]
struct Members {
    service: Arc<Service>,
    workloads: Vec<Arc<Workload>>,
    subset: Option<Subset>,
    /// The address of an endpoint that is left out, and the service that would be passed over there.
    left_out: Option<(IpAddr, ServiceKey)>,
}

impl Members {
    fn are(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.service, &other.service)
            && self.workloads.len() == other.workloads.len()
            && self.workloads.iter().zip(&other.workloads).all(|(one, other)| Arc::ptr_eq(one, other))
            && self.subset == other.subset
            && self.left_out == other.left_out
    }
}

/// A worker's own view of [`Groups`], for what is in force.
#[derive(Default)]
pub(super) struct View {
    seen: RefCell<Seen>,
}

#[derive(Default)]
struct Seen {
    in_force: Option<Arc<InForce>>,
    backends: HashMap<ServiceKey, Vec<Known>>,
}

/// Of a port of a service and one of its subsets.
type Known = (u16, Option<Arc<str>>, Arc<Backend>);

impl View {
    /// Forgets what was in force.
    pub(super) fn forget(&self) {
        self.seen.take();
    }
}

/// The endpoints of a service's port, or of some of them, by what is in force now: a plan may be older.
pub(super) fn backend(
    worker: &Worker,
    service: &Service,
    port: u16,
    subset: Option<&Arc<str>>,
) -> Result<Arc<Backend>, FailureReason> {
    let current = worker.in_force();
    let mut seen = worker.upstreams.view.seen.borrow_mut();
    if !seen.in_force.as_ref().is_some_and(|in_force| Arc::ptr_eq(in_force, &current)) {
        *seen = Seen { in_force: Some(Arc::clone(&current)), backends: HashMap::new() };
    }
    let known = seen.backends.get(&service.key).map(Vec::as_slice).unwrap_or_default();
    if let Some((_, _, backend)) = known.iter().find(|(number, name, _)| *number == port && name.as_ref() == subset) {
        return Ok(Arc::clone(backend));
    }
    let key = GroupKey { service: service.key.clone(), port, subset: subset.cloned() };
    let backend = worker.upstreams.groups.find(&current, &key)?;
    seen.backends.entry(key.service).or_default().push((port, key.subset, Arc::clone(&backend)));
    Ok(backend)
}

impl Groups {
    /// The group of a key, brought up to date.
    fn find(&self, in_force: &InForce, key: &GroupKey) -> Result<Arc<Backend>, FailureReason> {
        let members = members(in_force, key)?;
        let policy = in_force.traffic(&key.service, key.port, key.subset.as_deref());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.get(key);
        if let Some(before) = before
            && before.members.are(&members)
            && before.policy == policy
        {
            return Ok(Arc::clone(before));
        }
        let policy = before.map(|before| &before.policy).filter(|before| **before == policy).cloned().unwrap_or(policy);
        let specs = specs(&members, key.port);
        let group = match before {
            Some(before) => {
                before.group.update(specs, Arc::clone(&policy), Instant::now());
                Arc::clone(&before.group)
            }
            None => Group::new(specs, Arc::clone(&policy), Instant::now()),
        };
        let backend = Arc::new(Backend { group, policy, members });
        known.insert(key.clone(), Arc::clone(&backend));
        Ok(backend)
    }

    /// Lets ejected endpoints return whose time is over, and logs what outlier detection did.
    pub(super) fn tick(&self) {
        let now = Instant::now();
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, backend) in known.iter() {
            backend.group.tick(now);
            for event in backend.group.take_events() {
                tracing::info!(destination = %key, endpoint = %event.key, what = ?event.kind, "outlier detection");
            }
        }
    }

    /// Forgets the endpoints of services that are no more.
    pub(super) fn retain(&self, in_force: &InForce) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|key, _| in_force.snapshot.service(&key.service).is_some());
    }
}

fn members(in_force: &InForce, key: &GroupKey) -> Result<Members, FailureReason> {
    let missing = || FailureReason::NoSuchDestination { destination: key.to_string() };
    let service = in_force.snapshot.service(&key.service).ok_or_else(missing)?;
    if !service.ports.iter().any(|port| port.port == key.port) {
        return Err(missing());
    }
    let subset = match &key.subset {
        None => None,
        Some(name) => {
            let subset = in_force.config.traffic(&key.service).and_then(|traffic| traffic.subsets.get(name));
            Some(subset.ok_or_else(missing)?.clone())
        }
    };
    let mut left_out = None;
    let passed_over = |workload: &Workload| {
        let address = address(workload, &key.service, key.port)?;
        Some((address.ip(), in_force.passed_over(&key.service, workload, address)?.clone()))
    };
    let mut workloads = in_force.snapshot.endpoints(&key.service).to_vec();
    workloads.retain(|workload| {
        let found = passed_over(workload);
        let is_good = found.is_none();
        left_out = left_out.take().or(found);
        is_good
    });
    Ok(Members { service: Arc::clone(service), workloads, subset, left_out })
}

fn address(workload: &Workload, service: &ServiceKey, port: u16) -> Option<SocketAddr> {
    let ports = workload.services.get(service)?;
    let port = ports.iter().find(|mapping| mapping.service_port == port)?.target_port;
    Some(SocketAddr::new(*workload.addresses.first()?, port))
}

fn specs(members: &Members, port: u16) -> Vec<EndpointSpec> {
    let service = &members.service;
    let chosen = members.workloads.iter().filter(|workload| match &members.subset {
        None => true,
        Some(subset) => subset.labels.iter().all(|(name, value)| workload.labels.get(name) == Some(value)),
    });
    let spec = |workload: &Arc<Workload>| {
        Some(EndpointSpec {
            key: workload.uid.as_str().into(),
            address: address(workload, &service.key, port)?,
            workload: Some(Arc::clone(workload)),
            weight: workload.weight,
            node: Arc::clone(&workload.node),
            place: workload.locality.as_deref().map(Place::from).unwrap_or_default(),
            labels: Arc::clone(&workload.labels),
            healthy: workload.healthy || service.health_policy == HealthPolicy::AllowAll,
        })
    };
    chosen.filter_map(spec).collect()
}

impl std::fmt::Display for GroupKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.service, self.port)?;
        match &self.subset {
            Some(subset) => write!(f, " ({subset})"),
            None => Ok(()),
        }
    }
}
