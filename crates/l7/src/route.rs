//! Rules: what is matched, and what happens then. The first rule that matches decides.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::action::{Backend, Cors, Fault, HeaderChanges, HttpAction, Mirror, Retry};
use crate::{HttpMatch, Origin, Pattern};

/// A rule for requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRule {
    /// Where it is written.
    pub origin: Origin,
    /// ORed; without any it matches every request.
    pub matches: Vec<HttpMatch>,
    /// What happens to a request.
    pub action: HttpAction,
    /// From the request's arrival to the end of the response; none: as long as it takes.
    pub timeout: Option<Duration>,
    /// Whether and how failures are tried again; none: as the mesh does by default.
    pub retry: Option<Retry>,
    /// Faults put in.
    pub fault: Fault,
    /// Copies of requests, whose answers nobody sees.
    pub mirrors: Vec<Mirror>,
    /// What browsers of other origins may do.
    pub cors: Option<Cors>,
    /// Changes to the request's headers, before those of the chosen backend.
    pub request_headers: HeaderChanges,
    /// Changes to the response's headers, after those of the chosen backend.
    pub response_headers: HeaderChanges,
}

/// A rule for connections of TLS that are passed through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsRule {
    /// Where it is written.
    pub origin: Origin,
    /// ORed.
    pub matches: Vec<TlsMatch>,
    /// One is chosen by weight.
    pub backends: Vec<Weighted>,
}

/// Conditions on a TLS connection, ANDed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsMatch {
    /// Server names, ORed, in lower case: exact, or `Suffix(".example.com")` for `*.example.com`, or `Present`
    /// for `*`. Without any, every server name matches and so does its absence.
    pub server_names: Vec<Pattern>,
    /// What is visible of the connection.
    pub connection: L4Match,
}

/// A rule for connections of which nothing is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpRule {
    /// Where it is written.
    pub origin: Origin,
    /// ORed; without any it matches every connection.
    pub matches: Vec<L4Match>,
    /// One is chosen by weight.
    pub backends: Vec<Weighted>,
}

/// Conditions on a connection, ANDed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct L4Match {
    /// The address asked for, ORed.
    pub destination_subnets: Vec<IpNet>,
    /// The service's port.
    pub port: Option<u16>,
    /// Who asks.
    pub source: SourceMatch,
}

/// Conditions on who asks, ANDed. It is the client that is judged, as its certificate and address prove it,
/// never a proxy on the way.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceMatch {
    /// Labels it must have, all of them.
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// Its namespace.
    pub namespace: Option<Arc<str>>,
    /// Its address, ORed.
    pub subnets: Vec<IpNet>,
}

/// A backend and its share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weighted {
    /// Its share of the sum of weights.
    pub weight: u32,
    /// Where to.
    pub backend: Backend,
}
