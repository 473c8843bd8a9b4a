//! Serving [`Routes`] on a listener.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Reply, Routes, text};

/// Connections at once; more wait in the listener's backlog. Probes and scrapers are a handful.
const MAX_CONNECTIONS: usize = 128;
/// Bytes of a request's head; the least that hyper takes.
const MAX_HEAD: usize = 8192;
/// Header lines of a request.
const MAX_HEADERS: usize = 64;
/// Bytes of a request's body. No endpoint wants one; clients send a few bytes all the same.
const MAX_BODY: usize = 4096;
/// Longest wait for a request's head. A probe gives up long before.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest life of a connection, which carries one request: enough to send a large configuration
/// over a slow port-forward.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 128;
/// Pause after a failed accept: file descriptors have run out, and some must be closed first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Listens on an address that a predecessor may still hold (`SO_REUSEPORT`): a new process is to be
/// asked while the old one ends, and the old one closes its listener first of all.
///
/// # Errors
/// If the address cannot be had.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves until `stop` is cancelled; then open connections are dropped.
pub async fn serve(listener: TcpListener, routes: Arc<Routes>, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, Arc::clone(&routes)));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

async fn connection(stream: TcpStream, routes: Arc<Routes>) {
    let service = service_fn(|request| answer(&routes, request));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        // One request each, so that nobody can hold a place by being idle.
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(CONNECTION_TIMEOUT, served).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "bad request"),
        Err(_) => tracing::debug!("a request took too long"),
    }
}

async fn answer(routes: &Routes, request: Request<Incoming>) -> Result<Reply, Infallible> {
    let (request, body) = request.into_parts();
    // Read before answering: closing over unread bytes would reset the connection under the answer.
    let body = Limited::new(body, MAX_BODY).collect().await;
    Ok(match body {
        Ok(_) => routes.answer(&request),
        Err(_) => text(StatusCode::PAYLOAD_TOO_LARGE, "no endpoint takes a body of this size\n"),
    })
}
