//! The record of one connection: from accept to its one log line and its one set of counters.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ambit_model::{CloseReason, PeerAddr};

use crate::access_log::{AccessLog, AccessLogFormat, Line};
use crate::connection_counters::{Changes, ConnectionMetric, Counters};
use crate::flow::{Addresses, Bytes, Direction, Flow};
use crate::labels::{LabelChanges, NO_FLAG};
use crate::traffic::{SeriesCache, Traffic};

/// Opens records. One a worker: it remembers the series the worker uses. Clones share that memory.
#[derive(Debug, Clone)]
pub struct Recorder(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    traffic: Arc<Traffic>,
    /// None when the access log is switched off.
    log: Option<AccessLog>,
    /// Never contended where each worker has a recorder of its own.
    cache: Mutex<SeriesCache>,
}

impl Recorder {
    /// A recorder that counts in `traffic` and writes to `log`.
    #[must_use]
    pub fn new(traffic: Arc<Traffic>, log: Option<AccessLog>) -> Self {
        Self(Arc::new(Shared { traffic, log, cache: Mutex::default() }))
    }

    /// Opens the record of a connection that was just accepted.
    #[must_use]
    pub fn open(&self, direction: Direction, peer: PeerAddr) -> ConnectionRecord {
        ConnectionRecord {
            flow: Flow::new(direction),
            addresses: Addresses { source: peer, destination: None, tunnel_target: None },
            recorder: self.clone(),
            bytes: Arc::default(),
            counted: (0, 0),
            opened: Instant::now(),
            counters: None,
            changes: Vec::new(),
            is_logged: true,
            closed: false,
        }
    }

    fn counters(&self, flow: &Flow, changes: &Changes) -> Counters {
        let own = self.0.cache.lock().unwrap_or_else(PoisonError::into_inner).series(&self.0.traffic, flow);
        Counters::new(own, changes, self.0.traffic.changing(flow, NO_FLAG))
    }
}

/// The record of one connection. Steps fill in what they learn; dropping it closes it as aborted.
#[derive(Debug)]
pub struct ConnectionRecord {
    /// Who talks to whom. Changes after [`Self::established`] show in the log line only.
    pub flow: Flow,
    /// Their addresses.
    pub addresses: Addresses,
    recorder: Recorder,
    bytes: Arc<Bytes>,
    /// What of `bytes` is in the metrics already.
    counted: (u64, u64),
    opened: Instant,
    counters: Option<Counters>,
    changes: Vec<(ConnectionMetric, LabelChanges)>,
    is_logged: bool,
    closed: bool,
}

impl ConnectionRecord {
    /// Leaves its line of the log to somebody else.
    pub fn unlogged(&mut self) {
        self.is_logged = false;
    }

    /// Counts it in some metrics with other labels, or not at all. To be said before it is established.
    pub fn change(&mut self, changes: Vec<(ConnectionMetric, LabelChanges)>) {
        self.changes = changes;
    }

    /// How long it has been open.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.opened.elapsed()
    }

    /// Its line of the log, with the newline, if it ends now and so.
    #[must_use]
    pub fn line(&self, format: AccessLogFormat, end: Result<(), &CloseReason>) -> String {
        let (flow, addresses) = (&self.flow, &self.addresses);
        let (from_client, from_server) = (self.bytes.sent.load(Relaxed), self.bytes.received.load(Relaxed));
        Line { flow, addresses, from_client, from_server, duration: self.opened.elapsed(), end }.render(format)
    }

    /// Where to count the bytes that are carried.
    #[must_use]
    pub fn bytes(&self) -> Arc<Bytes> {
        Arc::clone(&self.bytes)
    }

    /// The flow is fully known and bytes may pass: counts the connection as opened. One that never
    /// comes so far is counted when it is closed, under its failure's `response_flags`.
    pub fn established(&mut self) {
        if self.counters.is_none() {
            let counters = self.recorder.counters(&self.flow, &self.changes);
            counters.opened();
            self.counters = Some(counters);
        }
    }

    /// Brings the metrics up to date with the bytes carried so far. For long connections, now and
    /// then; closing does it as well.
    pub fn count_bytes(&mut self) {
        let carried = (self.bytes.sent.load(Relaxed), self.bytes.received.load(Relaxed));
        if let Some(counters) = &self.counters {
            // Neither falls; saturating so that a caller who breaks that cannot ruin the counters.
            let (sent, received) = self.counted;
            counters.add_bytes(carried.0.saturating_sub(sent), carried.1.saturating_sub(received));
            self.counted = carried;
        }
    }

    /// Closes the record.
    pub fn close(mut self, end: Result<(), &CloseReason>) {
        self.finish(end);
    }

    fn finish(&mut self, end: Result<(), &CloseReason>) {
        self.closed = true;
        let flag = end.err().map_or(NO_FLAG, CloseReason::response_flag);
        let last = match &self.counters {
            Some(counters) if flag == NO_FLAG => counters.clone(),
            None if flag == NO_FLAG => self.recorder.counters(&self.flow, &self.changes),
            Some(_) | None => self.recorder.0.traffic.counters(&self.flow, flag, &self.changes),
        };
        if self.counters.is_none() {
            last.opened();
            self.counters = Some(last.clone());
        }
        self.count_bytes();
        last.closed(end.is_err());
        self.log(end);
    }

    fn log(&self, end: Result<(), &CloseReason>) {
        if let Some(log) = self.recorder.0.log.as_ref().filter(|_| self.is_logged) {
            log.write_line(&self.line(log.format(), end));
        }
    }
}

impl Drop for ConnectionRecord {
    fn drop(&mut self) {
        if !self.closed {
            self.finish(Err(&CloseReason::Aborted));
        }
    }
}

#[cfg(test)]
mod tests;
