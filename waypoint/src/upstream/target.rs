//! The endpoint of one attempt.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use ambit_balance::{Ask, Client as Asker, EndpointId, Outcome, Pick, Place};
use ambit_l7::TrafficPolicy;
use ambit_model::{HBONE_PORT, Identity, ServiceKey, Workload};
use ambit_state::{Via, takes_tunnels};
use smallvec::{SmallVec, smallvec};

use super::dial::Wanted;
use super::groups::{self, Backend};
use super::pool::Key;
use super::tls::Inside;
use crate::plan::{Destination, FailureReason, Plan, Speak};
use crate::worker::Worker;

/// Endpoints that have been tried.
pub(super) type Tried = SmallVec<[EndpointId; 2]>;

/// What a plan's destination is made of.
pub(super) enum Choice {
    /// Endpoints to choose from.
    Among(Arc<Backend>),
    /// No choice.
    Only(Arc<TrafficPolicy>),
}

/// The endpoint of one attempt.
pub(super) struct Target {
    pub(super) address: SocketAddr,
    pub(super) workload: Option<Arc<Workload>>,
    pub(super) policy: Arc<TrafficPolicy>,
    /// Counts as one of the endpoint's requests under way.
    pub(super) pick: Option<Pick>,
}

impl Choice {
    pub(super) fn of(worker: &Worker, plan: &Plan<'_>) -> Result<Self, FailureReason> {
        match &plan.destination {
            Destination::Service { service, port, subset } => {
                groups::backend(worker, service, *port, subset.as_ref()).map(Self::Among)
            }
            Destination::Workload { .. } => {
                let default = &worker.upstreams.default_policy;
                let policy = if plan.policy == *default { default } else { &plan.policy };
                Ok(Self::Only(Arc::clone(policy)))
            }
        }
    }

    pub(super) fn policy(&self) -> &Arc<TrafficPolicy> {
        match self {
            Self::Among(backend) => &backend.policy,
            Self::Only(policy) => policy,
        }
    }

    pub(super) fn backend(&self) -> Option<&Arc<Backend>> {
        match self {
            Self::Among(backend) => Some(backend),
            Self::Only(_) => None,
        }
    }

    /// Chooses an endpoint: `tried` come last.
    pub(super) fn target(&self, worker: &Worker, plan: &Plan<'_>, ask: &Wish<'_>) -> Result<Target, FailureReason> {
        match (self, &plan.destination) {
            (Self::Among(backend), _) => among(worker, plan, backend, ask),
            (Self::Only(policy), Destination::Workload { workload, address }) => Ok(Target {
                address: *address,
                workload: Some(Arc::clone(workload)),
                policy: Arc::clone(policy),
                pick: None,
            }),
            (Self::Only(_), Destination::Service { service, .. }) => {
                Err(FailureReason::NoSuchDestination { destination: service.key.to_string() })
            }
        }
    }
}

/// What an attempt wants of the choice.
pub(super) struct Wish<'a> {
    pub(super) hash: Option<u64>,
    pub(super) tried: &'a [EndpointId],
    pub(super) remote_localities: bool,
}

fn among(worker: &Worker, plan: &Plan<'_>, backend: &Backend, wish: &Wish<'_>) -> Result<Target, FailureReason> {
    let workload = plan.client.workload.as_deref();
    // Of a client that the mesh does not know it is not known where it is: then what is near is near to us.
    let site = workload.or(plan.in_force.own.workload.as_deref());
    let place = site.and_then(|workload| workload.locality.as_deref()).map(Place::from);
    let ask = Ask {
        hash: wish.hash,
        client: Asker {
            place: place.as_ref(),
            node: site.map(|workload| &*workload.node).unwrap_or_default(),
            labels: workload.map(|workload| &*workload.labels),
        },
        tried: wish.tried,
        remote_localities: wish.remote_localities,
        asked: backend.passes_through(&plan.in_force.snapshot, plan.asked).then_some(plan.asked),
    };
    let picked = backend.group.pick(&ask, &mut *worker.rng.borrow_mut(), Instant::now());
    let pick = picked.map_err(|_none| no_endpoint(plan, backend))?;
    let workload = pick.endpoint().and_then(|endpoint| endpoint.spec().workload.clone());
    Ok(Target { address: pick.address(), workload, policy: Arc::clone(&backend.policy), pick: Some(pick) })
}

fn no_endpoint(plan: &Plan<'_>, backend: &Backend) -> FailureReason {
    let service = match &plan.destination {
        Destination::Service { service, .. } => Some(&service.key),
        Destination::Workload { .. } => None,
    };
    let destination = destination(plan);
    if let Some((host, is_looked_up)) = service.and_then(|service| plan.in_force.snapshot.nameless(service)) {
        return FailureReason::NoSuchName { destination, host: Arc::clone(host), is_looked_up };
    }
    match backend.left_out() {
        Some((address, owner)) => FailureReason::Aliased { destination, address: *address, owner: owner.clone() },
        None => FailureReason::NoHealthyEndpoint { destination },
    }
}

/// A destination, for the log.
pub(super) fn destination(plan: &Plan<'_>) -> String {
    match &plan.destination {
        Destination::Service { service, port, subset: None } => format!("{}:{port}", service.key),
        Destination::Service { service, port, subset: Some(subset) } => format!("{}:{port} ({subset})", service.key),
        Destination::Workload { address, .. } => address.to_string(),
    }
}

impl Target {
    /// Tells what came of the attempt.
    pub(super) fn report(&self, outcome: Outcome) {
        if let Some(pick) = &self.pick {
            pick.report(outcome, Instant::now());
        }
    }

    /// The pod at the address, where it takes tunnels: another's entry without one is no way round its own.
    fn holder<'a>(&'a self, plan: &'a Plan<'_>) -> Option<&'a Arc<Workload>> {
        if let Some(workload) = self.workload.as_ref().filter(|workload| takes_tunnels(workload)) {
            return Some(workload);
        }
        plan.in_force.snapshot.workload_by_ip(self.address.ip()).filter(|workload| takes_tunnels(workload))
    }

    /// Names beyond the endpoint's own, by which its service's endpoints may go.
    fn names<'a>(plan: &'a Plan<'_>) -> &'a [Arc<str>] {
        match &plan.destination {
            Destination::Service { service, .. } => &service.subject_alt_names,
            Destination::Workload { .. } => &[],
        }
    }

    fn service<'a>(plan: &'a Plan<'_>) -> Option<&'a ServiceKey> {
        match &plan.destination {
            Destination::Service { service, .. } => Some(&service.key),
            Destination::Workload { .. } => None,
        }
    }

    /// What must be alike for a connection to carry this attempt.
    pub(super) fn key(&self, plan: &Plan<'_>, speak: Speak, server_name: Option<&Arc<str>>) -> Key {
        let is_tunnelled = self.holder(plan).is_some();
        let says_port = self.policy.proxy_protocol.is_some();
        let client = plan.client;
        Key {
            client: (is_tunnelled || says_port).then(|| (client.identity.clone(), client.address.ip())),
            client_port: if says_port { client.address.port() } else { 0 },
            address: self.address,
            service: Self::service(plan).filter(|_| !Self::names(plan).is_empty()).cloned(),
            server_name: server_name.cloned(),
            speak,
            policy: Arc::clone(&self.policy),
            given: plan.in_force.config.credentials.find(&self.policy.tls.credentials),
        }
    }

    /// The connection that would carry it.
    pub(super) fn wanted(&self, plan: &Plan<'_>, server_name: Option<&Arc<str>>, inside: Inside) -> Wanted {
        let holder = self.holder(plan);
        Wanted {
            own: plan.in_force.own.identity.clone(),
            client: plan.client.clone(),
            asked: plan.asked,
            host: Self::service(plan).map(|service| Arc::clone(&service.hostname)),
            address: self.address,
            workload: holder.or(self.workload.as_ref()).cloned(),
            via: holder.map_or(Via::Plain, |workload| self.via(plan, workload)),
            policy: Arc::clone(&self.policy),
            server_name: server_name.cloned(),
            inside,
        }
    }

    fn via(&self, plan: &Plan<'_>, workload: &Workload) -> Via {
        let mut expected: SmallVec<[Identity; 1]> = smallvec![workload.identity.clone()];
        // A name that is no identity admits nobody.
        expected.extend(Self::names(plan).iter().filter_map(|name| name.parse().ok()));
        Via::Tunnel { peer: SocketAddr::new(self.address.ip(), HBONE_PORT), expected }
    }
}
