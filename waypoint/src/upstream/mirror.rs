//! Copies of requests, whose answers nobody sees.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::uri::Authority;
use http::{HeaderValue, Request, Uri};
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout_at};

use super::exchange::{ServerName, send, server_name};
use super::replay::size;
use super::retry;
use crate::body::{Body, BodyError};
use crate::plan::Plan;
use crate::worker::Worker;

/// Most memory that a copy may lag behind; one that is slower is given up.
const MAX_LAG: usize = 64 << 10;

/// Longest wait for the answer to a copy where nothing else is said; the field's.
const LONGEST: Duration = Duration::from_secs(15);

/// What is appended to the host of a copy, so that its backend can tell it from a request.
const SHADOW: &str = "-shadow";

/// A body, and so many copies of it. What is read of the body goes to the copies; it never waits for them.
pub(crate) fn tee(body: Body, copies: usize) -> (Body, Vec<Body>) {
    if copies == 0 || body.is_end_stream() {
        return (body, (0..copies).map(|_| Body::empty()).collect());
    }
    let size = body.size_hint();
    let queues: Vec<_> = (0..copies).map(|_| Rc::new(RefCell::new(Queue::default()))).collect();
    let sources = queues.iter().map(Rc::downgrade).collect();
    let copies = queues.into_iter().map(|queue| Body::new(Copied { queue, size: Some(size) })).collect();
    (Body::new(Original { body, copies: sources, is_complete: false }), copies)
}

/// Sends a copy, by one attempt, and forgets it. `plan.policy` and `plan.destination` are the copy's.
pub(crate) fn mirror(worker: &Rc<Worker>, plan: &Plan<'_>, mut request: Request<Body>) {
    shadow(&mut request);
    let (worker, in_force, client) = (Rc::clone(worker), Arc::clone(plan.in_force), plan.client.clone());
    let (asked, destination, policy) = (plan.asked, plan.destination.clone(), Arc::clone(&plan.policy));
    let deadline = plan.deadline.unwrap_or_else(|| Instant::now() + LONGEST);
    let speak = plan.speak;
    spawn_local(async move {
        let plan = Plan {
            in_force: &in_force,
            client: &client,
            asked,
            destination,
            policy,
            deadline: Some(deadline),
            retry: Some(&retry::NEVER),
            speak,
        };
        match timeout_at(deadline, Box::pin(send(&worker, &plan, request))).await {
            Ok(Ok(answer)) => {
                // Read to its end, that its connection may serve another.
                let mut body = answer.response.into_body();
                while let Ok(Some(Ok(_))) = timeout_at(deadline, body.frame()).await {}
            }
            Ok(Err(failure)) => tracing::debug!(error = %failure.reason, "copy of a request not sent"),
            Err(_elapsed) => tracing::debug!("copy of a request not answered in time"),
        }
    });
}

/// Names the copy as one. Its backend's certificate is for the name it has.
fn shadow(request: &mut Request<Body>) {
    if let Some(name) = server_name(request.uri(), request.headers()) {
        request.extensions_mut().insert(ServerName(name));
    }
    if let Some(host) = request.headers().get(HOST).and_then(|host| host.to_str().ok())
        && let Ok(host) = HeaderValue::try_from(shadowed(host))
    {
        request.headers_mut().insert(HOST, host);
    }
    let mut parts = request.uri().clone().into_parts();
    if let Some(authority) = &parts.authority
        && let Ok(authority) = Authority::try_from(shadowed(authority.as_str()))
    {
        parts.authority = Some(authority);
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
}

fn shadowed(authority: &str) -> String {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => format!("{host}{SHADOW}:{port}"),
        _ => format!("{authority}{SHADOW}"),
    }
}

/// What was read of the body and not yet of the copy.
#[derive(Default)]
struct Queue {
    frames: VecDeque<Option<Frame<Bytes>>>,
    bytes: usize,
    /// The body broke off, or the copy was too slow.
    is_broken: bool,
    reader: Option<Waker>,
}

impl Queue {
    /// `None` is the end.
    fn push(&mut self, frame: Option<Frame<Bytes>>) {
        self.bytes += frame.as_ref().map_or(0, size);
        if self.bytes > MAX_LAG {
            self.give_up();
        } else if !self.is_broken {
            self.frames.push_back(frame);
        }
        self.reader.take().into_iter().for_each(Waker::wake);
    }

    fn give_up(&mut self) {
        self.is_broken = true;
        self.frames.clear();
        self.reader.take().into_iter().for_each(Waker::wake);
    }
}

/// The body itself.
struct Original {
    body: Body,
    copies: Vec<Weak<RefCell<Queue>>>,
    is_complete: bool,
}

impl Original {
    fn copy(&mut self, frame: Option<&Frame<Bytes>>) {
        for copy in self.copies.iter().filter_map(Weak::upgrade) {
            let frame = frame.map(|frame| match (frame.data_ref(), frame.trailers_ref()) {
                (Some(data), _) => Frame::data(data.clone()),
                (None, trailers) => Frame::trailers(trailers.cloned().unwrap_or_default()),
            });
            copy.borrow_mut().push(frame);
        }
        if frame.is_none() {
            self.is_complete = true;
            self.copies.clear();
        }
    }
}

impl HttpBody for Original {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.copy(Some(frame));
                if self.body.is_end_stream() {
                    self.copy(None);
                }
            }
            Poll::Ready(None) => self.copy(None),
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
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

impl Drop for Original {
    fn drop(&mut self) {
        if !self.is_complete {
            self.copies.iter().filter_map(Weak::upgrade).for_each(|copy| copy.borrow_mut().give_up());
        }
    }
}

/// A copy of it.
struct Copied {
    queue: Rc<RefCell<Queue>>,
    /// As long as nothing was read.
    size: Option<SizeHint>,
}

impl HttpBody for Copied {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.size = None;
        let mut queue = self.queue.borrow_mut();
        match queue.frames.pop_front() {
            Some(Some(frame)) => {
                queue.bytes -= size(&frame);
                Poll::Ready(Some(Ok(frame)))
            }
            Some(None) => Poll::Ready(None),
            None if queue.is_broken => Poll::Ready(Some(Err(BodyError::GivenUp))),
            None => {
                queue.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.size.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::exchange::tls_name;

    #[tokio::test]
    async fn copies_are_the_same() {
        let (body, copies) = tee(Body::full("hello"), 2);
        assert_eq!(body.collect().await.unwrap().to_bytes(), "hello");
        for copy in copies {
            assert_eq!(copy.size_hint().exact(), Some(5));
            assert_eq!(copy.collect().await.unwrap().to_bytes(), "hello");
        }
        let (_, copies) = tee(Body::empty(), 1);
        assert!(copies[0].is_end_stream());
    }

    #[tokio::test]
    async fn a_copy_that_lags_is_given_up_and_the_body_goes_on() {
        let (body, copies) = tee(Body::full(vec![b'a'; MAX_LAG + 1]), 1);
        assert_eq!(body.collect().await.unwrap().to_bytes().len(), MAX_LAG + 1);
        for copy in copies {
            assert!(copy.collect().await.is_err());
        }
    }

    #[test]
    fn small_frames_count_what_they_take() {
        let mut queue = Queue::default();
        for _ in 0..=MAX_LAG / size_of::<Frame<Bytes>>() {
            queue.push(Some(Frame::data(Bytes::from_static(b"a"))));
        }
        assert!(queue.is_broken && queue.frames.is_empty());
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_breaks_its_copies() {
        let (body, copies) = tee(Body::full("hello"), 1);
        drop(body);
        for copy in copies {
            assert!(copy.collect().await.is_err());
        }
    }

    #[test]
    fn hosts_of_copies_are_marked() {
        for (authority, expected) in
            [("web", "web-shadow"), ("web:80", "web-shadow:80"), ("[fd00::1]:80", "[fd00::1]-shadow:80")]
        {
            assert_eq!(shadowed(authority), expected);
        }
        let mut request = Request::builder().uri("http://web:80/a").header("host", "web").body(Body::empty()).unwrap();
        shadow(&mut request);
        assert_eq!(request.uri(), "http://web-shadow:80/a");
        assert_eq!(request.headers()[HOST], "web-shadow");
        assert_eq!(tls_name(&request.into_parts().0).as_deref(), Some("web"));
    }
}
