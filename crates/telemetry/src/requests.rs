//! The series of requests, one for each set of labels.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;

use crate::flow::Flow;
use crate::labels::{RequestLabels, RequestOutcome};

/// Series at most. With more, all begin anew, as after a restart: what a client can choose (its methods' statuses)
/// must not fill memory.
const MAX_SERIES: usize = 20_000;

/// All series of requests. Shared by the workers and the metrics endpoint.
#[derive(Debug, Default)]
pub struct Requests {
    series: RwLock<HashMap<Arc<RequestLabels>, Arc<RequestSeries>>>,
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

impl Requests {
    pub(crate) fn count(&self, flow: &Flow, outcome: RequestOutcome, measured: Measured) {
        let labels = RequestLabels::new(flow, outcome);
        let known = self.series.read().unwrap_or_else(PoisonError::into_inner).get(&labels).cloned();
        let series = known.unwrap_or_else(|| {
            let mut all = self.series.write().unwrap_or_else(PoisonError::into_inner);
            if all.len() >= MAX_SERIES {
                all.clear();
            }
            Arc::clone(all.entry(Arc::new(labels)).or_default())
        });
        series.count(measured);
    }
}

/// The counters of one set of labels.
#[derive(Debug, Default)]
struct RequestSeries {
    requests: AtomicU64,
    duration: Histogram,
    request_bytes: Histogram,
    response_bytes: Histogram,
    request_messages: AtomicU64,
    response_messages: AtomicU64,
}

impl RequestSeries {
    fn count(&self, measured: Measured) {
        self.requests.fetch_add(1, Relaxed);
        self.duration.observe(u64::try_from(measured.duration.as_micros()).unwrap_or(u64::MAX), 1000);
        self.request_bytes.observe(measured.request_bytes, 1);
        self.response_bytes.observe(measured.response_bytes, 1);
        self.request_messages.fetch_add(measured.request_messages, Relaxed);
        self.response_messages.fetch_add(measured.response_messages, Relaxed);
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
        let ends = BUCKETS.iter().map(|end| *end as f64 / 2.0).chain([f64::MAX]);
        let buckets: Vec<_> = ends.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        (self.sum.load(Relaxed) as f64 / unit as f64, count, buckets)
    }
}

/// A counter's name without the suffix `_total` (the encoder adds it), its help, and its value.
type Column<T> = (&'static str, &'static str, fn(&RequestSeries) -> &T);

const COUNTERS: [Column<AtomicU64>; 3] = [
    ("istio_requests", "Requests", |series| &series.requests),
    ("istio_request_messages", "gRPC messages of requests", |series| &series.request_messages),
    ("istio_response_messages", "gRPC messages of responses", |series| &series.response_messages),
];

const HISTOGRAMS: [(Column<Histogram>, u64); 3] = [
    (("istio_request_duration_milliseconds", "Time from a request to the end of its response", |s| &s.duration), 1000),
    (("istio_request_bytes", "Bytes of requests' bodies", |s| &s.request_bytes), 1),
    (("istio_response_bytes", "Bytes of responses' bodies", |s| &s.response_bytes), 1),
];

impl Collector for Requests {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        // A snapshot of the list, so that a slow scrape keeps no worker waiting.
        let all: Vec<_> = {
            let all = self.series.read().unwrap_or_else(PoisonError::into_inner);
            all.iter().map(|(labels, series)| (Arc::clone(labels), Arc::clone(series))).collect()
        };
        for (at, (name, help, value)) in COUNTERS.into_iter().enumerate() {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            // Only gRPC has messages.
            for (labels, series) in all.iter().filter(|(labels, _)| at == 0 || labels.is_grpc()) {
                let no_exemplar: Option<&Exemplar<NoLabelSet, u64>> = None;
                metric.encode_family(&**labels)?.encode_counter(&value(series).load(Relaxed), no_exemplar)?;
            }
        }
        for ((name, help, histogram), unit) in HISTOGRAMS {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
            for (labels, series) in &all {
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
    fn a_value_at_the_end_of_a_bucket_is_in_it() {
        let histogram = Histogram::default();
        for (value, bucket) in [(0, 0), (1, 0), (500, 0), (501, 1), (5_000, 2), (u64::MAX / 2, 19)] {
            let before = histogram.buckets[bucket].load(Relaxed);
            histogram.observe(value, 1000);
            assert_eq!(histogram.buckets[bucket].load(Relaxed), before + 1, "{value}");
        }
    }
}
