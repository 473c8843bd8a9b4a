//! How much of the traffic may be retries.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use ambit_l7::RetryBudget;
use arc_swap::ArcSwapOption;

use crate::outlier::nanoseconds;

/// Parts of the time over which requests are counted: the count is right but for one of them.
const SLOTS: u32 = 16;

/// A budget, and what it is a part of.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    settings: ArcSwapOption<RetryBudget>,
    requests: Window,
    retries: Window,
}

impl Budget {
    pub(crate) fn follow(&self, settings: Option<&RetryBudget>) {
        let before = self.settings.load_full();
        if before.as_deref() != settings {
            self.settings.store(settings.map(|settings| (*settings).into()));
        }
    }

    pub(crate) fn is_set(&self) -> bool {
        self.settings.load().is_some()
    }

    pub(crate) fn count_request(&self, now: u64) {
        self.count(&self.requests, now);
    }

    pub(crate) fn count_retry(&self, now: u64) {
        self.count(&self.retries, now);
    }

    /// Whether there may be another retry beside those under way. Requests and retries are those under way or,
    /// with an interval, those begun in it, if these are more.
    pub(crate) fn allows(&self, retries: u32, requests: u32, now: u64) -> bool {
        let settings = self.settings.load();
        let Some(settings) = &*settings else { return true };
        if retries < settings.minimum {
            return true;
        }
        let (mut retries, mut requests) = (u64::from(retries), u64::from(requests));
        if let Some(slot) = slot(settings, now) {
            retries = retries.max(self.retries.sum(slot));
            requests = requests.max(self.requests.sum(slot));
        }
        u128::from(retries) * 1_000_000 < u128::from(requests) * u128::from(settings.millionths)
    }

    fn count(&self, window: &Window, now: u64) {
        let settings = self.settings.load();
        if let Some(slot) = settings.as_ref().and_then(|settings| slot(settings, now)) {
            window.add(slot);
        }
    }
}

/// The part of the time that is now; none where those under way count.
fn slot(settings: &RetryBudget, now: u64) -> Option<u32> {
    let interval = nanoseconds(settings.interval?);
    // Comes round again after four thousand million parts: what is left of the last round is then long overwritten.
    u32::try_from((now / (interval / u64::from(SLOTS)).max(1)) & u64::from(u32::MAX)).ok()
}

/// What happened in the last few slots of time.
#[derive(Debug, Default)]
struct Window {
    /// Which slot it was (upper half), and how many (lower half).
    counts: [AtomicU64; 16],
}

impl Window {
    fn add(&self, slot: u32) {
        let Some(count) = self.counts.get(place(slot)) else { return };
        count.update(Relaxed, Relaxed, |now| {
            if slot_of(now) == slot { now.saturating_add(1) } else { u64::from(slot) << 32 | 1 }
        });
    }

    fn sum(&self, slot: u32) -> u64 {
        let counts = self.counts.iter().map(|count| count.load(Relaxed));
        let recent = counts.filter(|count| slot.wrapping_sub(slot_of(*count)) < SLOTS);
        recent.map(|count| count & u64::from(u32::MAX)).sum()
    }
}

fn place(slot: u32) -> usize {
    usize::try_from(slot % SLOTS).unwrap_or(0)
}

fn slot_of(count: u64) -> u32 {
    u32::try_from(count >> 32).unwrap_or(u32::MAX)
}
