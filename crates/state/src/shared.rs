//! The current snapshot, where readers find it.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::{Snapshot, Update};

/// Publishes snapshots from one writer, and another who finds addresses of host names, to any number of readers, who
/// never wait. To be told of a new one without asking is the caller's business.
#[derive(Debug, Default)]
pub struct Shared {
    current: ArcSwap<Snapshot>,
    version: AtomicU64,
    writing: Mutex<()>,
}

impl Shared {
    /// The current snapshot. Load once for each decision: two loads may differ.
    #[must_use]
    pub fn load(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// How many snapshots were published. Read it before [`Shared::load`]: the snapshot is then at least
    /// as new as the number.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Makes a snapshot the current one, but for what was found for host names; returns the new version.
    pub fn publish(&self, snapshot: Snapshot) -> u64 {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.replace(snapshot.taught_by(&self.load()).unwrap_or(snapshot))
    }

    /// Publishes what was found for a host name, or that it is no longer looked up; returns the new version.
    pub fn learn(&self, name: Arc<str>, found: Option<Arc<[IpAddr]>>) -> u64 {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.replace(self.load().apply([Update::Found(name, found)]).0)
    }

    fn replace(&self, snapshot: Snapshot) -> u64 {
        self.current.store(Arc::new(snapshot));
        // After the store: who sees the number must find the snapshot.
        self.version.fetch_add(1, Ordering::Release) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::pod;

    #[test]
    fn a_reader_keeps_what_it_loaded_and_sees_that_there_is_more() {
        let shared = Shared::default();
        let (version, before) = (shared.version(), shared.load());
        assert_eq!(shared.publish(Snapshot::build(vec![pod("a", "n", "10.0.0.1")], vec![], vec![])), version + 1);
        assert_eq!(shared.version(), version + 1);
        assert_eq!((before.workloads().count(), shared.load().workloads().count()), (0, 1));
    }
}
