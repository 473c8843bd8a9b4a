//! One endpoint: what it is, and what is known of it by its use.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

use ambit_model::Workload;

use crate::Place;

/// Labels of an endpoint or a client.
pub type Labels = BTreeMap<Arc<str>, Arc<str>>;

/// What an endpoint is.
#[derive(Debug, Clone)]
pub struct EndpointSpec {
    /// Its name, the same in every replica of the waypoint and after each restart: consistent hashing goes by
    /// it. Of two with one name the first counts.
    pub key: Arc<str>,
    /// Where it takes traffic of this port.
    pub address: SocketAddr,
    /// What it is in the mesh; none for what is outside.
    pub workload: Option<Arc<Workload>>,
    /// Its share, beside others; 0 counts as 1.
    pub weight: u32,
    /// Where it is.
    pub place: Place,
    /// The node it runs on; empty where that is not known.
    pub node: Arc<str>,
    /// Its labels, for `failoverPriority`. The well-known ones of region, zone and sub-zone need not be among
    /// them, [`EndpointSpec::place`] stands for them; those of network and node must.
    pub labels: Arc<Labels>,
    /// Whether it is ready. One that is not is never chosen; it counts as a missing one where its level of
    /// failover is judged.
    pub healthy: bool,
}

/// Tells endpoints of a group apart; never given to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId(pub(crate) u64);

/// An endpoint of a group.
#[derive(Debug)]
pub struct Endpoint {
    pub(crate) spec: EndpointSpec,
    pub(crate) state: Arc<EndpointState>,
}

impl Endpoint {
    /// What it is.
    #[must_use]
    pub fn spec(&self) -> &EndpointSpec {
        &self.spec
    }

    /// Which one it is.
    #[must_use]
    pub fn id(&self) -> EndpointId {
        self.state.id
    }

    /// Requests under way.
    #[must_use]
    pub fn active(&self) -> u32 {
        self.state.active.load(Relaxed)
    }

    pub(crate) fn weight(&self) -> u32 {
        self.spec.weight.max(1)
    }

    /// In nanoseconds since the group's start.
    pub(crate) fn ready_since(&self) -> u64 {
        self.state.ready_since.load(Relaxed)
    }

    /// Whether it is left out after errors.
    #[must_use]
    pub fn is_ejected(&self) -> bool {
        self.state.ejected.load(Relaxed)
    }

    /// Ready, and not ejected.
    pub(crate) fn is_usable(&self) -> bool {
        self.spec.healthy && !self.is_ejected()
    }
}

/// What is known of an endpoint by its use. Times are nanoseconds since the group's start.
#[derive(Debug)]
pub(crate) struct EndpointState {
    pub(crate) id: EndpointId,
    pub(crate) active: AtomicU32,
    /// Errors in a row.
    pub(crate) errors: Errors,
    /// Written under the lock of the group's outlier detection only, as are the next two.
    pub(crate) ejected: AtomicBool,
    pub(crate) ejected_at: AtomicU64,
    /// By what the next ejection is longer than the first.
    pub(crate) ejections: AtomicU32,
    /// Since when it is ready without a break.
    pub(crate) ready_since: AtomicU64,
}

/// Errors in a row.
#[derive(Debug, Default)]
pub(crate) struct Errors {
    pub(crate) any: AtomicU32,
    pub(crate) gateway: AtomicU32,
    pub(crate) local: AtomicU32,
}

impl EndpointState {
    pub(crate) fn new(id: EndpointId, now: u64) -> Self {
        Self {
            id,
            active: AtomicU32::new(0),
            errors: Errors::default(),
            ejected: AtomicBool::new(false),
            ejected_at: AtomicU64::new(0),
            ejections: AtomicU32::new(0),
            ready_since: AtomicU64::new(now),
        }
    }
}
