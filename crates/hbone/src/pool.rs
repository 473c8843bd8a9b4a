//! Tunnels kept for reuse, one pool a worker.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::rc::{Rc, Weak};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{LocalBoxFuture, Shared, WeakShared};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep};

use crate::client::connect_counted;
use crate::tally::{Slot, Tally};
use crate::{ConnectError, ConnectRequest, Counts, OpenError, Settings, Tunnel, TunnelStream};

/// Why a pool gave no stream. `E` is the error of the caller's dial, which all who waited for that
/// dial get.
#[derive(Debug, thiserror::Error)]
pub enum PoolError<E> {
    /// No connection to the peer.
    #[error("no connection to the peer")]
    Dial(#[source] E),
    /// A connection, but no tunnel in it.
    #[error("no tunnel in the connection to the peer")]
    Connect(#[source] Rc<ConnectError>),
    /// A tunnel, but no stream in it.
    #[error(transparent)]
    Open(OpenError),
    /// The peer allows no streams at all.
    #[error("the peer allows no streams")]
    NoStreams,
    /// The pool is drained.
    #[error("no new streams while draining")]
    Draining,
}

/// A connection for a tunnel.
#[derive(Debug)]
pub struct Dialled<IO> {
    /// The connection.
    pub io: IO,
    /// When the tunnel takes no more streams, as what its peer has proved holds no longer.
    pub until: Option<Instant>,
}

/// How a shared dial ends.
#[derive(Debug, Clone)]
enum DialError<E> {
    Dial(E),
    Connect(Rc<ConnectError>),
}

impl<E> From<DialError<E>> for PoolError<E> {
    fn from(error: DialError<E>) -> Self {
        match error {
            DialError::Dial(error) => Self::Dial(error),
            DialError::Connect(error) => Self::Connect(error),
        }
    }
}

type Dial<E> = LocalBoxFuture<'static, Result<Tunnel, DialError<E>>>;

/// Tunnels by key. The key says all that must be equal for two connections to share a tunnel: at
/// least who opens it and to whom. A clone is another handle to the same pool.
pub struct Pool<K, E>(Rc<Inner<K, E>>);

struct Inner<K, E> {
    settings: Settings,
    idle_timeout: Duration,
    tally: Rc<Tally>,
    /// `None` once drained. Never borrowed across an await.
    peers: RefCell<Option<HashMap<K, Peer<E>>>>,
}

/// What is known for one key.
struct Peer<E> {
    tunnels: Vec<Tunnel>,
    /// The dial under way. Those who wait for it own it: it is given up with the last of them.
    dial: Option<WeakShared<Dial<E>>>,
}

/// What to do for a stream.
enum Step<E> {
    Open(Tunnel, Slot),
    Dial(Shared<Dial<E>>),
}

impl<K, E> Pool<K, E>
where
    K: Eq + Hash + Clone + 'static,
    E: Clone + 'static,
{
    /// Makes a pool on the current `LocalSet`. Tunnels without a stream for `idle_timeout` are closed.
    #[must_use]
    pub fn new(settings: Settings, idle_timeout: Duration) -> Self {
        let peers = RefCell::new(Some(HashMap::new()));
        let inner = Rc::new(Inner { settings, idle_timeout, tally: Rc::default(), peers });
        spawn_local(sweep(Rc::downgrade(&inner), idle_timeout / 4));
        Self(inner)
    }

    /// Opens a stream in a tunnel of this key, or in a new one over the connection that `dial` makes.
    ///
    /// Those who need a tunnel of the same key at the same time share one dial; it outlives the
    /// future of the one who began it as long as another still waits. A request on a kept tunnel that
    /// turns out to be dead, or to be closing, is tried once more.
    ///
    /// # Errors
    /// When there is no connection, no tunnel in it, or the peer refuses the stream.
    pub async fn open<IO, D>(&self, key: &K, request: &ConnectRequest, dial: D) -> Result<TunnelStream, PoolError<E>>
    where
        IO: AsyncRead + AsyncWrite + Unpin + 'static,
        D: AsyncFn() -> Result<Dialled<IO>, E> + 'static,
    {
        let dial = Rc::new(dial);
        let mut may_retry = true;
        loop {
            match self.step(key, &dial)? {
                Step::Dial(dial) => {
                    let tunnel = dial.clone().await?;
                    self.keep(key, &dial, tunnel)?;
                }
                Step::Open(tunnel, slot) => match tunnel.open_in(slot, request).await {
                    Err(error) if may_retry && error.may_retry() => {
                        may_retry = false;
                        self.forget(key, &tunnel);
                    }
                    result => return result.map_err(PoolError::Open),
                },
            }
        }
    }

    /// Takes a slot in a kept tunnel, or joins the dial under way, or begins one.
    fn step<IO, D>(&self, key: &K, dial: &Rc<D>) -> Result<Step<E>, PoolError<E>>
    where
        IO: AsyncRead + AsyncWrite + Unpin + 'static,
        D: AsyncFn() -> Result<Dialled<IO>, E> + 'static,
    {
        let mut peers = self.0.peers.borrow_mut();
        let peers = peers.as_mut().ok_or(PoolError::Draining)?;
        let peer = peers.entry(key.clone()).or_insert_with(|| Peer { tunnels: Vec::new(), dial: None });
        peer.tunnels.retain(Tunnel::is_usable);
        for tunnel in &peer.tunnels {
            if let Some(slot) = tunnel.try_slot() {
                return Ok(Step::Open(tunnel.clone(), slot));
            }
        }
        if let Some(dial) = peer.dial.as_ref().and_then(WeakShared::upgrade)
            && dial.peek().is_none()
        {
            return Ok(Step::Dial(dial));
        }
        let dial = establish(Rc::clone(dial), self.0.settings, Rc::clone(&self.0.tally)).boxed_local().shared();
        peer.dial = dial.downgrade();
        Ok(Step::Dial(dial))
    }

    /// Keeps a new tunnel. Each who waited for it comes by, the first enters it. If the key was closed
    /// meanwhile the tunnel is dropped, and all of them dial anew.
    fn keep(&self, key: &K, dial: &Shared<Dial<E>>, tunnel: Tunnel) -> Result<(), PoolError<E>> {
        if tunnel.capacity() == 0 {
            return Err(PoolError::NoStreams);
        }
        let mut peers = self.0.peers.borrow_mut();
        let Some(peer) = peers.as_mut().ok_or(PoolError::Draining)?.get_mut(key) else { return Ok(()) };
        if peer.dial.as_ref().and_then(WeakShared::upgrade).is_some_and(|latest| latest.ptr_eq(dial))
            && !peer.tunnels.iter().any(|kept| kept.is_same(&tunnel))
        {
            peer.tunnels.push(tunnel);
        }
        Ok(())
    }

    fn forget(&self, key: &K, tunnel: &Tunnel) {
        if let Some(peer) = self.0.peers.borrow_mut().as_mut().and_then(|peers| peers.get_mut(key)) {
            peer.tunnels.retain(|kept| !kept.is_same(tunnel));
        }
    }
}

impl<K, E> Pool<K, E> {
    /// Forgets the tunnels of matching keys: they take no more streams and end with their last one.
    pub fn close(&self, mut matches: impl FnMut(&K) -> bool) {
        if let Some(peers) = self.0.peers.borrow_mut().as_mut() {
            peers.retain(|key, _| !matches(key));
        }
    }

    /// Closes all and refuses new streams from now on.
    pub fn drain(&self) {
        self.0.peers.take();
    }

    /// Open tunnels and streams, also of tunnels already forgotten that still have streams.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.0.tally.counts()
    }
}

impl<K, E> Clone for Pool<K, E> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<K, E> fmt::Debug for Pool<K, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

async fn establish<IO, E, D>(dial: Rc<D>, settings: Settings, tally: Rc<Tally>) -> Result<Tunnel, DialError<E>>
where
    IO: AsyncRead + AsyncWrite + Unpin + 'static,
    D: AsyncFn() -> Result<Dialled<IO>, E>,
{
    let Dialled { io, until } = dial().await.map_err(DialError::Dial)?;
    connect_counted(io, &settings, until, tally).await.map_err(|error| DialError::Connect(Rc::new(error)))
}

/// Forgets dead and idle tunnels as long as the pool lives.
async fn sweep<K, E>(pool: Weak<Inner<K, E>>, period: Duration) {
    loop {
        sleep(period).await;
        let Some(pool) = pool.upgrade() else { return };
        let now = Instant::now();
        let is_idle = |tunnel: &Tunnel| {
            tunnel.tally().idle_since().is_some_and(|since| now.duration_since(since) >= pool.idle_timeout)
        };
        let mut peers = pool.peers.borrow_mut();
        let Some(peers) = peers.as_mut() else { return };
        peers.retain(|_, peer| {
            peer.tunnels.retain(|tunnel| tunnel.is_usable() && !is_idle(tunnel));
            !peer.tunnels.is_empty() || peer.dial.as_ref().is_some_and(|dial| dial.upgrade().is_some())
        });
    }
}

#[cfg(test)]
mod tests;
