//! Waypoints: who is one, which connections go through one, and who may speak for a client.

use std::net::SocketAddr;
use std::sync::Arc;
use std::{iter, slice};

use ambit_model::{
    Canary, GatewayAddress, GatewayDestination, HealthPolicy, Identity, LoadBalancingMode, OriginalDst, PortMapping,
    Service, ServiceKey, TunnelTarget, WaypointFailure, Workload,
};
use rand::{Rng, RngExt};
use smallvec::{SmallVec, smallvec};

use crate::choose::{CANDIDATES, Pool};
use crate::route::{Wanted, address};
use crate::{Candidate, RouteError, Snapshot, Via};

/// A waypoint that something is behind, and what becomes of its connections while that one is not there.
#[derive(Clone, Copy)]
pub(crate) struct Behind<'a> {
    pub(crate) waypoint: &'a Arc<GatewayAddress>,
    pub(crate) canary: Option<&'a Canary>,
    pub(crate) failure: WaypointFailure,
}

impl<'a> Behind<'a> {
    pub(crate) fn of_service(service: &'a Service) -> Option<Self> {
        let (canary, failure) = (service.canary.as_ref(), service.waypoint_failure);
        service.waypoint.as_ref().map(|waypoint| Self { waypoint, canary, failure })
    }

    pub(crate) fn of_workload(workload: &'a Workload) -> Option<Self> {
        let failure = workload.waypoint_failure;
        workload.waypoint.as_ref().map(|waypoint| Self { waypoint, canary: None, failure })
    }

    /// The waypoints to try, in this order. Where the one that is drawn is not there the other takes its connections.
    fn drawn(self, rng: &mut impl Rng) -> SmallVec<[&'a Arc<GatewayAddress>; 2]> {
        match self.canary {
            None | Some(Canary { percent: 0, .. }) => smallvec![self.waypoint],
            Some(Canary { waypoint, percent }) if rng.random_range(0..100) < *percent => {
                smallvec![waypoint, self.waypoint]
            }
            Some(Canary { waypoint, .. }) => smallvec![self.waypoint, waypoint],
        }
    }
}

impl Snapshot {
    /// Whether a tunnel's other end is a waypoint that a workload is behind, or a service which leads to this
    /// port of it: such a one may say whose connections it carries there. One of a service has no say on ports
    /// of others.
    #[must_use]
    pub fn may_vouch(&self, peer: &Identity, workload: &Workload, port: u16) -> bool {
        let leads_there = |ports: &[PortMapping]| ports.iter().any(|mapping| mapping.target_port == port);
        let services = workload.services.iter().filter(|(_, ports)| leads_there(ports));
        let services = services.filter_map(|(key, _)| self.service(key));
        let waypoints = services.flat_map(|service| service.waypoints()).chain(&workload.waypoint);
        let mut members = waypoints.flat_map(|waypoint| self.members(waypoint));
        members.any(|member| member.identity == *peer)
    }

    /// The way through the waypoint or its canary; none for who is one of them, and where nobody is ready and traffic
    /// is to go on without.
    pub(crate) fn through(
        &self,
        source: &Workload,
        behind: Behind<'_>,
        dst: OriginalDst,
        rng: &mut impl Rng,
    ) -> Result<Option<SmallVec<[Candidate; CANDIDATES]>>, RouteError> {
        let mut all = iter::once(behind.waypoint).chain(behind.canary.map(|canary| &canary.waypoint));
        if all.any(|waypoint| self.is_member(source, waypoint)) {
            return Ok(None);
        }
        for waypoint in behind.drawn(rng) {
            let candidates = self.ready(source, waypoint, dst, rng);
            if !candidates.is_empty() {
                return Ok(Some(candidates));
            }
        }
        match behind.failure {
            WaypointFailure::Open => Ok(None),
            WaypointFailure::Closed => Err(RouteError::WaypointUnavailable {
                waypoint: GatewayAddress::clone(behind.waypoint),
                destination: dst.socket(),
            }),
        }
    }

    /// Whether a workload is an endpoint of the waypoint.
    pub(crate) fn is_member(&self, workload: &Workload, waypoint: &GatewayAddress) -> bool {
        match self.service_of(waypoint) {
            Some(service) => workload.services.contains_key(service),
            None => self.members(waypoint).iter().any(|member| member.uid == workload.uid),
        }
    }

    /// All endpoints of a waypoint, ready or not.
    fn members(&self, waypoint: &GatewayAddress) -> &[Arc<Workload>] {
        match (self.service_of(waypoint), &waypoint.destination) {
            (Some(service), _) => self.endpoints(service),
            (None, GatewayDestination::Address(address)) => self.workload_by_ip(*address).map_or(&[], slice::from_ref),
            (None, GatewayDestination::Hostname(_)) => &[],
        }
    }

    fn service_of<'a>(&'a self, waypoint: &'a GatewayAddress) -> Option<&'a ServiceKey> {
        match &waypoint.destination {
            GatewayDestination::Hostname(service) => Some(service),
            GatewayDestination::Address(address) => self.service_by_vip(*address).map(|service| &service.key),
        }
    }

    /// Endpoints of the waypoint that may be chosen by the rules of its service. Each takes tunnels, whatever is
    /// said of it: that is what a waypoint is.
    fn ready(
        &self,
        source: &Workload,
        waypoint: &GatewayAddress,
        dst: OriginalDst,
        rng: &mut impl Rng,
    ) -> SmallVec<[Candidate; CANDIDATES]> {
        let service = self.service_of(waypoint).and_then(|key| self.service(key));
        let health = service.map_or(HealthPolicy::default(), |service| service.health_policy);
        let load_balancing = service.map_or(LoadBalancingMode::default(), |service| service.load_balancing);
        let usable = |endpoint: &Workload| endpoint.healthy || health == HealthPolicy::AllowAll;
        let wanted = Wanted { source, load_balancing, asked: dst.ip(), any_family: true };
        let pool = Pool { endpoints: self.members(waypoint), weighted: false };
        let chosen = wanted.choose(pool, usable, rng);
        let candidates = chosen.into_iter().filter_map(|endpoint| {
            let peer = SocketAddr::new(address(endpoint, dst.ip(), true)?, port_at(endpoint, waypoint, service));
            let via = Via::Tunnel { peer, expected: smallvec![endpoint.identity.clone()] };
            Some(Candidate { workload: Arc::clone(endpoint), target: TunnelTarget::new(dst.socket()), via })
        });
        candidates.collect()
    }
}

/// Where the endpoint's tunnels end. A waypoint's service need not say so.
fn port_at(endpoint: &Workload, waypoint: &GatewayAddress, service: Option<&Arc<Service>>) -> u16 {
    let ports = service.and_then(|service| endpoint.services.get(&service.key)).unwrap_or_default();
    let port = ports.iter().find(|mapping| mapping.service_port == waypoint.hbone_port);
    port.map_or(waypoint.hbone_port, |mapping| mapping.target_port)
}

#[cfg(test)]
mod tests;
