//! The series of requests, one for each set of labels.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;

use crate::flow::Flow;
use crate::labels::{LabelChanges, RequestLabels, RequestOutcome, SeriesLabels};

/// Series at most. With more, all begin anew, as after a restart: what a client can choose (its methods' statuses)
/// must not fill memory.
const MAX_SERIES: usize = 20_000;

/// Flows at most for which the series are remembered. Beyond, all are forgotten: flows hold on to workloads, so the
/// stale ones must go some time, and a miss costs a microsecond.
const MAX_FLOWS: usize = 4096;

/// All series of requests. Shared by the workers and the metrics endpoint.
#[derive(Debug, Default)]
pub struct Requests {
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    series: HashMap<Arc<SeriesLabels>, Arc<RequestSeries>>,
    /// Where requests of a flow are counted whose labels nobody changed, by how they ended: to make labels for each
    /// request takes longer than to count it.
    by_flow: HashMap<Flow, Vec<(RequestOutcome, Arc<RequestSeries>)>>,
}

impl Known {
    fn series(&mut self, labels: SeriesLabels) -> Arc<RequestSeries> {
        if self.series.len() >= MAX_SERIES {
            *self = Self::default();
        }
        Arc::clone(self.series.entry(Arc::new(labels)).or_default())
    }

    fn remember(&mut self, flow: &Flow, outcome: RequestOutcome, series: &Arc<RequestSeries>) {
        if self.by_flow.len() >= MAX_FLOWS {
            self.by_flow.clear();
        }
        self.by_flow.entry(flow.clone()).or_default().push((outcome, Arc::clone(series)));
    }

    fn remembered(&self, flow: &Flow, outcome: RequestOutcome) -> Option<&Arc<RequestSeries>> {
        self.by_flow.get(flow)?.iter().find(|(of, _)| *of == outcome).map(|(_, series)| series)
    }
}

/// What is counted of one request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Measured {
    pub(crate) duration: Duration,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
    pub(crate) request_messages: u64,
    pub(crate) response_messages: u64,
}

/// A metric of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the metrics, one by one")]
pub enum RequestMetric {
    Requests,
    RequestMessages,
    ResponseMessages,
    Duration,
    RequestBytes,
    ResponseBytes,
}

/// Some metrics, a bit each.
type Metrics = u8;

impl RequestMetric {
    fn bit(self) -> Metrics {
        1 << self as u8
    }
}

/// All of them, and those that only gRPC has.
const ALL: Metrics = 0b11_1111;
const MESSAGES: Metrics = 0b00_0110;

impl Requests {
    /// Counts a request; in metrics that are among the changes, with other labels or not at all.
    pub(crate) fn count(
        &self,
        flow: &Flow,
        outcome: RequestOutcome,
        measured: Measured,
        changes: &[(RequestMetric, LabelChanges)],
    ) {
        let counted = if outcome.is_grpc() { ALL } else { ALL & !MESSAGES };
        let mut as_is = counted;
        for (metric, changes) in changes.iter().filter(|(metric, _)| metric.bit() & counted != 0) {
            as_is &= !metric.bit();
            if !changes.disabled {
                let labels = RequestLabels::new(flow, outcome);
                self.series(SeriesLabels::changed(&labels, changes)).count(measured, metric.bit());
            }
        }
        if as_is != 0 {
            self.series_of(flow, outcome).count(measured, as_is);
        }
    }

    fn series(&self, labels: SeriesLabels) -> Arc<RequestSeries> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).series.get(&labels).cloned();
        known.unwrap_or_else(|| self.known.write().unwrap_or_else(PoisonError::into_inner).series(labels))
    }

    /// The series whose labels are the flow's and the outcome's own.
    fn series_of(&self, flow: &Flow, outcome: RequestOutcome) -> Arc<RequestSeries> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).remembered(flow, outcome).cloned();
        known.unwrap_or_else(|| {
            let labels = SeriesLabels::Own(RequestLabels::new(flow, outcome));
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            let series = known.series(labels);
            known.remember(flow, outcome, &series);
            series
        })
    }
}

/// The counters of one set of labels.
#[derive(Debug, Default)]
struct RequestSeries {
    /// The metrics that count something under these labels.
    counted: AtomicU8,
    requests: AtomicU64,
    duration: Histogram,
    request_bytes: Histogram,
    response_bytes: Histogram,
    request_messages: AtomicU64,
    response_messages: AtomicU64,
}

impl RequestSeries {
    fn count(&self, measured: Measured, metrics: Metrics) {
        self.counted.fetch_or(metrics, Relaxed);
        let counts = |metric: RequestMetric| metrics & metric.bit() != 0;
        if counts(RequestMetric::Requests) {
            self.requests.fetch_add(1, Relaxed);
        }
        if counts(RequestMetric::Duration) {
            self.duration.observe(u64::try_from(measured.duration.as_micros()).unwrap_or(u64::MAX), 1000);
        }
        if counts(RequestMetric::RequestBytes) {
            self.request_bytes.observe(measured.request_bytes, 1);
        }
        if counts(RequestMetric::ResponseBytes) {
            self.response_bytes.observe(measured.response_bytes, 1);
        }
        if counts(RequestMetric::RequestMessages) {
            self.request_messages.fetch_add(measured.request_messages, Relaxed);
        }
        if counts(RequestMetric::ResponseMessages) {
            self.response_messages.fetch_add(measured.response_messages, Relaxed);
        }
    }

    fn has(&self, metric: RequestMetric) -> bool {
        self.counted.load(Relaxed) & metric.bit() != 0
    }
}

/// Upper ends of buckets, of milliseconds and of bytes alike, as the field's proxies have them; in halves.
const BUCKETS: [u64; 19] = [
    1, 2, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 60_000, 120_000, 600_000, 1_200_000,
    3_600_000, 7_200_000,
];

/// A distribution, counted without locks. Its sum is in the unit in which it was observed.
#[derive(Debug, Default)]
struct Histogram {
    buckets: [AtomicU64; BUCKETS.len() + 1],
    sum: AtomicU64,
}

impl Histogram {
    /// Counts a value, of which `unit` make one of the buckets' measure.
    fn observe(&self, value: u64, unit: u64) {
        let at = BUCKETS.partition_point(|end| end.saturating_mul(unit) < value.saturating_mul(2));
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(1, Relaxed);
        }
        self.sum.fetch_add(value, Relaxed);
    }

    /// The sum, the count, and each bucket with its end.
    #[expect(clippy::cast_precision_loss, reason = "figures are for dashboards")]
    fn read(&self, unit: u64) -> (f64, u64, Vec<(f64, u64)>) {
        let counts = self.buckets.iter().map(|bucket| bucket.load(Relaxed));
        let ends = BUCKETS.iter().map(|end| *end as f64 / 2.0).chain([f64::INFINITY]);
        let buckets: Vec<_> = ends.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        (self.sum.load(Relaxed) as f64 / unit as f64, count, buckets)
    }
}

/// A metric, its name (a counter's without the suffix `_total`, which the encoder adds), its help, and its value.
type Column<T> = (RequestMetric, &'static str, &'static str, fn(&RequestSeries) -> &T);

const COUNTERS: [Column<AtomicU64>; 3] = [
    (RequestMetric::Requests, "istio_requests", "Requests", |series| &series.requests),
    (RequestMetric::RequestMessages, "istio_request_messages", "gRPC messages of requests", |series| {
        &series.request_messages
    }),
    (RequestMetric::ResponseMessages, "istio_response_messages", "gRPC messages of responses", |series| {
        &series.response_messages
    }),
];

const HISTOGRAMS: [(Column<Histogram>, u64); 3] = [
    (
        (
            RequestMetric::Duration,
            "istio_request_duration_milliseconds",
            "Time from a request to the end of its response",
            |series| &series.duration,
        ),
        1000,
    ),
    ((RequestMetric::RequestBytes, "istio_request_bytes", "Bytes of requests' bodies", |s| &s.request_bytes), 1),
    ((RequestMetric::ResponseBytes, "istio_response_bytes", "Bytes of responses' bodies", |s| &s.response_bytes), 1),
];

impl Collector for Requests {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        // A snapshot of the list, so that a slow scrape keeps no worker waiting.
        let all: Vec<_> = {
            let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
            known.series.iter().map(|(labels, series)| (Arc::clone(labels), Arc::clone(series))).collect()
        };
        for (of, name, help, value) in COUNTERS {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (labels, series) in all.iter().filter(|(_, series)| series.has(of)) {
                let no_exemplar: Option<&Exemplar<NoLabelSet, u64>> = None;
                metric.encode_family(&**labels)?.encode_counter(&value(series).load(Relaxed), no_exemplar)?;
            }
        }
        for ((of, name, help, histogram), unit) in HISTOGRAMS {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
            for (labels, series) in all.iter().filter(|(_, series)| series.has(of)) {
                let (sum, count, buckets) = histogram(series).read(unit);
                metric.encode_family(&**labels)?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_that_is_changed_or_gone_counts_there_alone() {
        let requests = Requests::default();
        let outcome = RequestOutcome { protocol: "http", status: 200, grpc_status: None, flags: Default::default() };
        let flow = Flow::new(crate::Direction::Waypoint);
        let change = |labels: &[(&str, Option<&str>)]| LabelChanges {
            disabled: false,
            labels: labels.iter().map(|(name, value)| (Arc::from(*name), value.map(str::to_owned))).collect(),
        };
        let off = LabelChanges { disabled: true, ..LabelChanges::default() };
        let changes = [
            (RequestMetric::Requests, change(&[("request_host", Some("web")), ("response_flags", None)])),
            (RequestMetric::RequestBytes, change(&[("response_code", Some("200"))])),
            (RequestMetric::ResponseBytes, off),
        ];
        requests.count(&flow, outcome, Measured::default(), &changes);
        let mut registry = prometheus_client::registry::Registry::default();
        registry.register_collector(Box::new(Arc::new(requests)));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let lines = |name: &str| text.lines().filter(|line| line.starts_with(name)).collect::<Vec<_>>();
        let [counted] = lines("istio_requests_total{")[..] else { panic!("{text}") };
        assert!(counted.contains("request_host=\"web\"") && !counted.contains("response_flags"), "{counted}");
        let [own] = lines("istio_request_bytes_count{")[..] else { panic!("{text}") };
        assert!(own.contains("response_flags=\"-\""), "{own}");
        assert_eq!(lines("istio_response_bytes_count{").len(), 0);
        assert_eq!(lines("istio_request_messages").len(), 0);
        assert_eq!(lines("istio_request_duration_milliseconds_count{").len(), 1);
        assert_eq!(lines("istio_request_duration_milliseconds_bucket{le=\"+Inf\",").len(), 1);
    }

    #[test]
    fn a_value_at_the_end_of_a_bucket_is_in_it() {
        let histogram = Histogram::default();
        for (value, bucket) in [(0, 0), (1, 0), (500, 0), (501, 1), (5_000, 2), (u64::MAX / 2, 19)] {
            let before = histogram.buckets[bucket].load(Relaxed);
            histogram.observe(value, 1000);
            assert_eq!(histogram.buckets[bucket].load(Relaxed), before + 1, "{value}");
        }
    }
}
