//! As much of a body as an authorizer is to see; nothing of it is lost for the backend.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use ambit_l7::ExternalAuthorizer;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::timeout;

use super::Seen;
use crate::body::{Body, BodyError};
use crate::request::Head;

/// Why there is no body to be seen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyRefusal {
    /// It is longer than the authorizer may see.
    #[error("the body is longer than the authorizer may see")]
    TooLong,
    /// It did not come in time.
    #[error("the body took too long")]
    TimedOut,
    /// It broke off.
    #[error(transparent)]
    Broken(#[from] BodyError),
}

/// Reads what the authorizer is to see. The body it gives back is the whole one.
pub(super) async fn read(
    authorizer: &ExternalAuthorizer,
    head: &Head,
    mut body: Body,
) -> Result<(Seen, Body), BodyRefusal> {
    let Some(wanted) = authorizer.body.filter(|_| head.is_message() && !body.is_end_stream()) else {
        return Ok((Seen::default(), body));
    };
    let max = usize::try_from(wanted.max_bytes).unwrap_or(usize::MAX);
    let mut read = Read::default();
    let reading = fill(&mut body, max, wanted.allow_partial, &mut read);
    timeout(authorizer.timeout, reading).await.unwrap_or(Err(BodyRefusal::TimedOut))?;
    let Read { data, trailers } = read;
    let (data, is_whole) = (data.freeze(), trailers.is_some() || body.is_end_stream());
    let is_cut = data.len() > max || !is_whole && data.len() >= max;
    let seen = Seen { bytes: data.slice(..max.min(data.len())), is_cut };
    let data = (!data.is_empty()).then(|| Frame::data(data));
    Ok((seen, Body::new(Again { read: data.into_iter().chain(trailers).collect(), body })))
}

/// What was read of a body. Its chunks are put together: each for itself, one of one byte would take a hundred.
#[derive(Default)]
struct Read {
    data: BytesMut,
    trailers: Option<Frame<Bytes>>,
}

/// Reads up to the body's end, or as much as may be seen.
async fn fill(body: &mut Body, max: usize, may_be_cut: bool, read: &mut Read) -> Result<(), BodyRefusal> {
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) => read.data.extend_from_slice(&data),
            Err(trailers) => read.trailers = Some(trailers),
        }
        if read.data.len() > max && !may_be_cut {
            return Err(BodyRefusal::TooLong);
        }
        if may_be_cut && read.data.len() >= max {
            break;
        }
    }
    Ok(())
}

/// A body of which the beginning was read.
struct Again {
    read: VecDeque<Frame<Bytes>>,
    body: Body,
}

impl HttpBody for Again {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.read.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => Pin::new(&mut self.body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let read: usize = self.read.iter().filter_map(Frame::data_ref).map(Bytes::len).sum();
        let read = u64::try_from(read).unwrap_or(u64::MAX);
        let rest = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + read);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + read);
        }
        hint
    }
}
