//! Bodies of requests and responses: one type, streamed, on one thread, with trailers.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The connection it came on broke, or its sender broke the protocol.
    #[error("the body broke off")]
    Broken(#[source] hyper::Error),
    /// Policy would not let its request begin any more.
    #[error("cut, since policy has changed")]
    PolicyChanged,
    /// Its time is over.
    #[error("the body took longer than allowed")]
    TimedOut,
    /// Whoever sends it gave it up.
    #[error("the body was given up")]
    GivenUp,
}

type Inner = dyn HttpBody<Data = Bytes, Error = BodyError>;

/// A body.
pub(crate) struct Body(Pin<Box<Inner>>);

impl Body {
    /// Any other body.
    pub(crate) fn new(body: impl HttpBody<Data = Bytes, Error = BodyError> + 'static) -> Self {
        Self(Box::pin(body))
    }

    /// Nothing.
    pub(crate) fn empty() -> Self {
        Self::new(Empty::new().map_err(|never| match never {}))
    }

    /// These bytes.
    pub(crate) fn full(bytes: impl Into<Bytes>) -> Self {
        Self::new(Full::new(bytes.into()).map_err(|never| match never {}))
    }
}

impl From<Incoming> for Body {
    fn from(incoming: Incoming) -> Self {
        Self::new(incoming.map_err(BodyError::Broken))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0.as_mut().poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("size", &self.size_hint()).finish()
    }
}
