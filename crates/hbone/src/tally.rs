//! How many tunnels and streams are open, counted by guards.

use std::cell::Cell;
use std::rc::Rc;

use tokio::time::Instant;

/// Open tunnels and streams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that are up, also those no longer in their pool.
    pub tunnels: usize,
    /// Streams in them.
    pub streams: usize,
}

/// The count of all tunnels of a pool.
#[derive(Debug, Default)]
pub(crate) struct Tally(Cell<Counts>);

impl Tally {
    pub(crate) fn counts(&self) -> Counts {
        self.0.get()
    }

    fn change(&self, change: impl FnOnce(&mut Counts)) {
        let mut counts = self.0.get();
        change(&mut counts);
        self.0.set(counts);
    }
}

/// One tunnel's count of its streams. Its driver holds it, so it lives as long as the connection.
#[derive(Debug)]
pub(crate) struct TunnelTally {
    pool: Rc<Tally>,
    streams: Cell<usize>,
    idle_since: Cell<Instant>,
}

impl TunnelTally {
    pub(crate) fn new(pool: Rc<Tally>) -> Rc<Self> {
        Rc::new(Self { pool, streams: Cell::new(0), idle_since: Cell::new(Instant::now()) })
    }

    /// Counts the tunnel as open until the guard is dropped.
    pub(crate) fn up(self: &Rc<Self>) -> UpGuard {
        self.pool.change(|counts| counts.tunnels += 1);
        UpGuard(Rc::clone(self))
    }

    /// Counts a stream until the guard is dropped.
    pub(crate) fn slot(self: &Rc<Self>) -> Slot {
        self.streams.set(self.streams.get() + 1);
        self.pool.change(|counts| counts.streams += 1);
        Slot(Rc::clone(self))
    }

    pub(crate) fn streams(&self) -> usize {
        self.streams.get()
    }

    /// Since when the tunnel has had no stream; `None` while it has one.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        (self.streams.get() == 0).then(|| self.idle_since.get())
    }
}

/// An open tunnel, counted.
#[derive(Debug)]
pub(crate) struct UpGuard(Rc<TunnelTally>);

impl Drop for UpGuard {
    fn drop(&mut self) {
        self.0.pool.change(|counts| counts.tunnels -= 1);
    }
}

/// An open stream, counted.
#[derive(Debug)]
pub(crate) struct Slot(Rc<TunnelTally>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get() - 1);
        self.0.idle_since.set(Instant::now());
        self.0.pool.change(|counts| counts.streams -= 1);
    }
}
