//! Requests that go on for long are judged again whenever what is in force changes, and cut if they would be denied
//! now: upgraded ones, gRPC, streams of events, long uploads and downloads. They are judged by the head they came with.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use ambit_l7::HttpFacts;
use ambit_model::DenyReason;
use bytes::Bytes;
use http::{HeaderMap, header};
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::head::{Head, Switch};
use super::refusal::Refusal;
use super::{Exchange, led, token};
use crate::body::{Body, BodyError};
use crate::in_force::InForce;
use crate::judged::Registered;
use crate::plan::Destination;
use crate::policy;

/// A body of no more bytes is short, however long it takes: it is judged once.
const SHORT: u64 = 64 << 10;

impl Exchange {
    /// Puts a request that may go on for long on the list of those that are judged again.
    pub(super) fn register(
        &self,
        head: &Head,
        body: &Body,
        destination: &Destination,
    ) -> Result<Option<Registered>, Refusal> {
        let is_stream = self.record.facts.is_grpc || wants_events(&head.parts.headers) || is_long(body);
        if head.switch == Switch::No && !is_stream {
            return Ok(None);
        }
        self.admit(self.judge_again(head.clone(), destination)).map(Some)
    }

    /// The same for a request whose answer turns out to be long.
    pub(super) fn register_answer(
        &self,
        head: Head,
        body: &Body,
        destination: &Destination,
    ) -> Result<Option<Registered>, Refusal> {
        is_long(body).then(|| self.admit(self.judge_again(head, destination))).transpose()
    }

    /// Judges a request by what is in force then.
    fn judge_again(
        &self,
        head: Head,
        destination: &Destination,
    ) -> impl Fn(&Arc<InForce>) -> Result<(), DenyReason> + use<> {
        let (connection, destination) = (Rc::clone(&self.connection), destination.clone());
        let (claims, consented) = (self.claims.clone(), self.consented.clone());
        move |in_force| {
            if !in_force.serves(&connection.to) {
                return Err(DenyReason::Unenrolled);
            }
            let client = &head.client(&connection);
            for governing in in_force.governing(&connection) {
                let request = &governing.seen(head.view(&connection));
                let facts = HttpFacts { request, client, claims: token::of(&claims, &governing.rules) };
                policy::judge_again(&governing.rules, &facts, &consented)?;
            }
            led::judge(in_force, &connection, &destination, (&head, &claims))
        }
    }

    /// By now, and not by what was in force when the request came: there may have been waiting since.
    fn admit(&self, judge: impl Fn(&Arc<InForce>) -> Result<(), DenyReason> + 'static) -> Result<Registered, Refusal> {
        let admitted = self.worker.connections.admit(&self.worker.in_force(), judge);
        admitted.map_err(|reason| Refusal::denied(&reason))
    }
}

fn is_long(body: &Body) -> bool {
    !body.is_end_stream() && body.size_hint().exact().is_none_or(|size| size > SHORT)
}

fn wants_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    accepted.filter_map(|value| value.to_str().ok()).any(|value| value.contains("text/event-stream"))
}

/// A body that is cut when its request may not go on.
pub(super) struct Cut {
    body: Body,
    cut: Pin<Box<dyn Future<Output = DenyReason>>>,
}

impl Cut {
    pub(super) fn around(body: Body, registered: Registered) -> Body {
        if body.is_end_stream() {
            return body;
        }
        Body::new(Self { body, cut: Box::pin(async move { registered.cut().await }) })
    }
}

impl HttpBody for Cut {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Poll::Ready(reason) = self.cut.as_mut().poll(cx) {
            tracing::info!(%reason, "cut a request");
            return Poll::Ready(Some(Err(BodyError::PolicyChanged)));
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_may_take_long_is_known() {
        for (accept, expected) in [("text/event-stream", true), ("a/b, text/event-stream;q=1", true), ("*/*", false)] {
            let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(wants_events(&headers), expected, "{accept}");
        }
        let sized = |size: u64| Body::full(vec![0; usize::try_from(size).unwrap()]);
        assert!(!is_long(&Body::empty()) && !is_long(&sized(SHORT)) && is_long(&sized(SHORT + 1)));
    }
}
