//! Where one connection counts: each metric in one series, or in none.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::labels::LabelChanges;
use crate::traffic::Series;

/// A metric of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the metrics, one by one")]
pub enum ConnectionMetric {
    Opened,
    /// Those that failed, too.
    Closed,
    ReceivedBytes,
    SentBytes,
}

/// Some metrics, a bit each.
pub(crate) type Metrics = u8;

/// All of them.
pub(crate) const ALL: Metrics = 0b1111;

impl ConnectionMetric {
    pub(crate) fn bit(self) -> Metrics {
        1 << self as u8
    }
}

/// What is changed in metrics of connections.
pub(crate) type Changes = [(ConnectionMetric, LabelChanges)];

/// Where one connection counts.
#[derive(Debug, Clone)]
pub(crate) struct Counters {
    own: Arc<Series>,
    /// Metrics that count there.
    as_is: Metrics,
    changed: Vec<(Arc<Series>, Metrics)>,
}

impl Counters {
    /// All in `own`, but for what is among the changes; `find` knows the series of changed labels.
    pub(crate) fn new(own: Arc<Series>, changes: &Changes, find: impl Fn(&LabelChanges) -> Arc<Series>) -> Self {
        let all = changes.iter().fold(ALL, |all, (metric, _)| all & !metric.bit());
        let counted = changes.iter().filter(|(_, changes)| !changes.disabled);
        let changed: Vec<_> = counted.map(|(metric, changes)| (find(changes), metric.bit())).collect();
        let counters = Self { own, as_is: all, changed };
        counters.parts().for_each(|(series, metrics)| series.show(metrics));
        counters
    }

    fn parts(&self) -> impl Iterator<Item = (&Series, Metrics)> {
        let changed = self.changed.iter().map(|(series, metrics)| (&**series, *metrics));
        [(&*self.own, self.as_is)].into_iter().chain(changed)
    }

    fn of(&self, metric: ConnectionMetric) -> impl Iterator<Item = &Series> {
        self.parts().filter(move |(_, metrics)| metrics & metric.bit() != 0).map(|(series, _)| series)
    }

    pub(crate) fn opened(&self) {
        for series in self.of(ConnectionMetric::Opened) {
            series.opened.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn closed(&self, failed: bool) {
        for series in self.of(ConnectionMetric::Closed) {
            series.closed.fetch_add(1, Relaxed);
            series.failed.fetch_add(u64::from(failed), Relaxed);
        }
    }

    /// Adds bytes. `istio_tcp_sent_bytes_total` is what the *server* sent, whoever reports, and
    /// `istio_tcp_received_bytes_total` what it received. A client's log line has it the other way
    /// round, and so the two disagree for `reporter="source"`: odd, but it is what dashboards are
    /// built on (istio/istio#32399). This and [`crate::traffic::in_log`] are the only places that know.
    pub(crate) fn add_bytes(&self, from_client: u64, from_server: u64) {
        for series in self.of(ConnectionMetric::ReceivedBytes) {
            series.requests.fetch_add(from_client, Relaxed);
        }
        for series in self.of(ConnectionMetric::SentBytes) {
            series.responses.fetch_add(from_server, Relaxed);
        }
    }
}
