//! A collector of spans and records: Zipkin's JSON by HTTP/1.1, OTLP by gRPC.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use ambit_tests::Netns;
use anyhow::Result;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use prost::Message;
use tokio::runtime::{self, Runtime};

/// Its port on the loopback address: it is a plain host, none of the mesh's services.
pub(crate) const PORT: u16 = 9411;

/// In front of a message of gRPC.
const PREFIX: usize = 5;

/// What came.
#[derive(Debug, Clone)]
pub(crate) struct Came {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// The collector, until it is dropped.
pub(crate) struct Sink {
    came: Arc<Mutex<Vec<Came>>>,
    // Its tasks end with it.
    _runtime: Runtime,
}

impl Sink {
    pub(crate) fn start(netns: &Netns) -> Result<Self> {
        let listener = netns.run(|| TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT))))??;
        listener.set_nonblocking(true)?;
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let came = Arc::<Mutex<Vec<Came>>>::default();
        let _entered = runtime.enter();
        runtime.spawn(serve(tokio::net::TcpListener::from_std(listener)?, Arc::clone(&came)));
        Ok(Self { came, _runtime: runtime })
    }

    /// All that came so far.
    pub(crate) fn came(&self) -> Vec<Came> {
        self.came.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Spans of Zipkin's.
    pub(crate) fn zipkin(&self) -> Vec<serde_json::Value> {
        let of = |came: Came| serde_json::from_slice::<Vec<serde_json::Value>>(&came.body).unwrap_or_default();
        self.came().into_iter().flat_map(of).collect()
    }

    /// Spans of OTLP's.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let resources = self.decoded::<Traces>("TraceService/Export").into_iter().flat_map(|traces| traces.resources);
        resources.flat_map(|resource| resource.scopes).flat_map(|scope| scope.spans).collect()
    }

    /// Records of OTLP's logs.
    pub(crate) fn records(&self) -> Vec<Record> {
        let resources = self.decoded::<Logs>("LogsService/Export").into_iter().flat_map(|logs| logs.resources);
        resources.flat_map(|resource| resource.scopes).flat_map(|scope| scope.records).collect()
    }

    fn decoded<M: Message + Default>(&self, path: &str) -> Vec<M> {
        let came = self.came().into_iter().filter(|came| came.path.ends_with(path));
        came.filter_map(|came| M::decode(came.body.get(PREFIX..)?).ok()).collect()
    }
}

async fn serve(listener: tokio::net::TcpListener, all: Arc<Mutex<Vec<Came>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let all = Arc::clone(&all);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, Arc::clone(&all)));
            // How a connection ends is for the waypoint to see.
            auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await.ok();
        });
    }
}

async fn answer(request: Request<Incoming>, all: Arc<Mutex<Vec<Came>>>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let is_grpc = head.headers.get("content-type").is_some_and(|kind| kind == "application/grpc");
    let path = head.uri.path().to_owned();
    all.lock().unwrap_or_else(PoisonError::into_inner).push(Came { path, headers: head.headers, body });
    let mut response = Response::new(Full::default());
    if is_grpc {
        // All there is to say is said in the head, as gRPC allows.
        response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
        response.headers_mut().insert("grpc-status", HeaderValue::from_static("0"));
    }
    Ok(response)
}

#[derive(Clone, PartialEq, Message)]
struct Traces {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<OfTraces>,
}

#[derive(Clone, PartialEq, Message)]
struct OfTraces {
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<ScopeOfTraces>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeOfTraces {
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

/// A span.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Span {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    pub(crate) name: String,
    #[prost(int32, tag = "6")]
    pub(crate) kind: i32,
    #[prost(message, repeated, tag = "9")]
    pub(crate) attributes: Vec<Pair>,
}

#[derive(Clone, PartialEq, Message)]
struct Logs {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<OfLogs>,
}

#[derive(Clone, PartialEq, Message)]
struct OfLogs {
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<ScopeOfLogs>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeOfLogs {
    #[prost(message, repeated, tag = "2")]
    records: Vec<Record>,
}

/// A record of a log.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Record {
    #[prost(message, optional, tag = "5")]
    pub(crate) body: Option<Text>,
    #[prost(message, repeated, tag = "6")]
    pub(crate) attributes: Vec<Pair>,
}

/// An attribute.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Pair {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<Text>,
}

/// A value.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Text {
    #[prost(string, tag = "1")]
    pub(crate) text: String,
}

/// What an attribute says.
pub(crate) fn attribute<'a>(all: &'a [Pair], key: &str) -> Option<&'a str> {
    Some(&all.iter().find(|pair| pair.key == key)?.value.as_ref()?.text)
}
