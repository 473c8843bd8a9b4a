//! Every way a connection can end. Conversions into it are exhaustive matches without `_`, so that a
//! new failure forces a decision about its log words, its metric flag and what the operator should do.

use std::net::{IpAddr, SocketAddr};

use crate::PolicyKey;

/// Why a connection ended otherwise than by both sides closing it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// Ours: a limit on what a pod has open was reached. The operator raises the limit or adds nodes.
    #[error("too many {what} of this pod: the limit is {limit}")]
    Overloaded {
        /// Of what.
        what: &'static str,
        /// The limit reached.
        limit: usize,
    },
    /// The peer's: it connected to the capture port itself, not through the capture.
    #[error("no original destination: the connection did not come through the capture")]
    NoOriginalDst,
    /// The peer's: it asked for a port of the agent.
    #[error("port {port} is the mesh's own and no application's")]
    AgentPort {
        /// The port asked for.
        port: u16,
    },
    /// Ours: the pod is not, or no longer, a known workload.
    #[error("this pod is not a workload of the mesh (any more)")]
    UnknownWorkload,
    /// Nobody's: the kernel captured the connection as the mesh's, but the address is (no longer) one of
    /// the mesh, and may be somebody else's by now. Who looks its name up again gets on. If it lasts,
    /// the operator looks at readiness: a kernel whose map of the mesh's addresses cannot be filled
    /// captures everything, and what is not the mesh's is refused until it is mended.
    #[error("{destination} is no address of the mesh (any more)")]
    UnknownDestination {
        /// The address asked for.
        destination: SocketAddr,
    },
    /// Nobody's: the service has no endpoint that may be chosen.
    #[error("service {service} has no healthy endpoint for port {port}")]
    NoHealthyUpstream {
        /// The service.
        service: String,
        /// The service port asked for.
        port: u16,
    },
    /// The user's, or the name servers': the service's endpoints are known by a host name, and that has no address.
    /// The operator looks for the name, or after the name servers that the agent's own resolver asks.
    #[error("service {service}: no address is known of {host}: {}", if *.is_looked_up { "there is no such name" } else { "nobody could look it up" })]
    NoSuchName {
        /// The service.
        service: String,
        /// The name.
        host: String,
        /// Whether a name server answered.
        is_looked_up: bool,
    },
    /// The user's: the service's endpoint is an address of another service (or of itself, by its own host name), where
    /// that one's tunnels and rules would be passed by. Who is to reach that one asks for it by its own name.
    #[error("service {service} leads to {address}, an address of service {owner}")]
    Aliased {
        /// The service.
        service: String,
        /// Its endpoint's address.
        address: IpAddr,
        /// Whose it is.
        owner: String,
    },
    /// The user's: what is asked for is behind a waypoint, and none of that one's endpoints is ready. The
    /// operator deploys it or mends it, or takes the label `istio.io/use-waypoint` away; who would rather have
    /// traffic than its rules says so in the annotation `ambit.io/waypoint-failure-mode`.
    #[error("waypoint {waypoint} of {destination} has no ready endpoint")]
    WaypointUnavailable {
        /// The waypoint.
        waypoint: String,
        /// The address asked for, which is behind it.
        destination: SocketAddr,
    },
    /// The user's: the service does not have this port.
    #[error("service {service} has no port {port}")]
    NoSuchPort {
        /// The service.
        service: String,
        /// The port asked for.
        port: u16,
    },
    /// The user's: the service is for other namespaces.
    #[error("service {service} is not exported to namespace {namespace}")]
    NotExported {
        /// The service.
        service: String,
        /// Where the connection comes from.
        namespace: String,
    },
    /// Policy.
    #[error("denied: {0}")]
    Denied(DenyReason),
    /// Policy, of a connection that was allowed before.
    #[error("connection closed because policy, identity or enrolment changed: {0}")]
    PolicyChanged(DenyReason),
    /// The peer's or ours: TLS failed.
    #[error("TLS: {detail}")]
    Tls {
        /// The chain of causes.
        detail: String,
    },
    /// The peer's: the tunnel's protocol was broken.
    #[error("HTTP/2: {detail}")]
    Http2 {
        /// The chain of causes.
        detail: String,
    },
    /// The peer's: a CONNECT request we cannot serve.
    #[error("bad CONNECT request: {detail}")]
    BadRequest {
        /// What is wrong with it.
        detail: String,
    },
    /// The other node's: it refused the tunnel.
    #[error("the destination's node answered {status}")]
    TunnelRefused {
        /// Its HTTP status.
        status: u16,
    },
    /// The upstream's or the network's: no connection.
    #[error("cannot connect to {upstream}: {detail}")]
    Connect {
        /// Where to.
        upstream: String,
        /// The chain of causes.
        detail: String,
    },
    /// Ours: no certificate for this identity.
    #[error("no certificate for {identity}: {detail}")]
    NoCertificate {
        /// The identity.
        identity: String,
        /// The chain of causes.
        detail: String,
    },
    /// Either side's: a reset or another error after the connection was up.
    #[error("reset by the {side}: {detail}")]
    Reset {
        /// `client` or `server`, as seen from the connection.
        side: &'static str,
        /// The chain of causes.
        detail: String,
    },
    /// Ours, on the operator's word: the drain deadline came.
    #[error("closed at the drain deadline")]
    Drained,
    /// Nobody's: the task was dropped without a verdict (a defect if it is ever seen outside of a
    /// forced stop).
    #[error("aborted")]
    Aborted,
}

/// Which policy said no. For the log only, never for the peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DenyReason {
    /// A DENY policy matched.
    #[error("DENY policy {policy} rule {rule}")]
    Policy {
        /// The policy.
        policy: PolicyKey,
        /// Index of the first rule that matched, from 0 as in the user's file.
        rule: usize,
    },
    /// There are ALLOW policies and none matched.
    #[error("no ALLOW policy matches, out of {count}: {first}{}", if *.count > 1 { ", ..." } else { "" })]
    NoAllowMatch {
        /// How many ALLOW policies apply.
        count: usize,
        /// The first of them by name.
        first: PolicyKey,
    },
    /// The destination is no longer part of the mesh.
    #[error("the workload left the mesh")]
    Unenrolled,
    /// The identity on the connection is no longer the one its workload has.
    #[error("the identity of the workload changed")]
    IdentityChanged,
}

impl CloseReason {
    /// The value of the metric label `response_flags`.
    #[must_use]
    pub fn response_flag(&self) -> &'static str {
        match self {
            Self::Denied(_) | Self::PolicyChanged(_) => "DENY",
            Self::Tls { .. } => "TLS_FAILURE",
            Self::Http2 { .. } | Self::BadRequest { .. } => "H2_HANDSHAKE_FAILURE",
            Self::NoCertificate { .. } => "IDENTITY_ERROR",
            Self::WaypointUnavailable { .. } => "WAYPOINT",
            Self::Connect { .. }
            | Self::TunnelRefused { .. }
            | Self::NoHealthyUpstream { .. }
            | Self::NoSuchName { .. }
            | Self::Aliased { .. }
            | Self::NoSuchPort { .. }
            | Self::NotExported { .. }
            | Self::UnknownWorkload
            | Self::UnknownDestination { .. }
            | Self::NoOriginalDst
            | Self::AgentPort { .. }
            | Self::Overloaded { .. } => "CONNECT",
            Self::Reset { .. } | Self::Drained | Self::Aborted => "-",
        }
    }
}
