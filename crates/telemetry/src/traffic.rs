//! The traffic series of the node, one for each set of labels.
//!
//! Counting is atomic additions on a [`Series`] a connection holds. Finding that series is not free,
//! so each worker remembers the ones it used in a [`SeriesCache`].

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use ambit_model::WorkloadUid;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;

use crate::connection_counters::{Changes, ConnectionMetric, Counters, Metrics};
use crate::flow::{Direction, Flow, Party};
use crate::labels::{LabelChanges, NO_FLAG, TrafficLabels, TrafficSeriesLabels};

/// Series with changed labels at most. With more, they begin anew, as after a restart: their values may be a client's
/// word, and must not fill memory.
const MAX_CHANGED: usize = 20_000;

/// All traffic series. Shared by the workers and the metrics endpoint.
#[derive(Debug, Default)]
pub struct Traffic {
    known: RwLock<Known>,

    /// Counts removals, so that caches know when they hold a series that is shown no more.
    removals: AtomicU64,
}

#[derive(Debug, Default)]
struct Known {
    series: HashMap<Arc<TrafficSeriesLabels>, Arc<Series>>,
    /// How many of them have changed labels: to walk through them all takes too long for each new one.
    changed: usize,
}

impl Known {
    fn series(&mut self, labels: TrafficSeriesLabels) -> Arc<Series> {
        // Another worker may have been here first.
        if let Some(series) = self.series.get(&labels) {
            return Arc::clone(series);
        }
        if labels.is_changed() {
            if self.changed >= MAX_CHANGED {
                self.retain(|labels, _| !labels.is_changed());
            }
            self.changed += 1;
        }
        Arc::clone(self.series.entry(Arc::new(labels)).or_default())
    }

    fn retain(&mut self, mut is_kept: impl FnMut(&TrafficSeriesLabels, &Series) -> bool) {
        self.series.retain(|labels, series| is_kept(labels, series));
        self.changed = self.series.keys().filter(|labels| labels.is_changed()).count();
    }
}

impl Traffic {
    /// Removes every series that none but this workload fed, so that label sets do not pile up as
    /// workloads come and go. Call it when the last connection of the workload has ended and a
    /// scrape or two have passed: what is counted on a removed series is never shown.
    pub fn forget_workload(&self, uid: &WorkloadUid) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let before = known.series.len();
        known.retain(|_, series| !series.members.lock().unwrap_or_else(PoisonError::into_inner).forget(uid));
        if known.series.len() != before {
            self.removals.fetch_add(1, Relaxed);
        }
    }

    /// Where a flow that ended (or goes on) with `flag` counts.
    pub(crate) fn counters(&self, flow: &Flow, flag: &'static str, changes: &Changes) -> Counters {
        Counters::new(self.series(flow, flag), changes, self.changing(flow, flag))
    }

    /// Finds series of a flow with changed labels.
    pub(crate) fn changing(&self, flow: &Flow, flag: &'static str) -> impl Fn(&LabelChanges) -> Arc<Series> {
        move |changes| self.find(TrafficLabels::new(flow, flag).changed(changes), flow)
    }

    fn series(&self, flow: &Flow, flag: &'static str) -> Arc<Series> {
        self.find(TrafficSeriesLabels::Own(TrafficLabels::new(flow, flag)), flow)
    }

    fn find(&self, labels: TrafficSeriesLabels, flow: &Flow) -> Arc<Series> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).series.get(&labels).cloned();
        let series = known.unwrap_or_else(|| self.known.write().unwrap_or_else(PoisonError::into_inner).series(labels));
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
    pub(crate) requests: AtomicU64,
    pub(crate) responses: AtomicU64,
    /// The metrics that count something under these labels.
    shown: AtomicU8,
    members: Mutex<Members>,
}

impl Series {
    pub(crate) fn show(&self, metrics: Metrics) {
        self.shown.fetch_or(metrics, Relaxed);
    }

    fn shows(&self, metric: ConnectionMetric) -> bool {
        self.shown.load(Relaxed) & metric.bit() != 0
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

/// A metric, a counter's name without the suffix `_total` (the encoder adds it), its help, and its value.
type Column = (ConnectionMetric, &'static str, &'static str, fn(&Series) -> &AtomicU64);

const COLUMNS: [Column; 5] = [
    (ConnectionMetric::Opened, "istio_tcp_connections_opened", "TCP connections opened", |series| &series.opened),
    (ConnectionMetric::Closed, "istio_tcp_connections_closed", "TCP connections closed", |series| &series.closed),
    (ConnectionMetric::Closed, "istio_tcp_connections_failed", "TCP connections that ended with an error", |series| {
        &series.failed
    }),
    (
        ConnectionMetric::ReceivedBytes,
        "istio_tcp_received_bytes",
        "Bytes received by the server of TCP connections",
        |series| &series.requests,
    ),
    (ConnectionMetric::SentBytes, "istio_tcp_sent_bytes", "Bytes sent by the server of TCP connections", |series| {
        &series.responses
    }),
];

impl Collector for Traffic {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        // A snapshot of the list, so that a slow scrape keeps no worker waiting.
        let all: Vec<_> = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            known.series.iter().map(|(labels, series)| (Arc::clone(labels), Arc::clone(series))).collect()
        };
        for (of, name, help, value) in COLUMNS {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (labels, series) in all.iter().filter(|(_, series)| series.shows(of)) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_labels_are_bounded_and_others_outlive_them() {
        let changed = |number: usize| TrafficSeriesLabels::Changed(vec![(Arc::from("sni"), number.to_string())]);
        let mut known = Known::default();
        let flow = Flow::new(Direction::Waypoint);
        known.series(TrafficSeriesLabels::Own(TrafficLabels::new(&flow, NO_FLAG)));
        for number in (0..MAX_CHANGED).chain([0]) {
            known.series(changed(number));
        }
        assert_eq!((known.series.len(), known.changed), (MAX_CHANGED + 1, MAX_CHANGED));
        // One goes, and so there is room for one.
        known.retain(|labels, _| *labels != changed(7));
        known.series(changed(MAX_CHANGED));
        assert_eq!((known.series.len(), known.changed), (MAX_CHANGED + 1, MAX_CHANGED));
        known.series(changed(7));
        assert_eq!((known.series.len(), known.changed), (2, 1));
    }
}
