//! What collectors are sent: gathered for a moment, bounded, and never waited for. A collector that is away costs its
//! spans and records, which are counted, and nothing else.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ambit_l7::telemetry::{Collector, CollectorHeader, CollectorProtocol};
use bytes::Bytes;
use http::request::Builder;
use http::{HeaderName, HeaderValue, Request, StatusCode, header};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::record::Record;
use super::span::Span;
use super::{otlp, zipkin};
use crate::body::Body;
use crate::config;
use crate::errand::{self, Errand, ErrandError};
use crate::failure::error_chain;
use crate::plan::Speak;
use crate::worker::Worker;

/// How long what came is gathered.
const GATHER: Duration = Duration::from_secs(1);
/// Most that is sent at once.
const BATCH: usize = 512;
/// Most bytes that wait for one collector, roughly, on each thread.
const MAX_WAITING: usize = 4 << 20;
/// A queue to which nothing came for so long is forgotten.
const IDLE: Duration = Duration::from_secs(60);
/// Longest wait for what is left at the end.
const LAST: Duration = Duration::from_secs(2);
/// A longer answer is none.
const MAX_ANSWER: usize = 64 << 10;

/// What waits for collectors, on one thread.
#[derive(Debug, Default)]
pub(crate) struct Exports(RefCell<HashMap<Arc<Collector>, Rc<Queue>>>);

/// What waits for one collector.
#[derive(Debug, Default)]
struct Queue {
    waiting: RefCell<Waiting>,
    came: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    spans: VecDeque<Span>,
    records: VecDeque<Record>,
    bytes: usize,
    /// Whether the last attempt failed: then the next failure is no news.
    failed: bool,
}

/// Why a collector did not get something.
#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error("its address cannot be written")]
    Address(#[from] http::uri::InvalidUri),
    #[error("the request cannot be written")]
    Request(#[from] http::Error),
    #[error("a header's value is not in the environment: {0}")]
    Environment(Arc<str>),
    #[error("its address could not be found in time")]
    TimedOut,
    #[error(transparent)]
    Errand(#[from] ErrandError),
    #[error("it answered {0}")]
    Status(StatusCode),
    #[error("it answered with the gRPC status {0:?}")]
    GrpcStatus(Option<u8>),
}

impl Exports {
    /// Has a span sent.
    pub(super) fn span(&self, worker: &Rc<Worker>, collector: &Arc<Collector>, span: Span) {
        let queue = self.queue(worker, collector);
        let fits = queue.fits(span.size());
        if fits {
            queue.waiting.borrow_mut().spans.push_back(span);
            queue.came.notify_one();
        } else {
            worker.metrics.spans_lost.inc();
        }
    }

    /// Has a record sent.
    pub(super) fn log(&self, worker: &Rc<Worker>, collector: &Arc<Collector>, record: Record) {
        let queue = self.queue(worker, collector);
        let fits = queue.fits(record.size());
        if fits {
            queue.waiting.borrow_mut().records.push_back(record);
            queue.came.notify_one();
        } else {
            worker.metrics.access_log_lost.inc();
        }
    }

    /// Sends what is left.
    pub(crate) async fn flush(&self, worker: &Rc<Worker>) {
        let queues: Vec<_> = self.0.borrow_mut().drain().collect();
        let all = queues.iter().map(|(collector, queue)| send_all(worker, collector, queue));
        if timeout(LAST, futures::future::join_all(all)).await.is_err() {
            tracing::warn!("a collector did not take what was left in time");
        }
    }

    fn queue(&self, worker: &Rc<Worker>, collector: &Arc<Collector>) -> Rc<Queue> {
        let mut queues = self.0.borrow_mut();
        let queue = queues.entry(Arc::clone(collector)).or_insert_with(|| {
            let queue = Rc::<Queue>::default();
            tokio::task::spawn_local(serve(Rc::clone(worker), Arc::clone(collector), Rc::clone(&queue)));
            queue
        });
        Rc::clone(queue)
    }
}

impl Queue {
    fn fits(&self, size: usize) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        let fits = waiting.bytes + size <= MAX_WAITING;
        if fits {
            waiting.bytes += size;
        }
        fits
    }

    fn take(&self) -> (Vec<Span>, Vec<Record>) {
        let mut waiting = self.waiting.borrow_mut();
        let spans = waiting.spans.len().min(BATCH);
        let spans: Vec<_> = waiting.spans.drain(..spans).collect();
        let records = waiting.records.len().min(BATCH);
        let records: Vec<_> = waiting.records.drain(..records).collect();
        let taken = spans.iter().map(Span::size).chain(records.iter().map(Record::size)).sum();
        waiting.bytes = waiting.bytes.saturating_sub(taken);
        (spans, records)
    }
}

/// Sends what comes, until nothing has come for long.
async fn serve(worker: Rc<Worker>, collector: Arc<Collector>, queue: Rc<Queue>) {
    while timeout(IDLE, queue.came.notified()).await.is_ok() {
        tokio::time::sleep(GATHER).await;
        send_all(&worker, &collector, &queue).await;
    }
    let mut queues = worker.exports.0.borrow_mut();
    // Another one may be there by now, after the end of the process was announced.
    if queues.get(&collector).is_some_and(|now| Rc::ptr_eq(now, &queue)) {
        queues.remove(&collector);
    }
}

async fn send_all(worker: &Rc<Worker>, collector: &Collector, queue: &Queue) {
    loop {
        let (spans, records) = queue.take();
        if spans.is_empty() && records.is_empty() {
            return;
        }
        let sent = match send_spans(worker, collector, &spans).await {
            Ok(()) => send_records(worker, collector, &records).await.inspect_err(|_| {
                worker.metrics.access_log_lost.inc_by(count(&records));
            }),
            Err(error) => {
                worker.metrics.spans_lost.inc_by(count(&spans));
                worker.metrics.access_log_lost.inc_by(count(&records));
                Err(error)
            }
        };
        let failed_before = std::mem::replace(&mut queue.waiting.borrow_mut().failed, sent.is_err());
        if let (Err(error), false) = (sent, failed_before) {
            let (host, port) = (&collector.host, collector.port);
            tracing::warn!(%host, port, error = %error_chain(&error), "a collector does not take spans and records");
        }
    }
}

fn count<T>(items: &[T]) -> u64 {
    u64::try_from(items.len()).unwrap_or(u64::MAX)
}

async fn send_spans(worker: &Rc<Worker>, collector: &Collector, spans: &[Span]) -> Result<(), ExportError> {
    if spans.is_empty() {
        return Ok(());
    }
    let own = Own::of(worker);
    match &collector.protocol {
        CollectorProtocol::OtlpGrpc => {
            let body = crate::callee::framed(&otlp::spans(spans, &own));
            send(worker, collector, otlp::TRACES, ("application/grpc", body)).await
        }
        CollectorProtocol::OtlpHttp(path) => {
            let body = prost::Message::encode_to_vec(&otlp::spans(spans, &own)).into();
            send(worker, collector, path, ("application/x-protobuf", body)).await
        }
        CollectorProtocol::Zipkin(path) => {
            send(worker, collector, path, ("application/json", zipkin::spans(spans, &own).into())).await
        }
    }
}

async fn send_records(worker: &Rc<Worker>, collector: &Collector, records: &[Record]) -> Result<(), ExportError> {
    if records.is_empty() {
        return Ok(());
    }
    let body = crate::callee::framed(&otlp::records(records, &Own::of(worker)));
    send(worker, collector, otlp::LOGS, ("application/grpc", body)).await
}

/// Who sends it.
#[derive(Debug)]
pub(super) struct Own {
    /// The waypoint, as users of traces know services: `waypoint.shop`.
    pub(super) service: String,
    pub(super) address: Option<std::net::IpAddr>,
}

impl Own {
    fn of(worker: &Worker) -> Self {
        let in_force = worker.in_force();
        let (service, workload) = (&in_force.own.service, in_force.own.workload.as_ref());
        let name = service.hostname.split('.').next().unwrap_or_default();
        let address = workload.and_then(|workload| workload.addresses.first().copied());
        Self { service: format!("{name}.{}", service.namespace), address }
    }
}

async fn send(
    worker: &Rc<Worker>,
    collector: &Collector,
    path: &str,
    (kind, body): (&'static str, Bytes),
) -> Result<(), ExportError> {
    let is_grpc = collector.protocol == CollectorProtocol::OtlpGrpc;
    let host = if collector.host.contains(':') { format!("[{}]", collector.host) } else { collector.host.to_string() };
    let uri: http::Uri = format!("http://{host}:{}{path}", collector.port).parse()?;
    let in_force = worker.in_force();
    let plain = Arc::default();
    let found = errand::destination(&in_force, &uri, &plain);
    let (destination, policy) = timeout(collector.timeout, found).await.map_err(|_| ExportError::TimedOut)??;
    let mut request = Request::post(uri).header(header::CONTENT_TYPE, kind);
    if is_grpc {
        request = request.header(header::TE, "trailers");
    }
    let request = with_headers(request, &collector.headers)?.body(Body::full(body))?;
    let speak = if is_grpc { Speak::Http2 } else { Speak::Http1 };
    let errand = Errand { destination, policy, speak, timeout: collector.timeout, max_body: MAX_ANSWER };
    let answer = errand.run(worker, &in_force, request).await?;
    if !answer.head.status.is_success() {
        return Err(ExportError::Status(answer.head.status));
    }
    match is_grpc.then(|| answer.grpc_status()) {
        None | Some(Some(0)) => Ok(()),
        Some(status) => Err(ExportError::GrpcStatus(status)),
    }
}

fn with_headers(mut request: Builder, headers: &[(HeaderName, CollectorHeader)]) -> Result<Builder, ExportError> {
    for (name, value) in headers {
        let value = match value {
            CollectorHeader::Value(value) => value.clone(),
            CollectorHeader::Environment(variable) => {
                let value = config::variable(variable).and_then(|value| HeaderValue::try_from(value).ok());
                value.ok_or_else(|| ExportError::Environment(Arc::clone(variable)))?
            }
        };
        request = request.header(name, value);
    }
    Ok(request)
}
