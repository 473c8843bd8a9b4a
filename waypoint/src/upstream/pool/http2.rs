//! Connections of HTTP/2: many requests at a time.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use ambit_balance::{Limits, Permit};
use futures::FutureExt as _;
use futures::future::{LocalBoxFuture, Shared as SharedFuture, WeakShared};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http2::{Builder, Connection, SendRequest};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::oneshot;
use tokio::task::spawn_local;
use tokio::time::Instant;

use super::{Asked, Host, Open, PoolError};
use crate::upstream::channel::Channel;
use crate::upstream::dial::{DialError, Wanted, dial};
use crate::upstream::replay::AttemptBody;
use crate::worker::Worker;

/// Most streams of a connection where nothing else is said, as of tunnels.
const STREAMS: usize = 100;

/// Bytes a backend may send ahead, on one stream and on all.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// A connection that turns out to be closing is passed over so often before a request is given up.
const MAX_TRIES: u32 = 3;

/// The connections of a host that are shared.
#[derive(Default)]
pub(super) struct Shared {
    connections: RefCell<Vec<Rc<Http2>>>,
    /// The dial under way. Those who wait for it own it.
    dial: RefCell<Option<WeakShared<Dial>>>,
}

type Dial = LocalBoxFuture<'static, Result<(), DialError>>;

struct Http2 {
    send: SendRequest<AttemptBody>,
    streams: Cell<usize>,
    /// By our own limit and the peer's.
    most_streams: Rc<Cell<usize>>,
    requests_left: Cell<u32>,
    until: Instant,
    idle_since: Cell<Instant>,
}

/// A place in a connection for one request.
pub(in crate::upstream) struct Http2Lease {
    connection: Rc<Http2>,
    host: Rc<Host>,
    /// Whether the connection has carried requests before.
    pub(in crate::upstream) is_reused: bool,
}

impl Http2 {
    fn is_usable(&self, now: Instant) -> bool {
        !self.send.is_closed() && now < self.until && self.requests_left.get() > 0
    }
}

impl Shared {
    pub(super) fn tidy(&self, now: Instant, longest: Duration) {
        self.connections.borrow_mut().retain(|connection| {
            let is_idle = connection.streams.get() == 0 && now.duration_since(connection.idle_since.get()) >= longest;
            connection.is_usable(now) && !is_idle
        });
    }

    /// Closes a connection without requests; says whether there was one.
    pub(super) fn close_idle(&self) -> bool {
        let mut connections = self.connections.borrow_mut();
        let idle = connections.iter().position(|connection| connection.streams.get() == 0);
        idle.map(|idle| connections.swap_remove(idle)).is_some()
    }

    /// A connection that has room, with one place in it taken.
    fn room(&self, now: Instant) -> Option<Rc<Http2>> {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|connection| connection.is_usable(now));
        let connection = connections.iter().find(|one| one.streams.get() < one.most_streams.get())?;
        let left = connection.requests_left.get();
        connection.requests_left.set(left.saturating_sub(1));
        connection.streams.set(connection.streams.get() + 1);
        Some(Rc::clone(connection))
    }
}

impl Host {
    /// A place for a request, in a connection that is there or a new one. Who needs a new one at the same time
    /// shares it.
    pub(in crate::upstream) async fn http2(self: &Rc<Self>, asked: &Asked<'_>) -> Result<Http2Lease, PoolError> {
        if let Some(place) = self.place() {
            return Ok(place);
        }
        let _pending =
            asked.limits.map(Limits::pending).transpose().map_err(|_| PoolError::Overflow("pending requests"))?;
        let mut closed = 0;
        loop {
            match self.dial_http2(asked) {
                Some(dial) => {
                    dial.await.map_err(PoolError::Dial)?;
                    closed += u32::from(self.shared.connections.borrow().is_empty());
                }
                // As in the field it waits where there may be no more connections, for room in one that is there.
                None => {
                    self.endpoint.close_idle(self);
                    let (sender, receiver) = oneshot::channel();
                    self.waiting.borrow_mut().push_back(sender);
                    // Told, or forgotten: it is looked at again either way.
                    drop(receiver.await);
                }
            }
            if let Some(place) = self.place() {
                return Ok(place);
            }
            if closed == MAX_TRIES {
                return Err(PoolError::Dial("every connection closed at once".to_owned().into()));
            }
        }
    }

    /// A place in a connection that has room.
    fn place(self: &Rc<Self>) -> Option<Http2Lease> {
        let now = Instant::now();
        let connection = self.shared.room(now)?;
        let is_reused = connection.idle_since.get() < now;
        Some(Http2Lease { connection, host: Rc::clone(self), is_reused })
    }

    /// The dial under way, or a new one where there may be another connection.
    fn dial_http2(self: &Rc<Self>, asked: &Asked<'_>) -> Option<SharedFuture<Dial>> {
        if let Some(dial) = self.shared.dial.borrow().as_ref().and_then(WeakShared::upgrade)
            && dial.peek().is_none()
        {
            return Some(dial);
        }
        let permit = self.may_open(asked.limits)?;
        let dial = open(Rc::clone(self), Rc::clone(asked.worker), (asked.wanted)(), permit).boxed_local().shared();
        *self.shared.dial.borrow_mut() = dial.downgrade();
        // It goes on though all who wait for it give up: with a shorter patience than a handshake takes, there would
        // never be a connection.
        let going_on = dial.clone();
        spawn_local(async move { drop(going_on.await) });
        Some(dial)
    }
}

async fn open(host: Rc<Host>, worker: Rc<Worker>, wanted: Wanted, permit: Option<Permit>) -> Result<(), DialError> {
    let open = Open::new(&host, permit);
    let io = dial(&worker, &wanted).await?;
    let settings = &host.policy.pool.http;
    let mut builder = Builder::new(Local);
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    if let Some((interval, timeout)) = settings.http2_keepalive {
        builder.keep_alive_interval(interval).keep_alive_timeout(timeout).keep_alive_while_idle(true);
    }
    let (send, connection) = builder.handshake(TokioIo::new(io)).await.map_err(|error| DialError::of(&error))?;
    let ours = settings.max_concurrent_streams.map_or(STREAMS, |most| usize::try_from(most).unwrap_or(STREAMS)).max(1);
    let most_streams = Rc::new(Cell::new(ours));
    spawn_local(drive(connection, ours, Rc::clone(&most_streams), open));
    host.shared.connections.borrow_mut().push(Rc::new(Http2 {
        send,
        streams: Cell::new(0),
        most_streams,
        requests_left: Cell::new(host.most_requests()),
        until: host.until(),
        idle_since: Cell::new(Instant::now()),
    }));
    Ok(())
}

async fn drive(
    mut connection: Connection<TokioIo<Channel>, AttemptBody, Local>,
    ours: usize,
    most_streams: Rc<Cell<usize>>,
    open: Open,
) {
    let ended = poll_fn(|cx| {
        let ended = Pin::new(&mut connection).poll(cx);
        most_streams.set(ours.min(connection.current_max_send_streams()));
        ended
    });
    if let Err(error) = ended.await {
        tracing::debug!(%error, "connection to a backend broke");
    }
    drop(open);
}

impl Http2Lease {
    /// Sends a request; gives it back where nothing of it was sent.
    pub(in crate::upstream) async fn send(
        &mut self,
        request: Request<AttemptBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<AttemptBody>>> {
        self.connection.send.clone().try_send_request(request).await
    }
}

impl Drop for Http2Lease {
    fn drop(&mut self) {
        self.connection.streams.set(self.connection.streams.get() - 1);
        self.connection.idle_since.set(Instant::now());
        self.host.tell_of_room();
    }
}

/// Runs what hyper spawns on this worker.
#[derive(Debug, Clone, Copy)]
struct Local;

impl<F: Future + 'static> Executor<F> for Local {
    fn execute(&self, future: F) {
        spawn_local(future);
    }
}
