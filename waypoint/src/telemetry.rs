//! What users want to be told of requests: lines in their own formats, spans, labels of metrics.
//!
//! | what | file |
//! | --- | --- |
//! | contexts of traces, and whether a request is traced | `telemetry/trace.rs` |
//! | spans of a request | `telemetry/span.rs` |
//! | connections that are no HTTP | `telemetry/connection.rs` |
//! | files of logs | `telemetry/files.rs` |
//! | lines and records of logs | `telemetry/record.rs` |
//! | what collectors are sent, and when | `telemetry/export.rs`, `telemetry/otlp.rs`, `telemetry/zipkin.rs` |

mod connection;
mod export;
mod files;
mod otlp;
mod record;
mod span;
mod trace;
mod zipkin;

use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ambit_l7::telemetry::{Ended, ReportedMetric, Telemetry};
use ambit_model::{Identity, Workload};
use ambit_telemetry::{EndedRequest, Flow, LabelChanges, Observer, RequestMetric, RequestRecord};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::connection::Connection;
use crate::in_force::InForce;
use crate::worker::Worker;
pub(crate) use connection::ConnectionReport;
pub(crate) use export::Exports;
pub(crate) use files::LogFiles;
use record::Told;
use span::Span;
use trace::Trace;

/// The record of a request, with what is told at its end.
pub(crate) type Record = RequestRecord<Report>;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What is kept of a request for those who are told of its end.
pub(crate) struct Report {
    worker: Rc<Worker>,
    telemetry: Arc<Telemetry>,
    /// Who this waypoint is.
    own: Identity,
    own_workload: Option<Arc<Workload>>,
    client: SocketAddr,
    asked: SocketAddr,
    began: SystemTime,
    /// From its beginning to when it went on.
    waited: Option<Duration>,
    trace: Option<Trace>,
    pub(crate) request_headers: HeaderMap,
    pub(crate) response_headers: HeaderMap,
    pub(crate) response_trailers: HeaderMap,
}

/// Opens the record of a request that has just come.
pub(crate) fn open(worker: &Rc<Worker>, connection: &Connection, in_force: &InForce, flow: Flow) -> Record {
    let telemetry = in_force.rules(connection.to.service()).rules.telemetry.clone();
    let is_logged_elsewhere = telemetry.as_ref().is_some_and(|telemetry| telemetry.logs.is_some());
    let log = worker.log.clone().filter(|_| !is_logged_elsewhere);
    let report = telemetry.map(|telemetry| {
        Box::new(Report {
            worker: Rc::clone(worker),
            telemetry,
            own: in_force.own.identity.clone(),
            own_workload: in_force.own.workload.clone(),
            client: connection.client.address.socket(),
            asked: connection.target.socket(),
            began: SystemTime::now(),
            waited: None,
            trace: None,
            request_headers: HeaderMap::new(),
            response_headers: HeaderMap::new(),
            response_trailers: HeaderMap::new(),
        })
    });
    RequestRecord::open(flow, Arc::clone(&worker.requests), log, report)
}

impl Report {
    /// Decides whether the request is traced, and tells so to whoever comes next.
    pub(crate) fn trace(&mut self, headers: &mut HeaderMap) {
        if let Some(tracing) = &self.telemetry.tracing {
            self.trace = Some(Trace::begin(tracing, headers, &mut self.worker.rng.borrow_mut()));
        }
        if let Some(id) = headers.get(REQUEST_ID) {
            self.request_headers.insert(REQUEST_ID, HeaderValue::clone(id));
        }
    }

    /// The request went on so long ago.
    pub(crate) fn went_on(&mut self, ago: Duration) {
        self.waited = Some(self.began.elapsed().unwrap_or_default().saturating_sub(ago));
    }

    fn tell(&self, ended: &Ended<'_>, request: &EndedRequest<'_>) {
        let trace = self.trace.as_ref().map(|trace| (trace.trace_id.get(), trace.server.get()));
        let told = Told { line: &|format| request.line(format), began: self.began, trace };
        record::log(&self.worker, self.telemetry.logs.as_deref().unwrap_or_default(), ended, &told);
        let Some(tracing) = self.telemetry.tracing.as_ref().filter(|tracing| tracing.report) else { return };
        if let Some(trace) = self.trace.as_ref().filter(|trace| trace.is_sampled()) {
            let spans = Span::of(self, trace, tracing, ended);
            spans.into_iter().for_each(|span| self.worker.exports.span(&self.worker, &tracing.collector, span));
        }
    }

    fn labels(&self, ended: &Ended<'_>) -> Vec<(RequestMetric, LabelChanges)> {
        changes(&self.telemetry, ended, reported)
    }
}

/// What is changed in those metrics that `of` knows.
fn changes<M>(
    telemetry: &Telemetry,
    ended: &Ended<'_>,
    of: impl Fn(ReportedMetric) -> Option<M>,
) -> Vec<(M, LabelChanges)> {
    let changes = telemetry.metrics.iter().filter_map(|(metric, change)| {
        let metric = of(*metric)?;
        let labels = change.labels.iter().map(|(name, value)| (Arc::clone(name), value.of(ended)));
        let labels = if change.disabled { Vec::new() } else { labels.collect() };
        Some((metric, LabelChanges { disabled: change.disabled, labels }))
    });
    changes.collect()
}

impl Observer for Report {
    fn ended(&mut self, request: &EndedRequest<'_>) -> Vec<(RequestMetric, LabelChanges)> {
        let facts = request.facts;
        let (flags, trace_id) = (facts.flags.to_string(), self.trace.as_ref().map(Trace::id));
        let ended = Ended {
            began: request.began,
            duration: request.duration,
            upstream_time: facts.upstream_time,
            method: &facts.method,
            path: &facts.path,
            protocol: facts.protocol,
            authority: &facts.authority,
            request_headers: &self.request_headers,
            response_headers: &self.response_headers,
            response_trailers: &self.response_trailers,
            status: (facts.status != 0).then_some(facts.status),
            grpc_status: facts.grpc_status,
            flags: &flags,
            details: &facts.details,
            received: request.request_bytes,
            sent: request.response_bytes,
            upstream_host: facts.upstream_host.as_deref(),
            upstream_cluster: facts.upstream_cluster.as_deref(),
            upstream_failure: facts.upstream_failure.as_deref(),
            route: facts.route.as_deref(),
            client: self.client,
            asked: self.asked,
            server_name: facts.server_name.as_deref(),
            client_identity: request.flow.source.identity.as_ref(),
            own_identity: &self.own,
            trace_id: trace_id.as_deref(),
        };
        self.tell(&ended, request);
        self.labels(&ended)
    }
}

fn reported(metric: ReportedMetric) -> Option<RequestMetric> {
    match metric {
        ReportedMetric::RequestCount => Some(RequestMetric::Requests),
        ReportedMetric::RequestDuration => Some(RequestMetric::Duration),
        ReportedMetric::RequestSize => Some(RequestMetric::RequestBytes),
        ReportedMetric::ResponseSize => Some(RequestMetric::ResponseBytes),
        ReportedMetric::GrpcRequestMessages => Some(RequestMetric::RequestMessages),
        ReportedMetric::GrpcResponseMessages => Some(RequestMetric::ResponseMessages),
        ReportedMetric::TcpOpenedConnections
        | ReportedMetric::TcpClosedConnections
        | ReportedMetric::TcpSentBytes
        | ReportedMetric::TcpReceivedBytes => None,
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report").field("trace", &self.trace).finish_non_exhaustive()
    }
}
