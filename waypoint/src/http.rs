//! Step 4: HTTP on a client's connection. Each request becomes a task of its own ([`request::serve`]); what a client
//! may send is bounded in bytes, headers and streams.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use ambit_hbone::TunnelStream;
use futures::FutureExt as _;
use http::header::CONNECTION;
use http::{HeaderValue, StatusCode};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::connection::Connection;
use crate::request::{self, Exchange};
use crate::rewind::Rewind;
use crate::upgrade::{Downstream, Upgrade};
use crate::worker::Worker;

/// Most bytes of a request's head, and most header lines, as the field's proxies have them by default (60 KiB, 100).
const MAX_HEAD: usize = 64 << 10;
const MAX_HEADERS: usize = 100;
/// Most bytes hyper holds of a connection.
const MAX_BUFFER: usize = 2 * MAX_HEAD;
/// How long a connection may be without a request.
const IDLE: Duration = Duration::from_secs(3600);
/// How long a client may take to end its side once we have ended ours.
const LINGER: Duration = Duration::from_secs(60);
/// Requests of one connection at a time.
const MAX_STREAMS: u32 = 1024;
/// Bytes a client may send ahead on one stream, and on all of a connection.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// Streams reset before we have seen them; beyond, the connection is closed ("rapid reset", CVE-2023-44487).
const MAX_RESET_STREAMS: usize = 50;
/// PINGs that find clients which are gone without a word.
const PING_EVERY: Duration = Duration::from_secs(30);

/// What all requests of a connection share.
#[derive(Clone)]
pub(crate) struct Served {
    /// Its thread's worker.
    pub(crate) worker: Rc<Worker>,
    /// The connection.
    pub(crate) connection: Rc<Connection>,
}

/// Serves HTTP/1.x.
pub(crate) async fn serve_http1(worker: &Rc<Worker>, connection: Rc<Connection>, stream: Rewind<TunnelStream>) {
    let served = Served { worker: Rc::clone(worker), connection };
    let handoff = Rc::new(RefCell::new(None::<Upgrade>));
    let service = service_fn(|request: http::Request<Incoming>| {
        let exchange = Exchange::new(&served, Downstream::Http1(Rc::clone(&handoff)));
        let announced = worker.drain.announced();
        Box::pin(request::serve(exchange, request).map(move |mut answer| {
            // So that the client opens its next connection elsewhere, rather than send a request into this one's end.
            if announced.is_cancelled() && answer.status() != StatusCode::SWITCHING_PROTOCOLS {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(answer)
        }))
    });
    let mut serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(MAX_BUFFER)
        .max_header_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    let ended = tokio::select! {
        ended = poll_fn(|cx| serving.poll_without_shutdown(cx)) => Some(ended),
        () = worker.drain.begun().cancelled() => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            Pin::new(&mut serving).graceful_shutdown();
            poll_fn(|cx| serving.poll_without_shutdown(cx)).await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(client = %served.connection.client.address, %error, "an HTTP/1 connection broke");
    }
    let parts = serving.into_parts();
    let stream = Rewind::with(&parts.read_buf, parts.io.into_inner());
    let upgrade = handoff.borrow_mut().take();
    match upgrade {
        Some(upgrade) => upgrade.carry(worker, stream).await,
        None => end(stream).await,
    }
}

/// Ends our side and waits for the client's: a stream that is dropped before is reset, and with it the answer that
/// may still be on its way.
async fn end(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let ended = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    };
    match tokio::time::timeout(LINGER, ended).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::trace!(%error, "a client did not wait for the end"),
        Err(_elapsed) => tracing::trace!("a client did not end its side"),
    }
}

/// Serves HTTP/2.
pub(crate) async fn serve_http2(worker: &Rc<Worker>, connection: Rc<Connection>, stream: Rewind<TunnelStream>) {
    let served = Served { worker: Rc::clone(worker), connection };
    let address = served.connection.client.address;
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        let exchange = Exchange::new(&served, Downstream::Http2(hyper::upgrade::on(&mut request)));
        Box::pin(request::serve(exchange, request).map(Ok::<_, Infallible>))
    });
    let kept = Kept(Rc::new(RefCell::new(stream)));
    let serving = http2::Builder::new(OnThisThread)
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_pending_accept_reset_streams(MAX_RESET_STREAMS)
        .keep_alive_interval(PING_EVERY)
        .enable_connect_protocol()
        .serve_connection(TokioIo::new(kept.clone()), service);
    let mut serving = pin!(serving);
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = worker.drain.begun().cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(client = %address, %error, "an HTTP/2 connection broke");
    }
    end(kept).await;
}

/// A stream that outlives who serves it: the last answers and GOAWAY may still be on their way then.
#[derive(Clone)]
struct Kept(Rc<RefCell<Rewind<TunnelStream>>>);

impl AsyncRead for Kept {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_read(cx, into)
    }
}

impl AsyncWrite for Kept {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.borrow().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_shutdown(cx)
    }
}

/// Tasks of a connection stay on its thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OnThisThread;

impl<F: Future<Output: 'static> + 'static> Executor<F> for OnThisThread {
    fn execute(&self, task: F) {
        // On its way to the runtime a task is moved half a dozen times, and hyper's have more than a kilobyte.
        tokio::task::spawn_local(Box::pin(task));
    }
}
