//! The snapshot and its look-ups.

use std::net::IpAddr;
use std::sync::Arc;

use ambit_model::{Authorization, PolicyKey, Service, ServiceKey, TunnelProtocol, Workload, WorkloadUid, canonical_ip};

use crate::endpoints::Endpoints;
use crate::names::Names;
use crate::policies::Policies;
use crate::table::{Object, Table};

/// The mesh at one moment. Immutable; [`Snapshot::apply`] and [`Snapshot::replace_all`] make the next
/// one, which shares with this one all that did not change.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub(crate) workloads: Table<Workload>,
    pub(crate) services: Table<Service>,
    pub(crate) endpoints: Endpoints,
    pub(crate) names: Names,
    pub(crate) policies: Policies,
}

impl Snapshot {
    /// The workload of a uid.
    #[must_use]
    pub fn workload(&self, uid: &WorkloadUid) -> Option<&Arc<Workload>> {
        self.workloads.find(uid)
    }

    /// The workload that has an address. Workloads of the host's network are not found by it. Where
    /// several claim an address, an enrolled one goes before others, so that a stale claim cannot turn a
    /// tunnel into plaintext, and one behind a waypoint before the rest; then the first by uid.
    #[must_use]
    pub fn workload_by_ip(&self, ip: IpAddr) -> Option<&Arc<Workload>> {
        let claimants = self.workloads.holders(canonical_ip(ip));
        let first = |wanted: fn(&Workload) -> bool| claimants.iter().find(|workload| wanted(workload));
        first(takes_tunnels).or_else(|| first(is_captured)).or_else(|| claimants.first())
    }

    /// All workloads, in no order.
    pub fn workloads(&self) -> impl Iterator<Item = &Arc<Workload>> {
        self.workloads.iter()
    }

    /// The service of a key.
    #[must_use]
    pub fn service(&self, key: &ServiceKey) -> Option<&Arc<Service>> {
        self.services.find(key)
    }

    /// The service that has a virtual address; where several claim it, the first by key.
    #[must_use]
    pub fn service_by_vip(&self, ip: IpAddr) -> Option<&Arc<Service>> {
        self.services.holders(canonical_ip(ip)).first()
    }

    /// The service that has a virtual address for the workloads of a namespace: of several that claim it, the first
    /// by key that they see; where they see none of them, the first.
    #[must_use]
    pub fn service_seen_from(&self, namespace: &str, ip: IpAddr) -> Option<&Arc<Service>> {
        let all = self.services.holders(canonical_ip(ip));
        all.iter().find(|service| service.is_exported_to(namespace)).or_else(|| all.first())
    }

    /// All services, in no order.
    pub fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.services.iter()
    }

    /// The endpoints of a service, healthy or not, by node and then uid. One without addresses is known by a host
    /// name for which there are none.
    #[must_use]
    pub fn endpoints(&self, service: &ServiceKey) -> &[Arc<Workload>] {
        self.endpoints.of(service)
    }

    /// The host names that workloads are known by, and which must be looked up.
    pub fn host_names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.names.wanted()
    }

    /// The policy of a key.
    #[must_use]
    pub fn policy(&self, key: &PolicyKey) -> Option<&Arc<Authorization>> {
        self.policies.find(key)
    }

    /// All policies, by scope and then key.
    pub fn policies(&self) -> impl Iterator<Item = &Arc<Authorization>> {
        self.policies.iter()
    }

    /// The policies that apply to connections to a workload: mesh-wide ones and those of its namespace,
    /// each by key, then those it lists, as listed.
    ///
    /// A listed policy may be unknown. It cannot happen with a source that delivers whole snapshots. With
    /// incremental discovery, it means that the policy was deleted and the workload's own update is still
    /// on its way. A user's policy is left out then: to deny would cut the workload off at every deletion.
    /// One that stands for a PeerAuthentication denies plaintext: which other takes its place, a stricter
    /// one maybe, is what the workload's update is going to say.
    pub fn policies_for<'a>(&'a self, workload: &'a Workload) -> impl Iterator<Item = &'a Authorization> + Clone {
        self.policies.applicable(workload)
    }

    /// Every address whose connections must come to the agent: the virtual addresses of services and
    /// the addresses of workloads that take tunnels or are behind a waypoint. In no order, and an address may
    /// come twice.
    pub fn mesh_destinations(&self) -> impl Iterator<Item = IpAddr> {
        let vips = self.services().flat_map(|service| service.addresses().iter());
        let pods = self.workloads().filter(|workload| is_captured(workload));
        vips.chain(pods.flat_map(|workload| workload.addresses.iter())).map(|ip| canonical_ip(*ip))
    }

    /// Whether [`Snapshot::mesh_destinations`] holds an address.
    #[must_use]
    pub fn is_mesh_destination(&self, ip: IpAddr) -> bool {
        let claimants = self.workloads.holders(canonical_ip(ip));
        self.service_by_vip(ip).is_some() || claimants.iter().any(|workload| is_captured(workload))
    }
}

/// Whether connections to a workload's address must come to the agent.
fn is_captured(workload: &Workload) -> bool {
    takes_tunnels(workload) || (workload.waypoint.is_some() && !workload.host_network)
}

/// Whether connections to a workload go through a tunnel. Never for one of the host's network: there is
/// no network namespace of its own in which a tunnel could end.
#[must_use]
pub fn takes_tunnels(workload: &Workload) -> bool {
    workload.tunnel_protocol == TunnelProtocol::Hbone && !workload.host_network
}

#[cfg(test)]
mod tests;
