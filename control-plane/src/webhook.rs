//! The validating webhook's server: reviews in, answers out, over HTTPS.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use ambit_compile::Options;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::accept::Connection;
use crate::admission;

/// Where it is asked.
const PATH: &str = "/validate";
/// Bytes of a review: an object and its predecessor, each of at most what etcd stores (1.5 MiB).
const MAX_BODY: usize = 4 << 20;
/// Bytes of a request's head; the least that hyper takes.
const MAX_HEAD: usize = 8192;
/// Longest wait for the next request's head on an open connection: how long one may be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait for a body. The API server itself waits ten seconds for the answer.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections of one address, idle ones and handshakes among them.
pub(crate) const OF_ADDRESS: usize = 16;
/// Connections served at once: API servers are a handful. More wait, and are served in their turn.
const MAX_CONNECTIONS: usize = 64;

/// HTTP/1.1 in place of HTTP/2.
pub(crate) fn tls(mut config: ServerConfig) -> ServerConfig {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

/// Serves until `stop`.
pub(crate) async fn serve(mut connections: mpsc::Receiver<Connection>, options: Options, stop: CancellationToken) {
    let options = Arc::new(options);
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            Some(_) = open.join_next() => {}
            Some(connection) = connections.recv(), if open.len() < MAX_CONNECTIONS => {
                open.spawn(serve_one(connection, Arc::clone(&options)));
            }
        }
    }
}

async fn serve_one(connection: Connection, options: Arc<Options>) {
    let service = service_fn(|request| answer(request, &options));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(connection), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "bad request to the webhook");
    }
}

async fn answer(request: Request<Incoming>, options: &Options) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() != Method::POST || request.uri().path() != PATH {
        return Ok(reply(StatusCode::NOT_FOUND, "POST /validate is all there is\n"));
    }
    let body = Limited::new(request.into_body(), MAX_BODY).collect();
    let body = match tokio::time::timeout(BODY_TIMEOUT, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => return Ok(reply(StatusCode::PAYLOAD_TOO_LARGE, "no review is as large\n")),
        Err(_) => return Ok(reply(StatusCode::REQUEST_TIMEOUT, "the review took too long\n")),
    };
    Ok(match admission::answer(&body, options) {
        Ok(review) => {
            let mut reply = reply(StatusCode::OK, review.to_string());
            reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            reply
        }
        Err(error) => reply(StatusCode::BAD_REQUEST, format!("{error}\n")),
    })
}

fn reply(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    reply
}
