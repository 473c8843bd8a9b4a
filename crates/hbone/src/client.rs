//! The side that opens streams.

use std::rc::Rc;

use ambit_model::Identity;
use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::poll_fn;
use h2::client::{Builder, Connection, SendRequest};
use http::{HeaderValue, Method, Request, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout};

use crate::outbox::Outbox;
use crate::tally::{Slot, Tally, TunnelTally};
use crate::{Authority, CLIENT_PRINCIPAL, Fault, Forwarded, Keepalive, Settings, TraceParent, TunnelStream};

/// Why no tunnel came about.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The HTTP/2 handshake failed.
    #[error("HTTP/2 handshake failed")]
    Handshake(#[source] Fault),
    /// It took longer than [`Settings::handshake_timeout`].
    #[error("HTTP/2 handshake timed out")]
    Timeout,
}

/// Why a stream was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The peer answered with another status than 200.
    #[error("the peer answered {status}")]
    Refused {
        /// Its HTTP status.
        status: u16,
    },
    /// The request's headers cannot be written.
    #[error("the request cannot be written")]
    Request(#[source] http::Error),
    /// The stream or the whole tunnel broke before the answer.
    #[error("the tunnel broke before the answer")]
    Tunnel(#[source] Fault),
}

impl OpenError {
    /// Whether the same request may be tried on another tunnel.
    pub(crate) fn may_retry(&self) -> bool {
        match self {
            Self::Tunnel(fault) => fault.may_retry(),
            Self::Refused { .. } | Self::Request(_) => false,
        }
    }
}

/// What a stream is asked for with.
#[derive(Debug, Clone)]
pub struct ConnectRequest {
    /// Where the connection is for.
    pub authority: Authority,
    /// Who the source is, see [`crate::Baggage::header`].
    pub baggage: Option<HeaderValue>,
    /// Whose connection it is.
    pub forwarded: Option<Forwarded>,
    /// Its place in a trace.
    pub traceparent: Option<TraceParent>,
    /// Who the client is, where a waypoint vouches for it.
    pub client_principal: Option<Identity>,
}

impl ConnectRequest {
    /// A request with no more than the target.
    #[must_use]
    pub fn new(authority: Authority) -> Self {
        Self { authority, baggage: None, forwarded: None, traceparent: None, client_principal: None }
    }

    fn to_http(&self) -> Result<Request<()>, http::Error> {
        let mut request = Request::builder().method(Method::CONNECT).uri(self.authority.to_string());
        if let Some(baggage) = &self.baggage {
            request = request.header("baggage", baggage);
        }
        if let Some(forwarded) = &self.forwarded {
            request = request.header("forwarded", forwarded.to_string());
        }
        if let Some(traceparent) = &self.traceparent {
            request = request.header("traceparent", traceparent.to_string());
        }
        if let Some(client) = &self.client_principal {
            request = request.header(CLIENT_PRINCIPAL, client.to_string());
        }
        request.body(())
    }
}

/// A connection that carries streams. A clone is another handle to the same connection, which ends
/// when the last handle is dropped and the last stream has ended.
#[derive(Debug, Clone)]
pub struct Tunnel {
    send: SendRequest<Bytes>,
    tally: Rc<TunnelTally>,
    max_streams: usize,
    /// When it takes no more streams.
    until: Option<Instant>,
}

/// Makes a tunnel of `io` and spawns its driver on the current `LocalSet`.
///
/// # Errors
/// When the HTTP/2 handshake fails or takes too long.
pub async fn connect<IO>(io: IO, settings: &Settings) -> Result<Tunnel, ConnectError>
where
    IO: AsyncRead + AsyncWrite + Unpin + 'static,
{
    connect_counted(io, settings, None, Rc::default()).await
}

/// [`connect`], for new streams `until` then, counted in `pool`.
pub(crate) async fn connect_counted<IO>(
    io: IO,
    settings: &Settings,
    until: Option<Instant>,
    pool: Rc<Tally>,
) -> Result<Tunnel, ConnectError>
where
    IO: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let outbox = Outbox::new(io);
    let handshake = builder(settings).handshake(outbox.clone());
    let (send, connection) = timeout(settings.handshake_timeout, handshake)
        .await
        .map_err(|_| ConnectError::Timeout)?
        .map_err(|error| ConnectError::Handshake(error.into()))?;
    let tally = TunnelTally::new(pool);
    let (up, keepalive) = (tally.up(), settings.keepalive);
    spawn_local(async move {
        drive(connection, outbox, keepalive).await;
        drop(up);
    });
    Ok(Tunnel { send, tally, max_streams: usize::try_from(settings.max_streams).unwrap_or(usize::MAX), until })
}

fn builder(settings: &Settings) -> Builder {
    let mut builder = Builder::new();
    builder
        .initial_window_size(settings.stream_window)
        .initial_connection_window_size(settings.connection_window)
        .max_frame_size(settings.max_frame)
        .max_header_list_size(settings.max_header_list)
        .initial_max_send_streams(usize::try_from(settings.max_streams).unwrap_or(usize::MAX))
        .max_send_buffer_size(settings.send_buffer)
        .enable_push(false);
    builder
}

/// Moves a tunnel's frames until it ends. Dropping the connection breaks what streams are left.
async fn drive<IO: AsyncRead + AsyncWrite + Unpin>(
    mut connection: Connection<Outbox<IO>, Bytes>,
    outbox: Outbox<IO>,
    keepalive: Keepalive,
) {
    let ping = connection.ping_pong();
    tokio::select! {
        biased;
        ended = poll_fn(|cx| outbox.poll_turn(cx, |cx| connection.poll_unpin(cx))) => {
            if let Err(error) = ended {
                tracing::debug!(%error, "tunnel broke");
            }
        }
        () = keepalive.watch(ping) => tracing::debug!("tunnel closed: the peer does not answer"),
    }
}

impl Tunnel {
    /// Opens a stream. How long to wait for the answer is the caller's choice: dropping the future
    /// gives the request up.
    ///
    /// # Errors
    /// When the peer refuses or the tunnel breaks.
    pub async fn open(&self, request: &ConnectRequest) -> Result<TunnelStream, OpenError> {
        self.open_in(self.tally.slot(), request).await
    }

    /// [`Self::open`] with a slot taken before.
    pub(crate) async fn open_in(&self, slot: Slot, request: &ConnectRequest) -> Result<TunnelStream, OpenError> {
        let broke = |error: h2::Error| OpenError::Tunnel(error.into());
        let request = request.to_http().map_err(OpenError::Request)?;
        let mut send = self.send.clone().ready().await.map_err(broke)?;
        let (response, stream) = send.send_request(request, false).map_err(broke)?;
        drop(send);
        let response = response.await.map_err(broke)?;
        if response.status() != StatusCode::OK {
            return Err(OpenError::Refused { status: response.status().as_u16() });
        }
        Ok(TunnelStream::new(stream, response.into_body(), slot))
    }

    /// Takes room for one more stream, if there is any by our own limit and the peer's.
    pub(crate) fn try_slot(&self) -> Option<Slot> {
        (self.tally.streams() < self.capacity()).then(|| self.tally.slot())
    }

    /// How many streams it can carry.
    pub(crate) fn capacity(&self) -> usize {
        self.max_streams.min(self.send.current_max_send_streams())
    }

    /// Whether it still takes new streams: not after its end or its time, and not after a GOAWAY.
    pub(crate) fn is_usable(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() < until)
            && matches!(self.send.clone().ready().now_or_never(), Some(Ok(_)))
    }

    /// Its count of streams.
    pub(crate) fn tally(&self) -> &TunnelTally {
        &self.tally
    }

    /// Whether both are handles to one connection.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.tally, &other.tally)
    }
}
