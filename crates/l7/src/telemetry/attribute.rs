//! What can be told of a request or a connection at its end.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Duration;

use ambit_model::Identity;
use http::{HeaderMap, HeaderName};

/// A request or a connection at its end. A connection has no method, no status and no headers.
#[derive(Debug, Clone)]
pub struct Ended<'a> {
    /// When it began, as logs write it.
    pub began: &'a str,
    /// How long it took.
    pub duration: Duration,
    /// Time from its going on to the head of the answer.
    pub upstream_time: Option<Duration>,
    /// The method.
    pub method: &'a str,
    /// The path and query, as the client sent them.
    pub path: &'a str,
    /// `HTTP/1.1`.
    pub protocol: &'a str,
    /// The authority, as the client sent it.
    pub authority: &'a str,
    /// Headers as the client sent them, and `x-request-id`.
    pub request_headers: &'a HeaderMap,
    /// Headers of the answer.
    pub response_headers: &'a HeaderMap,
    /// Trailers of the answer.
    pub response_trailers: &'a HeaderMap,
    /// The status; none where the client left before there was one.
    pub status: Option<u16>,
    /// gRPC's own.
    pub grpc_status: Option<u16>,
    /// Response flags.
    pub flags: &'a str,
    /// Why the waypoint itself answered.
    pub details: &'a str,
    /// Bytes of the request's body, or from the client.
    pub received: u64,
    /// Bytes of the answer's body, or to the client.
    pub sent: u64,
    /// The endpoint.
    pub upstream_host: Option<&'a str>,
    /// The backend.
    pub upstream_cluster: Option<&'a str>,
    /// Why no connection to the endpoint came about.
    pub upstream_failure: Option<&'a str>,
    /// The rule that decided.
    pub route: Option<&'a str>,
    /// The client's address.
    pub client: SocketAddr,
    /// The address it asked for.
    pub asked: SocketAddr,
    /// The name in its TLS hello.
    pub server_name: Option<&'a str>,
    /// Who it is.
    pub client_identity: Option<&'a Identity>,
    /// Who the waypoint is.
    pub own_identity: &'a Identity,
    /// The trace, where there is one.
    pub trace_id: Option<&'a str>,
}

/// Something of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of `Ended`, one by one, and parts of them")]
pub enum Attribute {
    Began,
    Duration,
    UpstreamTime,
    Method,
    Path,
    PathWithoutQuery,
    Query,
    Scheme,
    Protocol,
    Authority,
    RequestHeader(HeaderName),
    ResponseHeader(HeaderName),
    ResponseTrailer(HeaderName),
    Status,
    GrpcStatus,
    Flags,
    Details,
    Received,
    Sent,
    UpstreamHost,
    UpstreamCluster,
    UpstreamFailure,
    Route,
    ClientAddress,
    ClientIp,
    ClientPort,
    AskedAddress,
    AskedIp,
    AskedPort,
    ServerName,
    ClientIdentity,
    OwnIdentity,
    IsMutualTls,
    TraceId,
    /// What other proxies know and this one does not: never there.
    Unknown,
}

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// A text.
    Text(Cow<'a, str>),
    /// A number.
    Number(i64),
    /// Yes or no.
    Bool(bool),
}

impl Attribute {
    /// What it says, where there is anything. What is empty is not there.
    #[must_use]
    pub fn of<'a>(&self, ended: &Ended<'a>) -> Option<Value<'a>> {
        let text = |text: &'a str| (!text.is_empty()).then_some(Value::Text(Cow::Borrowed(text)));
        let owned = |text: String| Some(Value::Text(Cow::Owned(text)));
        let number = |number: u64| Some(Value::Number(i64::try_from(number).unwrap_or(i64::MAX)));
        let millis = |time: Duration| number(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        match self {
            Self::Began => text(ended.began),
            Self::Duration => millis(ended.duration),
            Self::UpstreamTime => ended.upstream_time.and_then(millis),
            Self::Method => text(ended.method),
            Self::Path => text(ended.path),
            Self::PathWithoutQuery => text(ended.path.split_once('?').map_or(ended.path, |(path, _)| path)),
            Self::Query => text(ended.path.split_once('?').map_or("", |(_, query)| query)),
            Self::Scheme => text(if ended.method.is_empty() { "" } else { "http" }),
            Self::Protocol => text(ended.protocol),
            Self::Authority => text(ended.authority),
            Self::RequestHeader(name) => header(ended.request_headers, name),
            Self::ResponseHeader(name) => header(ended.response_headers, name),
            Self::ResponseTrailer(name) => header(ended.response_trailers, name),
            Self::Status => ended.status.and_then(|status| number(status.into())),
            Self::GrpcStatus => ended.grpc_status.and_then(|status| number(status.into())),
            Self::Flags => text(ended.flags).filter(|_| ended.flags != "-"),
            Self::Details => text(ended.details),
            Self::Received => number(ended.received),
            Self::Sent => number(ended.sent),
            Self::UpstreamHost => ended.upstream_host.and_then(text),
            Self::UpstreamCluster => ended.upstream_cluster.and_then(text),
            Self::UpstreamFailure => ended.upstream_failure.and_then(text),
            Self::Route => ended.route.and_then(text),
            Self::ClientAddress => owned(ended.client.to_string()),
            Self::ClientIp => owned(ended.client.ip().to_string()),
            Self::ClientPort => number(ended.client.port().into()),
            Self::AskedAddress => owned(ended.asked.to_string()),
            Self::AskedIp => owned(ended.asked.ip().to_string()),
            Self::AskedPort => number(ended.asked.port().into()),
            Self::ServerName => ended.server_name.and_then(text),
            Self::ClientIdentity => ended.client_identity.and_then(|identity| owned(identity.to_string())),
            Self::OwnIdentity => owned(ended.own_identity.to_string()),
            Self::IsMutualTls => Some(Value::Bool(ended.client_identity.is_some())),
            Self::TraceId => ended.trace_id.and_then(text),
            Self::Unknown => None,
        }
    }
}

/// The values of a header, with commas between.
fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Value<'a>> {
    let mut all = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let first = all.next()?;
    Some(Value::Text(all.fold(first, |so_far, next| Cow::Owned(format!("{so_far},{next}")))))
}

impl std::fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => write!(f, "{number}"),
            Self::Bool(is) => write!(f, "{is}"),
        }
    }
}
