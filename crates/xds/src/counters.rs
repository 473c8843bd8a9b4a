//! What the server counts.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::TypeUrl;

/// Counts of a server, from its start on. Whoever serves metrics reads a [`Snapshot`].
#[derive(Debug, Default)]
pub struct Counters {
    streams: AtomicU64,
    types: [Counts; TypeUrl::ALL.len()],
}

#[derive(Debug, Default)]
struct Counts {
    pushes: AtomicU64,
    resources: AtomicU64,
    removed: AtomicU64,
    bytes: AtomicU64,
    nacks: AtomicU64,
}

/// The counts at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Open streams.
    pub streams: u64,
    /// By type, in the order of [`TypeUrl::ALL`].
    pub types: [TypeCounts; TypeUrl::ALL.len()],
}

/// The counts of one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TypeCounts {
    /// Responses sent.
    pub pushes: u64,
    /// Resources in them.
    pub resources: u64,
    /// Names of removed resources in them.
    pub removed: u64,
    /// Bytes of the resources.
    pub bytes: u64,
    /// Responses that were refused, wholly or in part.
    pub nacks: u64,
}

impl Counters {
    /// The counts now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let read = |it: &AtomicU64| it.load(Ordering::Relaxed);
        let types = self.types.each_ref().map(|it| TypeCounts {
            pushes: read(&it.pushes),
            resources: read(&it.resources),
            removed: read(&it.removed),
            bytes: read(&it.bytes),
            nacks: read(&it.nacks),
        });
        Snapshot { streams: read(&self.streams), types }
    }

    pub(crate) fn opened(&self) {
        self.streams.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn closed(&self) {
        self.streams.fetch_sub(1, Ordering::Relaxed);
    }

    /// `sent.pushes` and `sent.nacks` are added as the others are.
    pub(crate) fn add(&self, type_url: TypeUrl, sent: TypeCounts) {
        let Some(counts) = self.types.get(type_url.index()) else { return };
        counts.pushes.fetch_add(sent.pushes, Ordering::Relaxed);
        counts.resources.fetch_add(sent.resources, Ordering::Relaxed);
        counts.removed.fetch_add(sent.removed, Ordering::Relaxed);
        counts.bytes.fetch_add(sent.bytes, Ordering::Relaxed);
        counts.nacks.fetch_add(sent.nacks, Ordering::Relaxed);
    }
}
