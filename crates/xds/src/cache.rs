//! What there is to be told, encoded once, and in which order it came about.
//!
//! Each name stands in the log of its table once, at its last change. A stream is a reader with a place in
//! that order: what it has not been told is what stands after its place. So a change costs a stream what
//! changed, and a stream that is slow costs nothing: changes that it missed fall together by themselves.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;

use crate::TypeUrl;
use entry::Audience;
use table::Tables;

pub(crate) use entry::Encoded;
pub use entry::Entry;
pub(crate) use table::View;

mod entry;
mod table;

/// How many removals are remembered, over all types. A stream that has missed forgotten ones must begin
/// anew.
const MAX_TOMBSTONES: usize = 32_768;

/// All resources of a mesh.
#[derive(Debug)]
pub struct Cache {
    inner: RwLock<Inner>,
    progress: watch::Sender<Progress>,
    max_tombstones: usize,
}

/// How far the cache has come.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Progress {
    /// Number of the last change.
    pub(crate) sequence: u64,
    /// Whether all there is has been published.
    pub(crate) synced: bool,
}

#[derive(Debug, Default)]
struct Inner {
    sequence: u64,
    /// Removals up to this one may be forgotten.
    forgotten: u64,
    tables: [Tables; TypeUrl::ALL.len()],
    tombstones: VecDeque<Tombstone>,
}

#[derive(Debug)]
struct Tombstone {
    sequence: u64,
    type_url: TypeUrl,
    audience: Audience,
    name: Arc<str>,
}

impl Default for Cache {
    fn default() -> Self {
        Self::remembering(MAX_TOMBSTONES)
    }
}

impl Cache {
    pub(crate) fn remembering(max_tombstones: usize) -> Self {
        Self { inner: RwLock::default(), progress: watch::Sender::default(), max_tombstones }
    }

    /// Takes changes, in order. Streams see all of them or none. What is the same as before is no change.
    pub fn publish(&self, entries: Vec<Entry>) {
        let sequence = {
            let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
            entries.into_iter().for_each(|entry| inner.put(entry));
            inner.forget(self.max_tombstones);
            inner.sequence
        };
        self.progress.send_if_modified(|it| std::mem::replace(&mut it.sequence, sequence) != sequence);
    }

    /// Says that all there is has been published. No stream is answered before: it would be told that what
    /// is missing yet is gone.
    pub fn synced(&self) {
        self.progress.send_if_modified(|it| !std::mem::replace(&mut it.synced, true));
    }

    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Looks at what there is of a type for everybody, and for the callers of a place: a node, or a waypoint.
    pub(crate) fn look<R>(&self, type_url: TypeUrl, place: Option<&str>, at: impl FnOnce(&View<'_>) -> R) -> R {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let [everyone, place] = match inner.tables.get(type_url.index()) {
            Some(tables) => [tables.of_everyone(), place.and_then(|place| tables.of_place(place))],
            None => [None, None],
        };
        at(&View { tables: [everyone, place], sequence: inner.sequence, forgotten: inner.forgotten })
    }
}

impl Inner {
    fn put(&mut self, entry: Entry) {
        let Some(tables) = self.tables.get_mut(entry.type_url.index()) else { return };
        let type_url = entry.type_url;
        let buried = tables.put(entry, &mut self.sequence);
        let tombstone = |(sequence, audience, name)| Tombstone { sequence, type_url, audience, name };
        self.tombstones.extend(buried.into_iter().map(tombstone));
    }

    fn forget(&mut self, keep: usize) {
        while self.tombstones.len() > keep {
            let Some(oldest) = self.tombstones.pop_front() else { return };
            self.forgotten = oldest.sequence;
            if let Some(tables) = self.tables.get_mut(oldest.type_url.index()) {
                tables.forget(&oldest.audience, &oldest.name, oldest.sequence);
            }
        }
    }
}

#[cfg(test)]
mod tests;
