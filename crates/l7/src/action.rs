//! What happens to a request.

use std::sync::Arc;
use std::time::Duration;

use ambit_model::ServiceKey;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode};

use crate::{Pattern, Regex};

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpAction {
    /// It goes on to a backend.
    Forward(Forward),
    /// The client is sent elsewhere.
    Redirect(Redirect),
    /// The waypoint answers.
    Respond(DirectResponse),
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// One is chosen by weight. Where all weights are 0, or there is none, the answer is 500.
    pub backends: Vec<BackendRef>,
    /// What is written over.
    pub rewrite: Rewrite,
    /// Whether the authority is rewritten to the backend's host name (never where `rewrite` has one).
    pub rewrite_to_backend: bool,
}

/// A backend, its share, and what is its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendRef {
    /// Its share of the sum of weights.
    pub weight: u32,
    /// Where to.
    pub backend: Backend,
    /// Changes to the request's headers, after those of the rule.
    pub request_headers: HeaderChanges,
    /// Changes to the response's headers, before those of the rule.
    pub response_headers: HeaderChanges,
    /// What is written over for this backend, in place of the rule's.
    pub rewrite: Option<Rewrite>,
    /// Requests copied to other backends when this one is chosen.
    pub mirrors: Vec<Mirror>,
}

/// Where something goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Backend {
    /// A service the mesh knows.
    Service {
        /// Which.
        service: ServiceKey,
        /// Its port.
        port: u16,
        /// Which of its endpoints; none: all.
        subset: Option<Arc<str>>,
    },
    /// A reference to what does not exist or may not be used: requests are answered with this status,
    /// connections are refused.
    Invalid {
        /// The answer: 500 by the Gateway API, 503 by VirtualService.
        status: StatusCode,
        /// What was asked for, for the log.
        reference: Arc<str>,
    },
}

/// Changes to headers: removals, then what is set, then what is added.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderChanges {
    /// Written over, or made.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Added to what there is.
    pub add: Vec<(HeaderName, HeaderValue)>,
    /// Taken away.
    pub remove: Vec<HeaderName>,
}

/// What of a request is written over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rewrite {
    /// The authority.
    pub authority: Option<Arc<str>>,
    /// The path.
    pub path: Option<PathRewrite>,
}

/// How a path is written over; its query stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathRewrite {
    /// All of it.
    Full(Arc<str>),
    /// The prefix that the rule matched. The Gateway API's prefixes are whole elements and slashes are joined;
    /// VirtualService's are texts.
    Prefix(Arc<str>),
    /// What an expression finds in it; `\1` is its first group.
    Regex {
        /// The expression.
        regex: Regex,
        /// What is put in.
        replacement: Arc<str>,
    },
}

/// Where the client is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: StatusCode,
    /// The scheme; none: the request's.
    pub scheme: Option<Arc<str>>,
    /// The authority's host; none: the request's.
    pub host: Option<Arc<str>>,
    /// The authority's port.
    pub port: RedirectPort,
    /// The path; none: the request's.
    pub path: Option<PathRewrite>,
}

/// Which port a redirect names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RedirectPort {
    /// The one of the request's authority, unless the scheme changes: then none.
    #[default]
    AsAsked,
    /// The port the request came to.
    FromRequest,
    /// None: the scheme's own.
    OfScheme,
    /// This one; left out where it is the scheme's own.
    Number(u16),
}

/// An answer of the waypoint's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectResponse {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Bytes,
}

/// A share of requests, in parts of a million.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fraction(u32);

impl Fraction {
    /// All of them.
    pub const ALL: Self = Self(1_000_000);

    /// So many of a million; more counts as all.
    #[must_use]
    pub fn of_million(parts: u32) -> Self {
        Self(parts.min(1_000_000))
    }

    /// Whether a number drawn evenly from `0..1_000_000` is within.
    #[must_use]
    pub fn takes(self, drawn: u32) -> bool {
        drawn < self.0
    }
}

/// A copy of requests to another backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// Where to.
    pub backend: Backend,
    /// Of how many requests.
    pub fraction: Fraction,
}

/// Faults put in on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fault {
    /// Before the request goes on.
    pub delay: Option<Delay>,
    /// In its place; after the delay, where there are both.
    pub abort: Option<Abort>,
}

/// A delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delay {
    /// How long.
    pub duration: Duration,
    /// Of how many requests.
    pub fraction: Fraction,
}

/// An abort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abort {
    /// The answer.
    pub with: AbortWith,
    /// Of how many requests.
    pub fraction: Fraction,
}

/// What an aborted request is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AbortWith {
    /// An HTTP status.
    Http(StatusCode),
    /// A gRPC status in the answer's headers.
    Grpc(u8),
}

/// Whether and how a failed attempt is made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Most attempts after the first.
    pub attempts: u32,
    /// Time for each attempt; none: the rule's timeout bounds all of them together.
    pub per_try_timeout: Option<Duration>,
    /// On what.
    pub on: RetryOn,
    /// Whether endpoints of other localities may be tried from the first retry on.
    pub remote_localities: bool,
    /// Whether endpoints already tried are tried again last (default), or alike.
    pub avoid_previous_hosts: bool,
    /// Between attempts, doubled with each up to ten times, with jitter; none: 25 ms.
    pub backoff: Option<Duration>,
}

/// The failures after which an attempt is made again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RetryOn {
    /// No connection came about.
    pub connect_failure: bool,
    /// The upstream refused the stream before it looked at it.
    pub refused_stream: bool,
    /// The upstream hung up before an answer, or none came in time (`reset`).
    pub reset: bool,
    /// The same, but only where nothing of the request was sent (`reset-before-request`).
    pub reset_before_request: bool,
    /// Any 5xx, and no answer at all (`5xx`).
    pub server_error: bool,
    /// 502, 503 and 504 (`gateway-error`).
    pub gateway_error: bool,
    /// 409 (`retriable-4xx`).
    pub retriable_4xx: bool,
    /// `x-envoy-ratelimited` is in the answer (`envoy-ratelimited`).
    pub rate_limited: bool,
    /// Statuses named, with or without `retriable-status-codes`.
    pub statuses: Vec<StatusCode>,
    /// Headers of the answer that ask for it (`retriable-headers`).
    pub headers: Vec<HeaderName>,
    /// gRPC statuses in the headers of the answer: cancelled 1, deadline-exceeded 4, resource-exhausted 8,
    /// internal 13, unavailable 14.
    pub grpc: Vec<u8>,
}

/// What browsers of other origins may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// Origins, ORed.
    pub origins: Vec<Pattern>,
    /// Methods; empty with `any_method`: all.
    pub methods: Vec<Method>,
    /// Headers of requests; `*` is one of them where any may be sent.
    pub headers: Vec<Arc<str>>,
    /// Headers of answers that scripts may read.
    pub expose: Vec<Arc<str>>,
    /// How long an answer may be remembered.
    pub max_age: Option<Duration>,
    /// Whether cookies and authorization may be sent.
    pub credentials: bool,
    /// Whether any method may be used (`*`).
    pub any_method: bool,
    /// Whether a preflight of an origin that is not allowed goes on to the backend (default), or is answered.
    pub forward_unmatched: bool,
}
