//! Step 13: the record. It goes with the answer's body, and is closed with its end.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use ambit_l7::grpc;
use ambit_runtime::Held;
use ambit_telemetry::ResponseFlag;
use bytes::{Buf, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::body::{Body, BodyError};
use crate::telemetry::Record;

/// What was counted of a body so far.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) bytes: Cell<u64>,
    pub(crate) messages: Cell<u64>,
}

/// A request's body, counted.
pub(crate) struct Counted {
    body: Body,
    counts: Rc<Counts>,
    messages: Option<Messages>,
}

impl Counted {
    /// Counts a body; its messages too where it is gRPC.
    pub(crate) fn around(body: Body, counts: &Rc<Counts>, is_grpc: bool) -> Body {
        if body.is_end_stream() {
            return body;
        }
        Body::new(Self { body, counts: Rc::clone(counts), messages: is_grpc.then(Messages::default) })
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            count(frame, &this.counts, this.messages.as_mut());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body, and the record of its request.
pub(crate) struct Recorded {
    body: Body,
    record: Record,
    request: Rc<Counts>,
    response: Counts,
    messages: Option<Messages>,
    /// When it must have ended.
    deadline: Option<Pin<Box<Sleep>>>,
    ended: bool,
    _open: Held,
}

impl Recorded {
    /// Keeps the record until the end of the body.
    pub(crate) fn around(
        body: Body,
        record: Record,
        request: Rc<Counts>,
        deadline: Option<Instant>,
        open: Held,
    ) -> Body {
        let messages = record.facts.is_grpc.then(Messages::default);
        let deadline = deadline.map(|deadline| Box::pin(sleep_until(deadline)));
        let ended = body.is_end_stream();
        let response = Counts::default();
        Body::new(Self { body, record, request, response, messages, deadline, ended, _open: open })
    }
}

impl HttpBody for Recorded {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let mut polled = Pin::new(&mut this.body).poll_frame(cx);
        if polled.is_pending()
            && let Some(deadline) = &mut this.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            this.record.facts.flags.insert(ResponseFlag::UpstreamRequestTimeout);
            polled = Poll::Ready(Some(Err(BodyError::TimedOut)));
        }
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                count(frame, &this.response, this.messages.as_mut());
                if let Some(trailers) = frame.trailers_ref() {
                    let status = grpc::status(trailers).map(u16::from);
                    this.record.facts.grpc_status = status.or(this.record.facts.grpc_status);
                    if let Some(report) = &mut this.record.observer {
                        report.response_trailers.clone_from(trailers);
                    }
                }
                this.ended = this.body.is_end_stream();
            }
            Poll::Ready(Some(Err(error))) => {
                match error {
                    BodyError::TimedOut => {}
                    BodyError::PolicyChanged => this.record.facts.details = "policy_changed".into(),
                    BodyError::Broken(_) | BodyError::GivenUp => {
                        this.record.facts.flags.insert(ResponseFlag::UpstreamConnectionTermination);
                    }
                }
                this.ended = true;
            }
            Poll::Ready(None) => this.ended = true,
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        if !self.ended {
            self.record.facts.flags.insert(ResponseFlag::DownstreamConnectionTermination);
        }
        self.record.request_bytes = self.request.bytes.get();
        self.record.request_messages = self.request.messages.get();
        self.record.response_bytes = self.response.bytes.get();
        self.record.response_messages = self.response.messages.get();
    }
}

fn count(frame: &Frame<Bytes>, counts: &Counts, messages: Option<&mut Messages>) {
    let Some(data) = frame.data_ref() else { return };
    counts.bytes.set(counts.bytes.get() + u64::try_from(data.len()).unwrap_or(u64::MAX));
    if let Some(messages) = messages {
        counts.messages.set(counts.messages.get() + messages.begun_in(data));
    }
}

/// Finds the messages of gRPC in a body: a byte of flags, four of length, and so many more.
#[derive(Debug, Default)]
struct Messages {
    /// Of the next message's five bytes in front, those seen.
    front: Vec<u8>,
    /// Bytes of the message that are still to come.
    left: usize,
}

impl Messages {
    /// How many messages begin in these bytes.
    fn begun_in(&mut self, mut data: &[u8]) -> u64 {
        let mut begun = 0;
        while !data.is_empty() {
            let skipped = self.left.min(data.len());
            data.advance(skipped);
            self.left -= skipped;
            while self.left == 0 && self.front.len() < 5 && !data.is_empty() {
                self.front.push(data.get_u8());
            }
            if let [_flags, length @ ..] = &self.front[..]
                && let Ok(length) = <[u8; 4]>::try_from(length)
            {
                self.left = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
                self.front.clear();
                begun += 1;
            }
        }
        begun
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_however_they_are_cut() {
        let body = [0, 0, 0, 0, 2, 7, 7, 0, 0, 0, 0, 0, 1, 0, 0, 0, 3, 1, 2, 3];
        for size in 1..=body.len() {
            let mut messages = Messages::default();
            let counted: u64 = body.chunks(size).map(|part| messages.begun_in(part)).sum();
            assert_eq!(counted, 3, "{size}");
        }
    }
}
