//! What the steps before `upstream` decided, and what it tells those after it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ambit_l7::{Retry, TrafficPolicy};
use ambit_model::{Identity, PeerAddr, Service, ServiceKey, Workload};
use ambit_telemetry::{ResponseFlag, ResponseFlags};
use http::{Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::body::Body;
use crate::in_force::InForce;

/// Who asks, as its certificate and its agent vouch for it.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    /// Who it is: proved.
    pub(crate) identity: Identity,
    /// Where it is.
    pub(crate) address: PeerAddr,
    /// Its workload, where the mesh knows one at that address with that identity.
    pub(crate) workload: Option<Arc<Workload>>,
}

/// Where something is to go.
#[derive(Debug, Clone)]
pub(crate) enum Destination {
    /// To one of a service's endpoints.
    Service {
        /// Which.
        service: Arc<Service>,
        /// Its port.
        port: u16,
        /// Which of its endpoints; none: all.
        subset: Option<Arc<str>>,
    },
    /// To this workload and no other: it was asked for by its own address.
    Workload {
        /// Which.
        workload: Arc<Workload>,
        /// Its address and port.
        address: SocketAddr,
    },
}

/// What a backend is spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Speak {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
}

/// Everything `upstream` needs to know of a request or a connection.
#[derive(Debug, Clone)]
pub(crate) struct Plan<'a> {
    /// What is in force: one for the whole of a decision.
    pub(crate) in_force: &'a Arc<InForce>,
    /// Who asks.
    pub(crate) client: &'a Client,
    /// The address it asked for: its family is preferred, and `PASSTHROUGH` goes there.
    pub(crate) asked: SocketAddr,
    /// Where to.
    pub(crate) destination: Destination,
    /// How the destination's endpoints are used.
    pub(crate) policy: Arc<TrafficPolicy>,
    /// When all attempts together must have an answer (its head); `None`: never.
    pub(crate) deadline: Option<Instant>,
    /// How failures are tried again; `None`: as the mesh does by default.
    pub(crate) retry: Option<&'a Retry>,
    /// What the backend is spoken to in; not looked at for connections.
    pub(crate) speak: Speak,
}

/// What there was on the way to an answer, or to none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Happened {
    /// Who answered, or was tried last.
    pub(crate) endpoint: Option<Arc<Workload>>,
    /// The address it was tried at.
    pub(crate) address: Option<SocketAddr>,
    /// Attempts made, the first one included.
    pub(crate) attempts: u32,
    /// What went wrong.
    pub(crate) flags: ResponseFlags,
}

/// What a backend answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The answer. Hop-by-hop headers are still there.
    pub(crate) response: Response<Body>,
    /// The connection itself, where the backend switched protocols (101, or 2xx to CONNECT).
    pub(crate) upgraded: Option<Box<dyn ByteStream>>,
    /// How it came about.
    pub(crate) happened: Happened,
}

/// A connection to an endpoint.
#[derive(Debug)]
pub(crate) struct Connected {
    /// The connection. Dropped before both sides have ended it, it is reset.
    pub(crate) stream: Box<dyn ByteStream>,
    /// How it came about.
    pub(crate) happened: Happened,
}

/// A byte stream each way.
pub(crate) trait ByteStream: AsyncRead + AsyncWrite + Unpin + std::fmt::Debug + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + std::fmt::Debug + 'static> ByteStream for T {}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Why.
    pub(crate) reason: FailureReason,
    /// How it came about. Its flags do not yet have the reason's own.
    pub(crate) happened: Happened,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FailureReason {
    /// The destination does not have this port, or the subset does not exist.
    #[error("{destination} does not exist")]
    NoSuchDestination {
        /// What was looked for.
        destination: String,
    },
    /// No endpoint may be chosen.
    #[error("{destination} has no healthy endpoint")]
    NoHealthyEndpoint {
        /// Of what.
        destination: String,
    },
    /// Nothing was found for the host name by which its endpoints are known.
    #[error("{destination}: no address is known of {host}: {}", if *.is_looked_up { "there is no such name" } else { "nobody could look it up" })]
    NoSuchName {
        /// Whose endpoints.
        destination: String,
        /// The name.
        host: Arc<str>,
        /// Whether a name server answered.
        is_looked_up: bool,
    },
    /// Its endpoints are another service's, which would be passed over: see [`InForce::passed_over`].
    #[error("{destination} leads to {address}, an address of service {owner}")]
    Aliased {
        /// Whose endpoints.
        destination: String,
        /// Where one of them is.
        address: IpAddr,
        /// Who is there.
        owner: ServiceKey,
    },
    /// A limit of the connection pool.
    #[error("too many {what} to {destination}")]
    Overflow {
        /// Of what.
        what: &'static str,
        /// To what.
        destination: String,
    },
    /// No connection came about.
    #[error("cannot connect to {endpoint}: {detail}")]
    Connect {
        /// To whom.
        endpoint: String,
        /// Why not.
        detail: String,
    },
    /// The upstream hung up before it answered.
    #[error("{endpoint} hung up before it answered: {detail}")]
    Reset {
        /// Who.
        endpoint: String,
        /// How.
        detail: String,
    },
    /// The upstream broke the protocol.
    #[error("{endpoint} broke the protocol: {detail}")]
    Protocol {
        /// Who.
        endpoint: String,
        /// How.
        detail: String,
    },
    /// No answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// The client's request broke off.
    #[error("the client gave up")]
    ClientGone,
}

impl FailureReason {
    /// The answer the client gets.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NoSuchDestination { .. }
            | Self::NoHealthyEndpoint { .. }
            | Self::NoSuchName { .. }
            | Self::Aliased { .. }
            | Self::Overflow { .. }
            | Self::Connect { .. }
            | Self::Reset { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Protocol { .. } => StatusCode::BAD_GATEWAY,
            Self::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            Self::ClientGone => StatusCode::BAD_REQUEST,
        }
    }

    /// Its letters in logs and metrics.
    pub(crate) fn flag(&self) -> ResponseFlag {
        match self {
            Self::NoSuchDestination { .. } => ResponseFlag::NoCluster,
            Self::NoHealthyEndpoint { .. } | Self::NoSuchName { .. } | Self::Aliased { .. } => {
                ResponseFlag::NoHealthyUpstream
            }
            Self::Overflow { .. } => ResponseFlag::UpstreamOverflow,
            Self::Connect { .. } => ResponseFlag::UpstreamConnectionFailure,
            Self::Reset { .. } => ResponseFlag::UpstreamConnectionTermination,
            Self::Protocol { .. } => ResponseFlag::UpstreamProtocolError,
            Self::TimedOut => ResponseFlag::UpstreamRequestTimeout,
            Self::ClientGone => ResponseFlag::DownstreamConnectionTermination,
        }
    }
}
