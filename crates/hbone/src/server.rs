//! The side that accepts streams.

use std::rc::Rc;

use ambit_model::Identity;
use bytes::Bytes;
use futures::future::poll_fn;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::authority::{self, Authority};
use crate::outbox::Outbox;
use crate::tally::{Slot, TunnelTally};
use crate::{
    Baggage, ClientPrincipalError, Fault, Forwarded, Settings, TraceParent, TunnelStream, baggage, client_principal,
    forwarded, traceparent,
};

/// Streams reset by the peer before we have seen them, and streams reset by us whose late frames we
/// still know; beyond either the connection is closed ("rapid reset", CVE-2023-44487).
const MAX_RESET_STREAMS: usize = 50;

/// Why a tunnel ended otherwise than by its streams and its client ending.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// No HTTP/2 client preface, or a broken one.
    #[error("HTTP/2 handshake failed")]
    Handshake(#[source] Fault),
    /// The preface took longer than [`Settings::handshake_timeout`].
    #[error("HTTP/2 handshake timed out")]
    HandshakeTimeout,
    /// The peer broke the protocol, or the transport broke.
    #[error("the tunnel broke")]
    Tunnel(#[source] Fault),
    /// The peer no longer answers.
    #[error("the peer does not answer")]
    Dead,
}

/// Why an accepted request is of no use any more.
#[derive(Debug, thiserror::Error)]
#[error("the client is gone")]
pub struct AcceptError(#[source] Fault);

/// Serves one client: calls `on_request` for each CONNECT, which should spawn a task for it and
/// return at once. Ends when the client does; after `drain` is cancelled the client is told to open
/// no more streams, and the end comes with the last of them. Dropping the future breaks all streams.
///
/// # Errors
/// When the client breaks the protocol, breaks the connection or no longer answers.
pub async fn serve<IO, F>(
    io: IO,
    settings: &Settings,
    drain: CancellationToken,
    mut on_request: F,
) -> Result<(), ServeError>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    F: FnMut(IncomingConnect),
{
    let outbox = Outbox::new(io);
    let handshake = builder(settings).handshake(outbox.clone());
    let mut connection: Connection<Outbox<IO>, Bytes> = timeout(settings.handshake_timeout, handshake)
        .await
        .map_err(|_| ServeError::HandshakeTimeout)?
        .map_err(|error| ServeError::Handshake(error.into()))?;
    let mut dead = std::pin::pin!(settings.keepalive.watch(connection.ping_pong()));
    let mut draining = false;
    let requests = Requests::new(settings);
    loop {
        tokio::select! {
            biased;
            accepted = poll_fn(|cx| outbox.poll_turn(cx, |cx| connection.poll_accept(cx))) => match accepted {
                Some(Ok((request, respond))) => requests.take(request, respond, &mut on_request),
                Some(Err(error)) => return Err(ServeError::Tunnel(error.into())),
                None => return Ok(()),
            },
            () = &mut dead => return Err(ServeError::Dead),
            () = drain.cancelled(), if !draining => {
                draining = true;
                connection.graceful_shutdown();
            }
        }
    }
}

fn builder(settings: &Settings) -> Builder {
    let mut builder = Builder::new();
    builder
        .initial_window_size(settings.stream_window)
        .initial_connection_window_size(settings.connection_window)
        .max_frame_size(settings.max_frame)
        .max_header_list_size(settings.max_header_list)
        .max_concurrent_streams(settings.max_streams)
        .max_send_buffer_size(settings.send_buffer)
        .max_pending_accept_reset_streams(MAX_RESET_STREAMS)
        .max_concurrent_reset_streams(MAX_RESET_STREAMS);
    builder
}

/// What every request of one connection passes.
struct Requests {
    live: Rc<TunnelTally>,
    max_live: usize,
}

impl Requests {
    /// A stream the client has reset no longer counts for HTTP/2, while its task may still be
    /// connecting upstream. Twice the streams is the bound on such tasks.
    fn new(settings: &Settings) -> Self {
        let max_live = usize::try_from(settings.max_streams).unwrap_or(usize::MAX).saturating_mul(2);
        Self { live: TunnelTally::new(Rc::default()), max_live }
    }

    fn take(
        &self,
        request: Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
        on_request: impl FnOnce(IncomingConnect),
    ) {
        if self.live.streams() >= self.max_live {
            return respond.send_reset(Reason::REFUSED_STREAM);
        }
        let (head, body) = request.into_parts();
        match target(&head) {
            Some(authority) => {
                let slot = self.live.slot();
                on_request(IncomingConnect { authority, headers: head.headers, body, respond, slot });
            }
            None => answer(&mut respond, StatusCode::BAD_REQUEST),
        }
    }
}

/// The target of a well-formed CONNECT: a method, an authority and nothing else (RFC 9113 §8.5).
fn target(head: &http::request::Parts) -> Option<Authority> {
    if head.method != Method::CONNECT || head.uri.scheme().is_some() || head.uri.path_and_query().is_some() {
        return None;
    }
    authority::parse(head.uri.authority()?.as_str()).ok()
}

/// Answers and ends the stream. The client may be gone by now, which is as good as an answer.
fn answer(respond: &mut SendResponse<Bytes>, status: StatusCode) {
    let mut response = Response::new(());
    *response.status_mut() = status;
    if let Err(error) = respond.send_response(response, true) {
        tracing::trace!(%error, "client gone before the answer");
    }
}

/// A CONNECT request that waits for an answer. Dropped without one, its stream is reset.
#[derive(Debug)]
pub struct IncomingConnect {
    authority: Authority,
    headers: HeaderMap,
    body: RecvStream,
    respond: SendResponse<Bytes>,
    slot: Slot,
}

impl IncomingConnect {
    /// Where the connection is for.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Who the client says it is. Proves nothing; absent when missing or malformed.
    #[must_use]
    pub fn baggage(&self) -> Option<Baggage> {
        baggage::parse(self.headers.get("baggage")?.as_bytes()).ok()
    }

    /// Whose connection the client says it carries. Proves nothing; absent when missing or malformed.
    #[must_use]
    pub fn forwarded(&self) -> Option<Forwarded> {
        forwarded::parse(self.headers.get("forwarded")?.as_bytes()).ok()
    }

    /// Who the client is, in the word of the tunnel's other end; nothing where that says nothing of it. Proves
    /// nothing by itself.
    ///
    /// # Errors
    /// When it says what cannot be read.
    pub fn client_principal(&self) -> Result<Option<Identity>, ClientPrincipalError> {
        client_principal::read(&self.headers)
    }

    /// The connection's place in a trace; absent when missing or malformed.
    #[must_use]
    pub fn traceparent(&self) -> Option<TraceParent> {
        traceparent::parse(self.headers.get("traceparent")?.as_bytes()).ok()
    }

    /// Waits until the client gives the request up, so that work for it can be dropped.
    pub async fn given_up(&mut self) {
        // Whatever the reason is, the client is gone.
        poll_fn(|cx| self.respond.poll_reset(cx).map(drop)).await;
    }

    /// Answers 200 and gives the byte stream.
    ///
    /// # Errors
    /// When the client has given the request up.
    pub fn accept(mut self) -> Result<TunnelStream, AcceptError> {
        let send = self.respond.send_response(Response::new(()), false).map_err(|error| AcceptError(error.into()))?;
        Ok(TunnelStream::new(send, self.body, self.slot))
    }

    /// Answers with another status than 200 and ends the stream.
    pub fn refuse(mut self, status: StatusCode) {
        answer(&mut self.respond, status);
    }
}

#[cfg(test)]
mod tests;
