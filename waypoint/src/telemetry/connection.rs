//! What logs are told of connections that are no HTTP.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use ambit_l7::telemetry::{Ended, Telemetry};
use ambit_model::{CloseReason, Identity};
use ambit_telemetry::ConnectionRecord;
use http::HeaderMap;

use super::record::{self, Told};
use crate::connection::Connection;
use crate::worker::Worker;

/// What is kept of a connection for the logs that objects name.
pub(crate) struct ConnectionReport {
    worker: Rc<Worker>,
    telemetry: Arc<Telemetry>,
    own: Identity,
    began: SystemTime,
    began_text: String,
}

impl ConnectionReport {
    /// Takes the place of the waypoint's own log, where objects name any.
    pub(crate) fn open(worker: &Rc<Worker>, connection: &Connection, record: &mut ConnectionRecord) -> Option<Self> {
        let in_force = worker.in_force();
        let telemetry = in_force.rules(connection.to.service()).rules.telemetry.clone()?;
        telemetry.logs.as_ref()?;
        record.unlogged();
        let (worker, own) = (Rc::clone(worker), in_force.own.identity.clone());
        Some(Self { worker, telemetry, own, began: SystemTime::now(), began_text: ambit_telemetry::now() })
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
        let bytes = record.bytes();
        let upstream_host = record.addresses.destination.map(|address| address.to_string());
        let ended = Ended {
            began: &self.began_text,
            duration: record.elapsed(),
            upstream_time: None,
            method: "",
            path: "",
            protocol: "",
            authority: "",
            request_headers: &headers,
            response_headers: &headers,
            response_trailers: &headers,
            status: None,
            grpc_status: None,
            flags: end.err().map_or("-", CloseReason::response_flag),
            details: "",
            received: bytes.sent.load(Relaxed),
            sent: bytes.received.load(Relaxed),
            upstream_host: upstream_host.as_deref(),
            upstream_cluster: None,
            upstream_failure: None,
            route: None,
            client: connection.client.address.socket(),
            asked: connection.target.socket(),
            server_name,
            client_identity: Some(&connection.client.identity),
            own_identity: &self.own,
            trace_id: None,
        };
        let told = Told { line: &|format| record.line(format, end), began: self.began, trace: None };
        record::log(&self.worker, self.telemetry.logs.as_deref().unwrap_or_default(), &ended, &told);
    }
}
