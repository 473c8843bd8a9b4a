//! Where a waypoint is to be found.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::{HBONE_PORT, ServiceKey};

/// Where the tunnels to a waypoint end. Many services and workloads have the same: share one allocation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GatewayAddress {
    /// Who stands there.
    pub destination: GatewayDestination,
    /// The port of its tunnels, as its service has it.
    pub hbone_port: u16,
}

/// Who takes the tunnels to a waypoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GatewayDestination {
    /// The endpoints of a service.
    Hostname(ServiceKey),
    /// Whoever has an address: a service or a workload.
    Address(IpAddr),
}

/// A waypoint that takes some connections in the place of another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Canary {
    /// It.
    pub waypoint: Arc<GatewayAddress>,
    /// How many of a hundred; none where it is only to be known before it takes some, or after.
    pub percent: u8,
}

/// What becomes of connections to what is behind a waypoint while no endpoint of the waypoint is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum WaypointFailure {
    /// They are refused.
    #[default]
    Closed,
    /// They go where they would go without a waypoint.
    Open,
}

impl GatewayAddress {
    /// What a service stands for the waypoint, on the port of tunnels.
    #[must_use]
    pub fn of_service(service: ServiceKey) -> Self {
        Self { destination: GatewayDestination::Hostname(service), hbone_port: HBONE_PORT }
    }

    /// The service whose endpoints the waypoint is, where it has one.
    #[must_use]
    pub fn service(&self) -> Option<&ServiceKey> {
        match &self.destination {
            GatewayDestination::Hostname(service) => Some(service),
            GatewayDestination::Address(_) => None,
        }
    }
}

impl fmt::Display for GatewayAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.destination {
            GatewayDestination::Hostname(service) => service.fmt(f),
            GatewayDestination::Address(address) => address.fmt(f),
        }
    }
}

/// The namespace and name of a Gateway.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GatewayKey {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

impl fmt::Display for GatewayKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
