//! A service that counts (`envoy.service.ratelimit.v3`): so many requests a minute for each descriptor.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use ambit_tests::Netns;
use anyhow::Result;
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::combinators::WithTrailers;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::runtime::{self, Runtime};

/// Where it is, on port 8081.
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 41);

#[derive(Clone, PartialEq, Message)]
struct Asked {
    #[prost(string, tag = "1")]
    domain: String,
    #[prost(message, repeated, tag = "2")]
    descriptors: Vec<Descriptor>,
    #[prost(uint32, tag = "3")]
    hits: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Descriptor {
    #[prost(message, repeated, tag = "1")]
    entries: Vec<Pair>,
}

#[derive(Clone, PartialEq, Message)]
struct Pair {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Answer {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(message, repeated, tag = "2")]
    statuses: Vec<Status>,
    #[prost(message, repeated, tag = "3")]
    to_client: Vec<Pair>,
    #[prost(message, repeated, tag = "4")]
    to_backend: Vec<Pair>,
    #[prost(bytes = "bytes", tag = "5")]
    body: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(message, optional, tag = "2")]
    limit: Option<Limit>,
    #[prost(uint32, tag = "3")]
    left: u32,
    #[prost(message, optional, tag = "4")]
    reset: Option<prost_types::Duration>,
}

#[derive(Clone, PartialEq, Message)]
struct Limit {
    #[prost(uint32, tag = "1")]
    requests: u32,
    #[prost(int32, tag = "2")]
    unit: i32,
}

/// What it was asked, and how often.
#[derive(Default)]
struct Book {
    asked: Vec<String>,
    counts: HashMap<String, u32>,
}

/// The service, until it is dropped.
pub(crate) struct Counts {
    book: Arc<Mutex<Book>>,
    // Its tasks end with it.
    _runtime: Runtime,
}

impl Counts {
    /// Lets so many requests of each descriptor pass.
    pub(crate) fn start(netns: &Netns, most: u32) -> Result<Self> {
        let listener = netns.run(|| TcpListener::bind(SocketAddr::from((ADDRESS, 8081))))??;
        listener.set_nonblocking(true)?;
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let book = Arc::<Mutex<Book>>::default();
        let _entered = runtime.enter();
        runtime.spawn(serve(tokio::net::TcpListener::from_std(listener)?, most, Arc::clone(&book)));
        Ok(Self { book, _runtime: runtime })
    }

    /// What it was asked, as `domain hits: key=value,…`.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner).asked.clone()
    }
}

async fn serve(listener: tokio::net::TcpListener, most: u32, book: Arc<Mutex<Book>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let book = Arc::clone(&book);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, most, Arc::clone(&book)));
            let server = http2::Builder::new(TokioExecutor::new());
            // How a connection ends is for the waypoint to see.
            server.serve_connection(TokioIo::new(stream), service).await.ok();
        });
    }
}

type Body = WithTrailers<Full<Bytes>, std::future::Ready<Option<Result<HeaderMap, Infallible>>>>;

async fn answer(request: Request<Incoming>, most: u32, book: Arc<Mutex<Book>>) -> Result<Response<Body>> {
    let is_known = request.uri().path() == "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit";
    let question = request.into_body().collect().await?.to_bytes();
    let asked = Asked::decode(question.slice(5..))?;
    let answered = book.lock().unwrap_or_else(PoisonError::into_inner).count(&asked, most);
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(answered.encoded_len())?);
    answered.encode(&mut bytes)?;
    let status = HeaderValue::from_static(if is_known { "0" } else { "12" });
    let trailers = HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), status)]);
    let body = Full::new(bytes.freeze()).with_trailers(std::future::ready(Some(Ok(trailers))));
    Ok(Response::builder().header("content-type", "application/grpc").body(body)?)
}

impl Book {
    fn count(&mut self, asked: &Asked, most: u32) -> Answer {
        let pair = |key: &str, value: &str| Pair { key: key.into(), value: value.into() };
        let statuses: Vec<_> = asked.descriptors.iter().map(|of| self.status(asked, of, most)).collect();
        let code = statuses.iter().map(|status| status.code).max().unwrap_or(1);
        Answer {
            code,
            statuses,
            to_client: vec![pair("x-counted", "yes"), pair("content-type", "application/json")],
            to_backend: vec![pair("x-counted", "for you")],
            body: Bytes::from_static(if code == 2 { b"too many" } else { b"" }),
        }
    }

    fn status(&mut self, asked: &Asked, of: &Descriptor, most: u32) -> Status {
        let entries = of.entries.iter().map(|entry| format!("{}={}", entry.key, entry.value));
        let line = format!("{} {}: {}", asked.domain, asked.hits, entries.collect::<Vec<_>>().join(","));
        self.asked.push(line.clone());
        let count = self.counts.entry(line).or_default();
        *count += asked.hits;
        let (code, left) = if *count > most { (2, 0) } else { (1, most - *count) };
        let reset = Some(prost_types::Duration { seconds: 30, nanos: 0 });
        Status { code, limit: Some(Limit { requests: most, unit: 2 }), left, reset }
    }
}
