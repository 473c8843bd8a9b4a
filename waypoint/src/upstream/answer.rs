//! The body of an answer, and what is held until its end: the connection, the limits' permits, the endpoint's
//! share of requests under way.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ambit_balance::{Outcome, Permit};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};

use super::attempt::Lease;
use super::replay::Replay;
use super::target::Target;
use crate::body::BodyError;

/// The body of an answer.
pub(super) struct AnswerBody {
    incoming: Incoming,
    held: Option<Held>,
}

/// What is held until the end of an answer.
pub(super) struct Held {
    pub(super) lease: Lease,
    pub(super) request: Replay,
    pub(super) target: Target,
    /// Whether outlier detection waits for the status in the trailers.
    pub(super) reports_trailers: bool,
    pub(super) _permit: Option<Permit>,
}

impl AnswerBody {
    /// Nothing is held where the answer is complete already.
    pub(super) fn new(incoming: Incoming, held: Held) -> Self {
        let mut body = Self { incoming, held: Some(held) };
        if body.incoming.is_end_stream() {
            body.complete(None);
        }
        body
    }

    /// All of it is there.
    fn complete(&mut self, trailers: Option<&HeaderMap>) {
        let Some(held) = self.held.take() else { return };
        if held.reports_trailers {
            held.target.report(Outcome::Status(trailers.map_or(StatusCode::OK, status_in)));
        }
        if !held.request.is_sent() {
            // The backend does not wait for the rest, so neither do we.
            held.request.give_up();
        } else if let Lease::Http1(lease) = held.lease {
            lease.give_back();
        }
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            held.request.give_up();
        }
    }
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match ready!(Pin::new(&mut self.incoming).poll_frame(cx)) {
            Some(Ok(frame)) => {
                if self.incoming.is_end_stream() {
                    self.complete(frame.trailers_ref());
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                if let Some(held) = &self.held
                    && held.reports_trailers
                {
                    held.target.report(Outcome::ConnectFailed);
                }
                Poll::Ready(Some(Err(BodyError::Broken(error))))
            }
            None => {
                self.complete(None);
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// The HTTP status that stands for a gRPC status, as the field's proxies count it.
pub(super) fn status_in(headers: &HeaderMap) -> StatusCode {
    let code: Option<u8> =
        headers.get("grpc-status").and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    match code {
        Some(0) => StatusCode::OK,
        // 499 has no name here: the client cancelled.
        Some(1) => StatusCode::BAD_REQUEST,
        Some(3 | 9 | 11) => StatusCode::BAD_REQUEST,
        Some(4) => StatusCode::GATEWAY_TIMEOUT,
        Some(5) => StatusCode::NOT_FOUND,
        Some(6 | 10) => StatusCode::CONFLICT,
        Some(7) => StatusCode::FORBIDDEN,
        Some(8) => StatusCode::TOO_MANY_REQUESTS,
        Some(12) => StatusCode::NOT_IMPLEMENTED,
        Some(14) => StatusCode::SERVICE_UNAVAILABLE,
        Some(16) => StatusCode::UNAUTHORIZED,
        Some(_) | None => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
