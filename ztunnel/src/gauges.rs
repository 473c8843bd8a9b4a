//! Tunnels and streams open now, for the metrics.

use std::rc::Rc;
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;

use crate::worker::Worker;

/// How often the pool's counts are shown: a scrape is never older than this.
const SHOW_EVERY: Duration = Duration::from_secs(1);

/// One of something, counted while it lives.
pub(crate) struct Counted(Gauge);

impl Counted {
    /// Counts one more.
    pub(crate) fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Shows what the worker's pool has open. The gauges are all workers' together, so each adds what
/// changed.
pub(crate) async fn show_pool(worker: Rc<Worker>) {
    let mut shown = (0, 0);
    loop {
        tokio::time::sleep(SHOW_EVERY).await;
        let counts = worker.tunnels.counts();
        let now = (signed(counts.tunnels), signed(counts.streams));
        worker.metrics.tunnels_open.inc_by(now.0 - shown.0);
        worker.metrics.streams_open.inc_by(now.1 - shown.1);
        shown = now;
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
