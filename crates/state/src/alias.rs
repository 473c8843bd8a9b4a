//! Endpoints that are no more than another name for a service: their address is a virtual one. Whoever connects there
//! comes to that service's endpoints by no way of the mesh: past its waypoint, and in plaintext to those that take
//! tunnels.

use std::net::IpAddr;

use ambit_model::{Service, ServiceKey, Workload, canonical_ip};

use crate::{Snapshot, takes_tunnels};

impl Snapshot {
    /// The service whose virtual address an endpoint of `service` has, where nobody may connect to it there: another
    /// of the mesh, or the same one again by the host name of its endpoint.
    #[must_use]
    pub fn aliased<'a>(&'a self, service: &ServiceKey, endpoint: &Workload, address: IpAddr) -> Option<&'a ServiceKey> {
        // An address that is a pod's as well leads into its tunnel.
        if takes_tunnels(endpoint) || self.workload_by_ip(address).is_some_and(|holder| takes_tunnels(holder)) {
            return None;
        }
        let owners = self.services.holders(canonical_ip(address)).iter();
        // Whoever writes an address of its own may mean the very host there; who writes a name means another address.
        let is_alias = |owner: &Service| {
            if owner.key == *service { endpoint.hostname.is_some() } else { self.is_meshed(owner) }
        };
        owners.map(|owner| &**owner).find(|owner| is_alias(owner)).map(|owner| &owner.key)
    }

    /// Whether there are ways of the mesh to a service.
    fn is_meshed(&self, service: &Service) -> bool {
        service.waypoint.is_some() || self.endpoints(&service.key).iter().any(|endpoint| takes_tunnels(endpoint))
    }
}
