//! The vocabulary every other crate speaks: who talks (identities, workloads), to whom (services,
//! addresses that say what they are addresses of), under which rules (authorizations), and how a
//! connection can end. Plain data, no I/O.

mod address;
mod authorization;
mod close_reason;
mod gateway_address;
mod identity;
mod interner;
mod service;
mod service_ports;
mod workload;

pub use address::{OriginalDst, PeerAddr, TunnelTarget, UpstreamAddr, canonical_ip, canonical_socket, is_elsewhere};
pub use authorization::{
    Action, Authorization, CidrMatch, Clause, Match, PolicyKey, Rule, Scope, ServiceAccountMatch, StringMatch,
};
pub use close_reason::{CloseReason, DenyReason};
pub use gateway_address::{Canary, GatewayAddress, GatewayDestination, GatewayKey, WaypointFailure};
pub use identity::{Identity, IdentityError, SPIFFE_SCHEME};
pub use interner::Interner;
pub use service::{HealthPolicy, LoadBalancingMode, Service, ServiceKey, ServicePort};
pub use service_ports::ServicePorts;
pub use workload::{
    Addresses, AppProtocol, Application, HostPort, Labels, Locality, NodePod, PortMapping, SameNode, TunnelProtocol,
    Workload, WorkloadKind, WorkloadUid,
};

/// The trust domain of a mesh that was not told another.
pub const DEFAULT_TRUST_DOMAIN: &str = "cluster.local";

/// TCP port of the tunnel in a destination pod's (or a waypoint's) network namespace.
pub const HBONE_PORT: u16 = 15008;
/// TCP port, in a pod, where its captured outbound connections arrive.
pub const OUTBOUND_PORT: u16 = 15001;
/// TCP port, in a pod, where its captured plaintext inbound connections arrive.
pub const INBOUND_PLAINTEXT_PORT: u16 = 15006;

/// Whether `port` is one the node agent itself listens on inside every enrolled pod, so that it can
/// never be the port of an application.
#[must_use]
pub fn is_agent_port(port: u16) -> bool {
    matches!(port, HBONE_PORT | OUTBOUND_PORT | INBOUND_PLAINTEXT_PORT)
}
