//! Connections of HTTP/1.1: one request at a time, the one used last is used first.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use ambit_balance::{Limits, Permit};
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, Connection, Parts, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::sync::oneshot;
use tokio::task::spawn_local;
use tokio::time::Instant;

use super::{Asked, Host, Open, PoolError};
use crate::upstream::channel::Channel;
use crate::upstream::dial::{DialError, dial};
use crate::upstream::replay::AttemptBody;

/// Where a connection whose protocol was switched is given to.
type Switch = Rc<RefCell<Option<oneshot::Sender<Switched>>>>;

/// A connection without a request.
pub(in crate::upstream) struct Http1 {
    send: SendRequest<AttemptBody>,
    switch: Switch,
    requests_left: u32,
    until: Instant,
    idle_since: Instant,
}

/// A connection for one request.
pub(in crate::upstream) struct Http1Lease {
    connection: Http1,
    host: Rc<Host>,
    /// Whether it has carried requests before: then it may have been closed meanwhile.
    pub(in crate::upstream) is_reused: bool,
}

/// A connection after its last message of HTTP.
#[derive(Debug)]
pub(in crate::upstream) struct Switched {
    /// Bytes of the new protocol that came with the last message.
    early: Bytes,
    io: Channel,
}

impl Http1 {
    pub(super) fn is_kept(&self, now: Instant, longest: Duration) -> bool {
        !self.send.is_closed() && now < self.until && now.duration_since(self.idle_since) < longest
    }
}

impl Host {
    /// A connection for a request: an idle one, or a new one where there may be more, or the next to come free.
    pub(in crate::upstream) async fn http1(self: &Rc<Self>, asked: &Asked<'_>) -> Result<Http1Lease, PoolError> {
        if let Some(connection) = self.idle_connection().await {
            return Ok(self.lease(connection, true));
        }
        let _pending =
            asked.limits.map(Limits::pending).transpose().map_err(|_| PoolError::Overflow("pending requests"))?;
        loop {
            if let Some(permit) = self.may_open(asked.limits) {
                return Ok(self.lease(Box::pin(self.open_http1(asked, permit)).await?, false));
            }
            self.endpoint.close_idle(self);
            let (sender, receiver) = oneshot::channel();
            self.waiting.borrow_mut().push_back(sender);
            if let Ok(Some(mut connection)) = receiver.await
                && connection.send.ready().await.is_ok()
            {
                return Ok(self.lease(connection, true));
            }
        }
    }

    async fn idle_connection(&self) -> Option<Http1> {
        loop {
            let mut connection = self.idle.borrow_mut().pop()?;
            // Not ready yet is one whose last answer was read to its end just now.
            if Instant::now() < connection.until && connection.send.ready().await.is_ok() {
                return Some(connection);
            }
        }
    }

    fn lease(self: &Rc<Self>, connection: Http1, is_reused: bool) -> Http1Lease {
        Http1Lease { connection, host: Rc::clone(self), is_reused }
    }

    async fn open_http1(self: &Rc<Self>, asked: &Asked<'_>, permit: Option<Permit>) -> Result<Http1, PoolError> {
        let open = Open::new(self, permit);
        let io = dial(asked.worker, &(asked.wanted)()).await.map_err(PoolError::Dial)?;
        let handshake = Builder::new().handshake(TokioIo::new(io)).await;
        let (send, connection) = handshake.map_err(|error| PoolError::Dial(DialError::of(&error)))?;
        let switch = Switch::default();
        spawn_local(drive(connection, Rc::clone(&switch), open));
        let now = Instant::now();
        Ok(Http1 { send, switch, requests_left: self.most_requests(), until: self.until(), idle_since: now })
    }

    /// Takes a connection back, for whoever waits for one.
    fn give_back(&self, mut connection: Http1) {
        if connection.send.is_closed() || connection.requests_left == 0 {
            return;
        }
        while let Some(waiting) = self.waiting.borrow_mut().pop_front() {
            match waiting.send(Some(connection)) {
                Ok(()) => return,
                Err(Some(back)) => connection = back,
                Err(None) => return,
            }
        }
        connection.idle_since = Instant::now();
        self.idle.borrow_mut().push(connection);
    }
}

impl Http1Lease {
    /// Sends a request; gives it back where nothing of it was sent.
    pub(in crate::upstream) async fn send(
        &mut self,
        request: Request<AttemptBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<AttemptBody>>> {
        self.connection.requests_left = self.connection.requests_left.saturating_sub(1);
        self.connection.send.try_send_request(request).await
    }

    /// Asks for the connection itself once its protocol is switched. To be called before the request is sent.
    pub(in crate::upstream) fn switched(&self) -> oneshot::Receiver<Switched> {
        let (sender, receiver) = oneshot::channel();
        *self.connection.switch.borrow_mut() = Some(sender);
        receiver
    }

    /// The request is answered and both bodies are at their end: the connection may serve another.
    pub(in crate::upstream) fn give_back(self) {
        self.connection.switch.take();
        self.host.give_back(self.connection);
    }
}

/// Moves a connection's bytes until it ends.
async fn drive(mut connection: Connection<TokioIo<Channel>, AttemptBody>, switch: Switch, open: Open) {
    if let Err(error) = poll_fn(|cx| connection.poll_without_shutdown(cx)).await {
        tracing::debug!(%error, "connection to a backend broke");
        return;
    }
    let Parts { io, read_buf, .. } = connection.into_parts();
    let mut io = io.into_inner();
    match switch.take() {
        Some(switch) => drop(switch.send(Switched { early: read_buf, io })),
        None => {
            if let Err(error) = io.shutdown().await {
                tracing::debug!(%error, "connection to a backend broke at its end");
            }
        }
    }
    drop(open);
}

impl AsyncRead for Switched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.early.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, into);
        }
        let now = self.early.len().min(into.remaining());
        into.put_slice(&self.early.split_to(now));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Switched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
