//! The traffic series of the node, one for each set of labels.
//!
//! Counting is atomic additions on a [`Series`] a connection holds. Finding that series is not free,
//! so each worker remembers the ones it used in a [`SeriesCache`].

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use ambit_model::WorkloadUid;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;

use crate::flow::{Direction, Flow, Party};
use crate::labels::{NO_FLAG, TrafficLabels};

/// All traffic series. Shared by the workers and the metrics endpoint.
#[derive(Debug, Default)]
pub struct Traffic {
    series: RwLock<HashMap<Arc<TrafficLabels>, Arc<Series>>>,
    /// Counts removals, so that caches know when they hold a series that is shown no more.
    removals: AtomicU64,
}

impl Traffic {
    /// Removes every series that none but this workload fed, so that label sets do not pile up as
    /// workloads come and go. Call it when the last connection of the workload has ended and a
    /// scrape or two have passed: what is counted on a removed series is never shown.
    pub fn forget_workload(&self, uid: &WorkloadUid) {
        let mut all = self.series.write().unwrap_or_else(PoisonError::into_inner);
        let before = all.len();
        all.retain(|_, series| !series.members.lock().unwrap_or_else(PoisonError::into_inner).forget(uid));
        if all.len() != before {
            self.removals.fetch_add(1, Relaxed);
        }
    }

    /// The series of a flow that ended (or goes on) with `flag`.
    pub(crate) fn series(&self, flow: &Flow, flag: &'static str) -> Arc<Series> {
        let labels = TrafficLabels::new(flow, flag);
        let known = self.series.read().unwrap_or_else(PoisonError::into_inner).get(&labels).cloned();
        let series = known.unwrap_or_else(|| {
            let mut all = self.series.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(Arc::new(labels)).or_default())
        });
        series.members.lock().unwrap_or_else(PoisonError::into_inner).add(flow);
        series
    }
}

/// The counters of one set of labels.
#[derive(Debug, Default)]
pub(crate) struct Series {
    pub(crate) opened: AtomicU64,
    pub(crate) closed: AtomicU64,
    pub(crate) failed: AtomicU64,
    requests: AtomicU64,
    responses: AtomicU64,
    members: Mutex<Members>,
}

impl Series {
    /// Adds bytes. `istio_tcp_sent_bytes_total` is what the *server* sent, whoever reports, and
    /// `istio_tcp_received_bytes_total` what it received. A client's log line has it the other way
    /// round, and so the two disagree for `reporter="source"`: odd, but it is what dashboards are
    /// built on (istio/istio#32399). This and [`in_log`] are the only places that know.
    pub(crate) fn add_bytes(&self, from_client: u64, from_server: u64) {
        self.requests.fetch_add(from_client, Relaxed);
        self.responses.fetch_add(from_server, Relaxed);
    }
}

/// `bytes_sent` and `bytes_recv` of a log line: as the reporting workload itself saw them.
pub(crate) fn in_log(direction: Direction, from_client: u64, from_server: u64) -> (u64, u64) {
    match direction {
        Direction::Outbound => (from_client, from_server),
        // As for a server: what the client gets is sent.
        Direction::Inbound | Direction::Waypoint => (from_server, from_client),
    }
}

/// The workloads that feed a series.
#[derive(Debug, Default)]
struct Members {
    sources: HashSet<WorkloadUid>,
    destinations: HashSet<WorkloadUid>,
}

impl Members {
    fn add(&mut self, flow: &Flow) {
        let uid = |party: &Party| party.workload.as_ref().map(|workload| workload.uid.clone());
        self.sources.extend(uid(&flow.source));
        self.destinations.extend(uid(&flow.destination));
    }

    /// Whether `uid` was the last one of its side. A side without workloads has no last one.
    fn forget(&mut self, uid: &WorkloadUid) -> bool {
        let last_source = self.sources.remove(uid) && self.sources.is_empty();
        let last_destination = self.destinations.remove(uid) && self.destinations.is_empty();
        last_source || last_destination
    }
}

/// A counter's name without the suffix `_total` (the encoder adds it), its help, and its value.
type Column = (&'static str, &'static str, fn(&Series) -> &AtomicU64);

const COLUMNS: [Column; 5] = [
    ("istio_tcp_connections_opened", "TCP connections opened", |series| &series.opened),
    ("istio_tcp_connections_closed", "TCP connections closed", |series| &series.closed),
    ("istio_tcp_connections_failed", "TCP connections that ended with an error", |series| &series.failed),
    ("istio_tcp_received_bytes", "Bytes received by the server of TCP connections", |series| &series.requests),
    ("istio_tcp_sent_bytes", "Bytes sent by the server of TCP connections", |series| &series.responses),
];

impl Collector for Traffic {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        // A snapshot of the list, so that a slow scrape keeps no worker waiting.
        let all: Vec<_> = {
            let all = self.series.read().unwrap_or_else(PoisonError::into_inner);
            all.iter().map(|(labels, series)| (Arc::clone(labels), Arc::clone(series))).collect()
        };
        for (name, help, value) in COLUMNS {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (labels, series) in &all {
                let value = value(series).load(Relaxed);
                // A flagged series has few columns that ever move; the rest would be noise.
                if value > 0 || labels.flag() == NO_FLAG {
                    let no_exemplar: Option<&Exemplar<NoLabelSet, u64>> = None;
                    metric.encode_family(&**labels)?.encode_counter(&value, no_exemplar)?;
                }
            }
        }
        Ok(())
    }
}

/// The series a worker used lately.
#[derive(Debug, Default)]
pub(crate) struct SeriesCache {
    series: HashMap<Flow, Arc<Series>>,
    removals: u64,
}

impl SeriesCache {
    /// Entries at most. A full cache is emptied: it also holds on to the workloads it was asked for,
    /// so the stale ones must go some time, and a miss costs a microsecond.
    const MAX: usize = 4096;

    pub(crate) fn series(&mut self, traffic: &Traffic, flow: &Flow) -> Arc<Series> {
        let removals = traffic.removals.load(Relaxed);
        if removals != self.removals || self.series.len() >= Self::MAX {
            self.series.clear();
            self.removals = removals;
        }
        if let Some(series) = self.series.get(flow) {
            return Arc::clone(series);
        }
        let series = traffic.series(flow, NO_FLAG);
        self.series.insert(flow.clone(), Arc::clone(&series));
        series
    }
}
