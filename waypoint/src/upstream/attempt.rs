//! One attempt: a connection, the request, the head of an answer.

use std::error::Error;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ambit_balance::Outcome;
use ambit_l7::TlsMode;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::TrySendError;
use tokio::sync::oneshot;
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::groups::Backend;
use super::pool::{Asked, Host, Http1Lease, Http2Lease, PoolError, Switched};
use super::replay::{AttemptBody, Replay};
use super::target::Target;
use super::tls::Inside;
use crate::failure::error_chain;
use crate::plan::{FailureReason, Plan, Speak};
use crate::worker::Worker;

/// Longest body of a discarded answer that is read for its connection's sake: reading more costs more than
/// another connection.
const MAX_DRAINED: u64 = 16 << 10;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// Why an attempt has no answer.
#[derive(Debug)]
pub(super) enum AttemptError {
    /// There is nobody to ask.
    NoEndpoint(FailureReason),
    /// A limit.
    Overflow { what: &'static str },
    /// No connection.
    Connect { detail: String },
    /// The upstream says that it did not look at the request.
    Refused { detail: String },
    /// The upstream hung up.
    Reset { is_sent: bool, detail: String },
    /// The upstream broke the protocol.
    Protocol { detail: String },
    /// No answer in the time of one attempt.
    PerTryTimeout,
    /// The request broke off.
    ClientGone,
}

impl AttemptError {
    /// As outlier detection sees it.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::Connect { .. } | Self::Refused { .. } | Self::Reset { .. } | Self::Protocol { .. } => {
                Some(Outcome::ConnectFailed)
            }
            Self::PerTryTimeout => Some(Outcome::TimedOut),
            Self::NoEndpoint(_) | Self::Overflow { .. } | Self::ClientGone => None,
        }
    }

    /// As the client hears of it.
    pub(super) fn reason(self, endpoint: String, destination: impl FnOnce() -> String) -> FailureReason {
        match self {
            Self::NoEndpoint(reason) => reason,
            Self::Overflow { what } => FailureReason::Overflow { what, destination: destination() },
            Self::Connect { detail } => FailureReason::Connect { endpoint, detail },
            Self::Refused { detail } | Self::Reset { detail, .. } => FailureReason::Reset { endpoint, detail },
            Self::Protocol { detail } => FailureReason::Protocol { endpoint, detail },
            Self::PerTryTimeout => FailureReason::TimedOut,
            Self::ClientGone => FailureReason::ClientGone,
        }
    }
}

/// A connection for one request.
pub(super) enum Lease {
    Http1(Http1Lease),
    Http2(#[expect(dead_code, reason = "held: the stream counts as long as it is used")] Http2Lease),
}

/// The head of an answer, and what its body comes on.
pub(super) struct Answered {
    pub(super) response: Response<Incoming>,
    pub(super) lease: Lease,
    /// The connection itself, once its protocol is switched.
    pub(super) switched: Option<oneshot::Receiver<Switched>>,
}

impl Answered {
    fn is_switched(&self) -> bool {
        self.response.status() == StatusCode::SWITCHING_PROTOCOLS
    }

    /// Makes no use of the answer. Its connection serves others where little more comes on it.
    pub(super) fn discard(self, request: &Replay) {
        let body = self.response.into_body();
        let Lease::Http1(lease) = self.lease else { return };
        if !request.is_sent() {
            return;
        }
        if body.is_end_stream() {
            lease.give_back();
        } else if body.size_hint().upper().is_some_and(|most| most <= MAX_DRAINED) {
            spawn_local(async move {
                if let Ok(Ok(_)) = timeout(DRAIN_TIMEOUT, body.collect()).await {
                    lease.give_back();
                }
            });
        }
    }
}

/// What is asked, in each attempt anew.
pub(super) struct Question<'a> {
    pub(super) head: &'a Parts,
    pub(super) body: &'a Replay,
    pub(super) speak: Speak,
    /// Whether the connection is to be switched to another protocol.
    pub(super) switches: bool,
    /// The host asked for.
    pub(super) server_name: Option<&'a Arc<str>>,
}

impl Question<'_> {
    fn request(&self) -> Request<AttemptBody> {
        Request::from_parts(self.head.clone(), self.body.attempt())
    }

    /// Whether a connection that ended without an answer may have done anything that counts.
    fn may_be_asked_twice(&self) -> bool {
        let is_idempotent = matches!(
            self.head.method,
            Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
        );
        is_idempotent && self.body.may_repeat()
    }
}

/// Makes an attempt. A kept connection that turns out to have been closed meanwhile is none: another takes its
/// place where the request can be sent again.
pub(super) async fn attempt(
    worker: &Rc<Worker>,
    plan: &Plan<'_>,
    target: &Target,
    backend: Option<&Arc<Backend>>,
    question: &Question<'_>,
) -> Result<Answered, AttemptError> {
    let tls_name = question.server_name.filter(|_| {
        matches!(target.policy.tls.mode, TlsMode::Simple | TlsMode::Mutual) && target.policy.tls.server_name.is_none()
    });
    let inside = match question.speak {
        Speak::Http1 => Inside::Http1,
        Speak::Http2 => Inside::Http2,
    };
    let host = worker.upstreams.pools.host(worker, &target.key(plan, question.speak, tls_name));
    let limits = backend.map(|backend| backend.group.limits());
    let wanted = || target.wanted(plan, tls_name, inside);
    let asked = Asked { worker, limits, wanted: &wanted };
    let mut request = question.request();
    let mut was_stale = false;
    loop {
        let (mut lost, is_reused) = match ask(&host, &asked, question, request).await? {
            // What follows would be bytes that nobody judges.
            Ok(answered) if answered.is_switched() && !question.switches => {
                return Err(AttemptError::Protocol { detail: "it switched to a protocol nobody asked for".to_owned() });
            }
            Ok(answered) => return Ok(answered),
            Err(lost) => lost,
        };
        if question.body.is_broken() {
            return Err(AttemptError::ClientGone);
        }
        request = match lost.take_message() {
            Some(unsent) if is_reused => unsent,
            None if is_reused && !was_stale && question.may_be_asked_twice() && hung_up(lost.error()) => {
                was_stale = true;
                question.request()
            }
            unsent => return Err(failure(&lost.into_error(), unsent.is_none())),
        };
    }
}

type Lost = (TrySendError<Request<AttemptBody>>, bool);

/// Sends the request on a connection of the pool.
async fn ask(
    host: &Rc<Host>,
    asked: &Asked<'_>,
    question: &Question<'_>,
    request: Request<AttemptBody>,
) -> Result<Result<Answered, Lost>, AttemptError> {
    let no_connection = |error| match error {
        PoolError::Overflow(what) => AttemptError::Overflow { what },
        PoolError::Dial(detail) => AttemptError::Connect { detail: detail.to_string() },
    };
    match question.speak {
        Speak::Http1 => {
            let mut lease = host.http1(asked).await.map_err(no_connection)?;
            let switched = question.switches.then(|| lease.switched());
            Ok(match lease.send(request).await {
                Ok(response) => Ok(Answered { response, lease: Lease::Http1(lease), switched }),
                Err(error) => Err((error, lease.is_reused)),
            })
        }
        Speak::Http2 => {
            let mut lease = host.http2(asked).await.map_err(no_connection)?;
            Ok(match lease.send(request).await {
                Ok(response) => Ok(Answered { response, lease: Lease::Http2(lease), switched: None }),
                Err(error) => Err((error, lease.is_reused)),
            })
        }
    }
}

/// Whether a connection just ended.
fn hung_up(error: &hyper::Error) -> bool {
    error.is_incomplete_message() || error.is_closed() || error.is_canceled() || io_of(error).is_some()
}

fn failure(error: &hyper::Error, is_sent: bool) -> AttemptError {
    let detail = error_chain(error);
    if let Some(h2) = find::<h2::Error>(error) {
        // A stream that is cut off by GOAWAY was not looked at, by definition (RFC 9113 §6.8).
        return if h2.reason() == Some(h2::Reason::REFUSED_STREAM) || h2.is_go_away() && h2.is_remote() {
            AttemptError::Refused { detail }
        } else if h2.is_library() && h2.is_go_away() {
            AttemptError::Protocol { detail }
        } else {
            AttemptError::Reset { is_sent, detail }
        };
    }
    if error.is_parse() { AttemptError::Protocol { detail } } else { AttemptError::Reset { is_sent, detail } }
}

fn io_of(error: &hyper::Error) -> Option<&std::io::Error> {
    find(error)
}

/// A cause among an error's causes.
fn find<E: Error + 'static>(error: &hyper::Error) -> Option<&E> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}
