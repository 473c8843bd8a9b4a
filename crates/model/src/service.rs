//! Services: an address and ports in front of workloads.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::{AppProtocol, Canary, GatewayAddress, WaypointFailure};

/// A service's name in the mesh: `<namespace>/<hostname>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceKey {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Fully qualified host name, as `web.shop.svc.cluster.local`.
    pub hostname: Arc<str>,
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.hostname)
    }
}

/// Which workloads of a service may be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum HealthPolicy {
    /// Ready ones only.
    #[default]
    OnlyHealthy,
    /// Also those not ready (`publishNotReadyAddresses`).
    AllowAll,
}

/// How locality narrows the choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LoadBalancingMode {
    /// All endpoints alike.
    #[default]
    Unspecified,
    /// Endpoints of the same node only (`internalTrafficPolicy: Local`).
    StrictNode,
    /// Endpoints of the same node first, then of the same zone, then of the same region
    /// (`trafficDistribution: PreferSameNode`).
    PreferNode,
    /// Endpoints of the same zone first, then of the same region (`trafficDistribution: PreferSameZone`, of old
    /// `PreferClose`).
    PreferZone,
    /// None: connections to its addresses are not the mesh's (`resolution: NONE`).
    Passthrough,
}

/// One port of a service, as its users see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// The port clients ask for.
    pub port: u16,
    /// Its name; may be empty where there is only one.
    pub name: Arc<str>,
    /// The protocol hint.
    pub app_protocol: AppProtocol,
}

/// An address and ports in front of workloads. Which workloads: see [`crate::Application::services`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Unique name.
    pub key: ServiceKey,
    /// Short name.
    pub name: Arc<str>,
    /// Its virtual addresses; none for a headless service.
    pub addresses: Vec<IpAddr>,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// Identities beyond the endpoint's own that its endpoints may show.
    pub subject_alt_names: Vec<Arc<str>>,
    /// Which endpoints may be chosen.
    pub health_policy: HealthPolicy,
    /// How locality narrows the choice.
    pub load_balancing: LoadBalancingMode,
    /// The waypoint that connections to its virtual addresses go through.
    pub waypoint: Option<Arc<GatewayAddress>>,
    /// The waypoint that some of them go through instead.
    pub canary: Option<Canary>,
    /// What becomes of them while that one is not there.
    pub waypoint_failure: WaypointFailure,
    /// The namespaces that see it (`exportTo`); all of them where there is no list.
    pub exported_to: Option<Arc<[Arc<str>]>>,
}

impl Service {
    /// The waypoints that connections to its virtual addresses go through, each of which applies all its rules.
    pub fn waypoints(&self) -> impl Iterator<Item = &Arc<GatewayAddress>> {
        self.waypoint.iter().chain(self.canary.as_ref().map(|canary| &canary.waypoint))
    }

    /// Whether the workloads of a namespace see it.
    #[must_use]
    pub fn is_exported_to(&self, namespace: &str) -> bool {
        self.exported_to.as_ref().is_none_or(|all| all.iter().any(|one| **one == *namespace))
    }
}
