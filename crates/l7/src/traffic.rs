//! How a service's endpoints are used: DestinationRule, as it is in force for one service.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, StatusCode};

use crate::{CredentialKey, Origin};

/// Everything about the use of one service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Where it is written; none for the mesh's defaults.
    pub origin: Option<Origin>,
    /// For the service as a whole.
    pub policy: Arc<TrafficPolicy>,
    /// For one of its ports, complete: what the port does not say is the service's where users expect that, and
    /// already filled in.
    pub ports: BTreeMap<u16, Arc<TrafficPolicy>>,
    /// Its subsets.
    pub subsets: BTreeMap<Arc<str>, Subset>,
}

/// Some of a service's endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subset {
    /// Labels an endpoint must have, all of them.
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// Complete, as for the service.
    pub policy: Arc<TrafficPolicy>,
    /// Complete, as for the service's ports.
    pub ports: BTreeMap<u16, Arc<TrafficPolicy>>,
}

impl Traffic {
    /// What is in force for a port of the service, or of one of its subsets.
    #[must_use]
    pub fn policy(&self, port: u16, subset: Option<&str>) -> &Arc<TrafficPolicy> {
        match subset.and_then(|name| self.subsets.get(name)) {
            Some(subset) => subset.ports.get(&port).unwrap_or(&subset.policy),
            None => self.ports.get(&port).unwrap_or(&self.policy),
        }
    }
}

/// How endpoints are used.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrafficPolicy {
    /// Which endpoint.
    pub load_balancing: LoadBalancing,
    /// Preference of near endpoints; none: only what the Service itself says.
    pub locality: Option<LocalityBalancing>,
    /// What the Service itself says of that.
    pub nearness: Nearness,
    /// How endpoints that have just come are spared.
    pub warmup: Option<Warmup>,
    /// How many connections and requests.
    pub pool: ConnectionPool,
    /// Which endpoints are left out for a while.
    pub outliers: Option<OutlierDetection>,
    /// TLS of the connection to the application, inside the tunnel.
    pub tls: Tls,
    /// A header in front of each connection, inside the tunnel.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// How much of the traffic may be retries.
    pub retry_budget: Option<RetryBudget>,
    /// Connections are made by CONNECT to this target through the endpoint (`tunnel`).
    pub connect_through: Option<(Arc<str>, u16)>,
}

/// Which endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LoadBalancing {
    /// The less busy of two drawn at random.
    #[default]
    LeastRequest,
    /// One after the other.
    RoundRobin,
    /// Any.
    Random,
    /// The address the client asked for, untouched.
    Passthrough,
    /// The same for equal keys.
    ConsistentHash(ConsistentHash),
}

/// The same endpoint for equal keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsistentHash {
    /// What of the request is the key.
    pub key: HashKey,
    /// How keys find endpoints.
    pub ring: HashRing,
}

/// What of a request is the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashKey {
    /// A header.
    Header(HeaderName),
    /// A cookie, which is made where the client has none and there is a time to live.
    Cookie(Cookie),
    /// The client's address: the client's, not that of a proxy on the way.
    SourceIp,
    /// A parameter of the query.
    Query(Arc<str>),
}

/// A cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cookie {
    /// Its name.
    pub name: Arc<str>,
    /// Its path.
    pub path: Option<Arc<str>>,
    /// How long it lasts; zero: as long as the browser; none: no cookie is made.
    pub ttl: Option<Duration>,
    /// More attributes, as `SameSite=Strict`.
    pub attributes: Vec<(Arc<str>, Arc<str>)>,
}

/// How keys find endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HashRing {
    /// A ring.
    Ring {
        /// Least number of points on it.
        minimum_size: u32,
    },
    /// Maglev's table.
    Maglev {
        /// Its size, a prime number.
        table_size: u32,
    },
}

/// Which endpoints a Service would have: near to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Nearness {
    /// All alike.
    #[default]
    Any,
    /// Of its zone first, then of its region.
    PreferZone,
    /// Of its node first, then of its zone, then of its region.
    PreferNode,
    /// Of its node only.
    SameNode,
}

/// Preference of near endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LocalityBalancing {
    /// By the client's locality, how traffic is split; the most specific that matches counts.
    pub distribute: Vec<LocalitySplit>,
    /// Where traffic of a region goes when the region's endpoints fail.
    pub failover: Vec<Failover>,
    /// Labels which must be equal with the client's, in this order of importance. A value given (`key=value`)
    /// stands in place of the client's.
    pub failover_priority: Vec<(Arc<str>, Option<Arc<str>>)>,
}

/// How traffic from a locality is split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalitySplit {
    /// The client's.
    pub from: Locality,
    /// The endpoints' and their shares.
    pub to: Vec<(Locality, u32)>,
}

/// A region, zone and sub-zone; `*` or none is any.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Locality {
    /// Region.
    pub region: Option<Arc<str>>,
    /// Zone.
    pub zone: Option<Arc<str>>,
    /// Part of a zone.
    pub subzone: Option<Arc<str>>,
}

/// Where traffic of a region goes when its endpoints fail.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Failover {
    /// The region that fails.
    pub from: Arc<str>,
    /// The next one.
    pub to: Arc<str>,
}

/// How endpoints that have just come are spared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Warmup {
    /// How long.
    pub duration: Duration,
    /// Least share of its full weight, in percent.
    pub minimum_percent: u8,
    /// How its share grows.
    pub aggression: Aggression,
}

/// How the share of a new endpoint grows: time to the power of 1/aggression. In thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Aggression(pub u32);

impl Default for Aggression {
    fn default() -> Self {
        Self(1000)
    }
}

/// How many connections and requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConnectionPool {
    /// Of connections.
    pub tcp: TcpPool,
    /// Of requests.
    pub http: HttpPool,
}

/// Limits of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TcpPool {
    /// Most connections to the service.
    pub max_connections: Option<u32>,
    /// Longest wait for a connection; none: the mesh's.
    pub connect_timeout: Option<Duration>,
    /// Longest life of a connection.
    pub max_duration: Option<Duration>,
    /// Longest time without bytes either way, of connections that carry no requests.
    pub idle_timeout: Option<Duration>,
    /// TCP's keep-alive.
    pub keepalive: Option<Keepalive>,
}

/// TCP's keep-alive; what is not said is the kernel's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Keepalive {
    /// Probes before the peer counts as dead.
    pub probes: Option<u32>,
    /// Silence before the first.
    pub time: Option<Duration>,
    /// Between probes.
    pub interval: Option<Duration>,
}

/// Limits of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HttpPool {
    /// Most requests that wait for a connection (`http1MaxPendingRequests`).
    pub max_pending: Option<u32>,
    /// Most requests at a time (`http2MaxRequests`).
    pub max_requests: Option<u32>,
    /// Most requests a connection serves; 1: no keep-alive.
    pub max_requests_per_connection: Option<u32>,
    /// Most retries at a time.
    pub max_retries: Option<u32>,
    /// How long a connection without requests is kept.
    pub idle_timeout: Option<Duration>,
    /// Whether HTTP/2 is used with backends that were not said to speak it.
    pub upgrade: UpgradePolicy,
    /// Whether the backend is spoken to as the client spoke.
    pub use_client_protocol: bool,
    /// Most streams a connection of HTTP/2.
    pub max_concurrent_streams: Option<u32>,
    /// PINGs of HTTP/2: between them, and how long an answer may take.
    pub http2_keepalive: Option<(Duration, Duration)>,
}

/// Whether HTTP/2 is used with backends that were not said to speak it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum UpgradePolicy {
    /// As the mesh does: no.
    #[default]
    Default,
    /// No.
    DoNotUpgrade,
    /// Yes.
    Upgrade,
}

/// Which endpoints are left out for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutlierDetection {
    /// Whether failures of our own (no connection, no answer in time) are counted apart.
    pub split_local_errors: bool,
    /// Failures of our own in a row; 0: never.
    pub consecutive_local: u32,
    /// 502, 503, 504 in a row, and for TCP failed connections; 0: never.
    pub consecutive_gateway: u32,
    /// Any 5xx in a row; 0: never.
    pub consecutive_5xx: u32,
    /// What counts as an error in place of 5xx (`outlierDetectionHttpErrorCodes`); empty: 5xx.
    pub error_codes: Vec<StatusCode>,
    /// How often ejected endpoints are looked at.
    pub interval: Duration,
    /// How long the first ejection lasts; each further one as much longer.
    pub base_ejection: Duration,
    /// Most endpoints ejected, in percent; one always may be.
    pub max_ejection_percent: u8,
    /// With fewer healthy endpoints than that, in percent, all are used.
    pub min_health_percent: u8,
}

/// TLS of the connection to the application.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// How.
    pub mode: TlsMode,
    /// Names of which the certificate must show one; empty: the server name.
    pub subject_alt_names: Vec<Arc<str>>,
    /// The server name sent; none: the request's authority.
    pub server_name: Option<Arc<str>>,
    /// Whether any certificate will do.
    pub insecure_skip_verify: bool,
    /// Where roots and our certificate are.
    pub credentials: Credentials,
}

/// How the application is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TlsMode {
    /// In plaintext, inside the tunnel.
    #[default]
    Disable,
    /// By TLS.
    Simple,
    /// By TLS, and we show a certificate.
    Mutual,
    /// By TLS with the mesh's own certificates.
    MeshMutual,
}

/// Where roots and our certificate are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Credentials {
    /// The system's roots.
    #[default]
    System,
    /// Files, each of PEM.
    Files {
        /// Our certificate.
        certificate: Option<Arc<str>>,
        /// Its key.
        key: Option<Arc<str>>,
        /// Roots; none: the system's.
        roots: Option<Arc<str>>,
        /// Revocation list.
        revoked: Option<Arc<str>>,
    },
    /// A Secret of the cluster.
    Named {
        /// Its namespace.
        namespace: Arc<str>,
        /// Its name, as users write it in `credentialName`.
        name: Arc<str>,
    },
    /// The authorities that these hold, each by itself (BackendTLSPolicy).
    Authorities(Vec<CredentialKey>),
    /// Roots themselves, in PEM.
    Roots(Arc<str>),
}

/// A header in front of each connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProxyProtocol {
    /// As text.
    V1,
    /// As bytes.
    V2,
}

/// How much of the traffic may be retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryBudget {
    /// Most retries at a time for each million requests at a time.
    pub millionths: u32,
    /// Retries at a time that are always allowed.
    pub minimum: u32,
    /// The time over which requests are counted; none: those under way.
    pub interval: Option<Duration>,
}
