//! Where all streams note what they receive.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use ambit_xds::{TypeUrl, Update};
use tokio::sync::oneshot;

/// What was received, and what is waited for.
pub(crate) struct Board {
    streams: usize,
    received: [AtomicUsize; TypeUrl::ALL.len()],
    /// By the names of the resources.
    awaited: RwLock<HashMap<Arc<str>, Arc<Change>>>,
}

/// A change, on its way.
struct Change {
    /// Resources that streams have not received yet.
    missing: AtomicUsize,
    /// Told when the last stream had the last of them.
    done: Mutex<Option<oneshot::Sender<Instant>>>,
}

impl Board {
    pub(crate) fn new(streams: usize) -> Self {
        Self { streams, received: Default::default(), awaited: RwLock::default() }
    }

    pub(crate) fn streams(&self) -> usize {
        self.streams
    }

    /// Resources received by all streams together, by type.
    pub(crate) fn received(&self) -> [usize; TypeUrl::ALL.len()] {
        self.received.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    /// Tells when every stream has received each of these resources once.
    pub(crate) fn expect(&self, names: &[Arc<str>]) -> oneshot::Receiver<Instant> {
        let (done, told) = oneshot::channel();
        let missing = AtomicUsize::new(names.len() * self.streams);
        let change = Arc::new(Change { missing, done: Mutex::new(Some(done)) });
        let mut awaited = self.awaited.write().unwrap_or_else(PoisonError::into_inner);
        awaited.extend(names.iter().map(|name| (Arc::clone(name), Arc::clone(&change))));
        told
    }

    /// Waits for them no more.
    pub(crate) fn forget(&self, names: &[Arc<str>]) {
        let mut awaited = self.awaited.write().unwrap_or_else(PoisonError::into_inner);
        names.iter().for_each(|name| drop(awaited.remove(name)));
    }

    /// A stream has received something.
    pub(crate) fn note(&self, update: &Update) {
        let now = Instant::now();
        if let Some(count) = self.received.get(update.type_url as usize) {
            count.fetch_add(update.resources.len(), Ordering::Relaxed);
        }
        // A node's own pods have the same names as everybody's workloads.
        if update.first_complete || !matches!(update.type_url, TypeUrl::Address | TypeUrl::Authorization) {
            return;
        }
        let awaited = self.awaited.read().unwrap_or_else(PoisonError::into_inner);
        for change in update.resources.iter().filter_map(|resource| awaited.get(&resource.name)) {
            if change.missing.fetch_sub(1, Ordering::Relaxed) == 1 {
                let done = change.done.lock().unwrap_or_else(PoisonError::into_inner).take();
                // Nobody listens any more if it came too late.
                done.and_then(|done| done.send(now).ok());
            }
        }
    }
}
