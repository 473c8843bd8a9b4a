//! Byte counts of a running connection.

use std::sync::atomic::{AtomicU64, Ordering};

/// Where the bytes carried so far are counted. Readable from anywhere while the connection runs.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// Bytes from the first side to the second.
    pub sent: &'a AtomicU64,
    /// Bytes from the second side to the first.
    pub received: &'a AtomicU64,
}

impl Progress<'_> {
    pub(super) fn add_sent(&self, bytes: usize) {
        add(self.sent, bytes);
    }

    pub(super) fn add_received(&self, bytes: usize) {
        add(self.received, bytes);
    }
}

/// There is one writer, so a load and a store do, without the bus lock of a `fetch_add`.
fn add(counter: &AtomicU64, bytes: usize) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(bytes as u64), Ordering::Relaxed);
}
