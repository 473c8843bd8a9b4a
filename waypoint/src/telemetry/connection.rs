//! What logs are told of connections that are no HTTP.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use ambit_l7::telemetry::{Ended, ReportedMetric, Telemetry};
use ambit_model::{CloseReason, Identity};
use ambit_telemetry::{ConnectionMetric, ConnectionRecord};
use http::HeaderMap;

use super::changes;
use super::record::{self, Told};
use crate::connection::Connection;
use crate::worker::Worker;

/// What is kept of a connection for those who are told of it.
pub(crate) struct ConnectionReport {
    worker: Rc<Worker>,
    telemetry: Arc<Telemetry>,
    own: Identity,
    began: SystemTime,
    began_text: String,
}

impl ConnectionReport {
    /// Takes the place of the waypoint's own log, where objects name any, and changes the connection's labels as they
    /// say: by what is known when it begins.
    pub(crate) fn open(
        worker: &Rc<Worker>,
        connection: &Connection,
        server_name: Option<&str>,
        record: &mut ConnectionRecord,
    ) -> Option<Self> {
        let in_force = worker.in_force();
        let telemetry = in_force.rules(connection.to.service()).rules.telemetry.clone()?;
        let (worker, own) = (Rc::clone(worker), in_force.own.identity.clone());
        let report = Self { worker, telemetry, own, began: SystemTime::now(), began_text: ambit_telemetry::now() };
        if !report.telemetry.metrics.is_empty() {
            let headers = HeaderMap::new();
            let begun = report.seen(connection, server_name, record, &headers);
            record.change(changes(&report.telemetry, &begun, counted));
        }
        report.telemetry.logs.as_ref()?;
        record.unlogged();
        Some(report)
    }

    /// The connection has ended.
    pub(crate) fn close(
        self,
        connection: &Connection,
        server_name: Option<&str>,
        record: &ConnectionRecord,
        end: Result<(), &CloseReason>,
    ) {
        let headers = HeaderMap::new();
        let upstream_host = record.addresses.destination.map(|address| address.to_string());
        let ended = Ended {
            upstream_host: upstream_host.as_deref(),
            flags: end.err().map_or("-", CloseReason::response_flag),
            ..self.seen(connection, server_name, record, &headers)
        };
        let told = Told { line: &|format| record.line(format, end), began: self.began, trace: None };
        record::log(&self.worker, self.telemetry.logs.as_deref().unwrap_or_default(), &ended, &told);
    }

    /// What is known of the connection so far.
    fn seen<'a>(
        &'a self,
        connection: &'a Connection,
        server_name: Option<&'a str>,
        record: &ConnectionRecord,
        headers: &'a HeaderMap,
    ) -> Ended<'a> {
        let bytes = record.bytes();
        Ended {
            began: &self.began_text,
            duration: record.elapsed(),
            upstream_time: None,
            method: "",
            path: "",
            protocol: "",
            authority: "",
            request_headers: headers,
            response_headers: headers,
            response_trailers: headers,
            status: None,
            grpc_status: None,
            flags: "-",
            details: "",
            received: bytes.sent.load(Relaxed),
            sent: bytes.received.load(Relaxed),
            upstream_host: None,
            upstream_cluster: None,
            upstream_failure: None,
            route: None,
            client: connection.client.address.socket(),
            asked: connection.target.socket(),
            server_name,
            client_identity: Some(&connection.client.identity),
            own_identity: &self.own,
            trace_id: None,
        }
    }
}

fn counted(metric: ReportedMetric) -> Option<ConnectionMetric> {
    match metric {
        ReportedMetric::TcpOpenedConnections => Some(ConnectionMetric::Opened),
        ReportedMetric::TcpClosedConnections => Some(ConnectionMetric::Closed),
        ReportedMetric::TcpSentBytes => Some(ConnectionMetric::SentBytes),
        ReportedMetric::TcpReceivedBytes => Some(ConnectionMetric::ReceivedBytes),
        ReportedMetric::RequestCount
        | ReportedMetric::RequestDuration
        | ReportedMetric::RequestSize
        | ReportedMetric::ResponseSize
        | ReportedMetric::GrpcRequestMessages
        | ReportedMetric::GrpcResponseMessages => None,
    }
}
