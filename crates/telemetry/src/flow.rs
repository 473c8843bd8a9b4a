//! What is known of a connection: who talks to whom, and how.

use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use ambit_model::{Identity, PeerAddr, Service, TunnelTarget, Workload};

/// Which end of the connection the reporting workload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// It is the server; metrics say `reporter="destination"`.
    Inbound,
    /// It is the client; metrics say `reporter="source"`.
    Outbound,
    /// It is a waypoint between them.
    Waypoint,
}

impl Direction {
    /// The word in the access log.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
            Self::Waypoint => "waypoint",
        }
    }

    /// The value of the metric label `reporter`.
    #[must_use]
    pub fn reporter(self) -> &'static str {
        match self {
            Self::Inbound => "destination",
            Self::Outbound => "source",
            Self::Waypoint => "waypoint",
        }
    }
}

/// How the connection is protected on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SecurityPolicy {
    /// Mutual TLS.
    MutualTls,
    /// Plain TCP.
    None,
    /// Not settled (yet).
    #[default]
    Unknown,
}

impl SecurityPolicy {
    /// The value of the metric label `connection_security_policy`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::MutualTls => "mutual_tls",
            Self::None => "none",
            Self::Unknown => "unknown",
        }
    }
}

/// One end of a connection.
#[derive(Debug, Clone, Default)]
pub struct Party {
    /// The workload, where the mesh knows one.
    pub workload: Option<Arc<Workload>>,
    /// The identity that was *proved* on this connection, which a claim or an address never is.
    pub identity: Option<Identity>,
}

/// Who talks to whom: everything the metric labels are made from.
///
/// Equality and hash take a workload or service for the same only where it is the same allocation:
/// that costs nothing, and an updated workload, being another one, gets its new labels.
#[derive(Debug, Clone)]
pub struct Flow {
    /// Which end reports.
    pub direction: Direction,
    /// How the connection is protected.
    pub security: SecurityPolicy,
    /// The client.
    pub source: Party,
    /// The server.
    pub destination: Party,
    /// The service asked for, if the destination was one.
    pub service: Option<Arc<Service>>,
}

impl Flow {
    /// A flow of which nothing else is known yet.
    #[must_use]
    pub fn new(direction: Direction) -> Self {
        Self {
            direction,
            security: SecurityPolicy::default(),
            source: Party::default(),
            destination: Party::default(),
            service: None,
        }
    }

    fn key(&self) -> impl PartialEq + Hash + '_ {
        (
            (self.direction, self.security, self.service.as_ref().map(Arc::as_ptr)),
            (self.source.workload.as_ref().map(Arc::as_ptr), &self.source.identity),
            (self.destination.workload.as_ref().map(Arc::as_ptr), &self.destination.identity),
        )
    }
}

impl PartialEq for Flow {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Flow {}

impl Hash for Flow {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

/// The addresses of a connection, for the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// The client's.
    pub source: PeerAddr,
    /// The address this hop goes to: outbound, the one we connected to (port 15008 when tunnelled);
    /// inbound, the one we accepted on. Bare, since it is a different kind of address each time.
    pub destination: Option<SocketAddr>,
    /// What the tunnel was asked for.
    pub tunnel_target: Option<TunnelTarget>,
}

/// Bytes a connection has carried so far, as seen from its client in either direction, so that
/// whoever copies bytes need not know which end reports.
#[derive(Debug, Default)]
pub struct Bytes {
    /// From the client to the server.
    pub sent: AtomicU64,
    /// From the server to the client.
    pub received: AtomicU64,
}
