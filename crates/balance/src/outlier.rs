//! Outlier detection: endpoints that fail are left out for a while.
//!
//! Counting takes no lock; ejecting and letting return, which are rare, take one.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ambit_l7::OutlierDetection;

use crate::outcome::Verdict;
use crate::set::EndpointSet;
use crate::{Endpoint, EndpointId, Outcome};

/// No ejection lasts longer, but for a first one that is to.
const LONGEST_EJECTION: Duration = Duration::from_secs(300);

/// Sweeps are no more frequent.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(1);

/// Events that wait to be taken.
const MOST_EVENTS: usize = 1024;

/// Something outlier detection did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// To which endpoint.
    pub endpoint: EndpointId,
    /// Its name.
    pub key: Arc<str>,
    /// What.
    pub kind: EventKind,
}

/// What outlier detection did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// Left it out.
    Ejected(Reason),
    /// Would have, but as many are as may be (`maxEjectionPercent`).
    Overflow(Reason),
    /// Let it return.
    Returned,
}

/// Why an endpoint is ejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Errors in a row (`consecutive5xxErrors`).
    Errors,
    /// Errors of a gateway in a row (`consecutiveGatewayErrors`).
    GatewayErrors,
    /// Failures of our own in a row (`consecutiveLocalOriginFailures`).
    LocalFailures,
}

/// A group's outlier detection. Times are nanoseconds since the group's start.
#[derive(Debug)]
pub(crate) struct Outliers {
    /// Goes up with each ejection and return.
    epoch: AtomicU64,
    /// When endpoints are next looked at; never without outlier detection.
    next_sweep: AtomicU64,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    last_sweep: u64,
    events: VecDeque<Event>,
}

impl Outliers {
    pub(crate) fn new() -> Self {
        Self { epoch: AtomicU64::new(0), next_sweep: AtomicU64::new(u64::MAX), book: Mutex::default() }
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Acquire)
    }

    /// Counts an outcome; ejects the endpoint if it is one too many.
    pub(crate) fn report(&self, set: &EndpointSet, endpoint: &Endpoint, outcome: Outcome, now: u64) {
        let Some(settings) = &set.policy.outliers else { return };
        self.sweep_if_due(set, now);
        let verdicts = outcome.judge(settings);
        let errors = &endpoint.state.errors;
        for (verdict, row, most, reason) in [
            (verdicts.any, &errors.any, settings.consecutive_5xx, Reason::Errors),
            (verdicts.gateway, &errors.gateway, settings.consecutive_gateway, Reason::GatewayErrors),
            (verdicts.local, &errors.local, settings.consecutive_local, Reason::LocalFailures),
        ] {
            if count(row, verdict, most) {
                // Whether it may be ejected or not, a new row begins: else each further error would be judged.
                row.store(0, Relaxed);
                self.eject(set, settings, endpoint, (reason, now));
            }
        }
    }

    /// Lets those return whose time is over.
    pub(crate) fn sweep_if_due(&self, set: &EndpointSet, now: u64) {
        if now >= self.next_sweep.load(Relaxed) {
            self.sweep(&mut self.book(), set, now);
        }
    }

    /// Follows a new policy. To be called once the set is the one in use.
    pub(crate) fn follow(&self, before: Option<&OutlierDetection>, set: &EndpointSet, now: u64) {
        let mut book = self.book();
        match &set.policy.outliers {
            None => {
                self.next_sweep.store(u64::MAX, Relaxed);
                for endpoint in set.endpoints.iter().filter(|endpoint| endpoint.is_ejected()) {
                    self.let_return(&mut book, endpoint);
                }
            }
            Some(settings) => {
                if before.is_none() {
                    book.last_sweep = now;
                }
                self.next_sweep.store(book.last_sweep.saturating_add(interval(settings)), Relaxed);
            }
        }
    }

    pub(crate) fn take_events(&self) -> Vec<Event> {
        self.book().events.drain(..).collect()
    }

    fn eject(&self, set: &EndpointSet, settings: &OutlierDetection, endpoint: &Endpoint, (reason, now): (Reason, u64)) {
        let mut book = self.book();
        // It may have left the group since it was chosen.
        let is_member = set.endpoints.iter().any(|member| member.id() == endpoint.id());
        if endpoint.is_ejected() || !is_member {
            return;
        }
        let ready = || set.endpoints.iter().filter(|endpoint| endpoint.spec.healthy);
        let ejected = ready().filter(|endpoint| endpoint.is_ejected()).count();
        if ejected > 0 && (ejected + 1) * 100 > usize::from(settings.max_ejection_percent) * ready().count() {
            book.note(endpoint, EventKind::Overflow(reason));
            return;
        }
        endpoint.state.ejected_at.store(now, Relaxed);
        endpoint.state.ejections.fetch_add(1, Relaxed);
        endpoint.state.ejected.store(true, Relaxed);
        self.epoch.fetch_add(1, Release);
        book.note(endpoint, EventKind::Ejected(reason));
    }

    /// Does what sweeps at each interval since the last one would have done.
    fn sweep(&self, book: &mut Book, set: &EndpointSet, now: u64) {
        let Some(settings) = &set.policy.outliers else { return };
        let interval = interval(settings);
        let due = now.saturating_sub(book.last_sweep) / interval;
        if due == 0 {
            return;
        }
        let newest = book.last_sweep + due * interval;
        for endpoint in &set.endpoints {
            let state = &endpoint.state;
            let mut healthy_sweeps = due;
            if endpoint.is_ejected() {
                let over =
                    state.ejected_at.load(Relaxed).saturating_add(ejection(settings, state.ejections.load(Relaxed)));
                let needed = over.saturating_sub(book.last_sweep).div_ceil(interval).max(1);
                if needed > due {
                    continue;
                }
                self.let_return(book, endpoint);
                healthy_sweeps = due - needed;
            }
            let ejections = u64::from(state.ejections.load(Relaxed)).saturating_sub(healthy_sweeps);
            state.ejections.store(u32::try_from(ejections).unwrap_or(u32::MAX), Relaxed);
        }
        book.last_sweep = newest;
        self.next_sweep.store(newest.saturating_add(interval), Relaxed);
    }

    fn let_return(&self, book: &mut Book, endpoint: &Endpoint) {
        let errors = &endpoint.state.errors;
        for row in [&errors.any, &errors.gateway, &errors.local] {
            row.store(0, Relaxed);
        }
        endpoint.state.ejected.store(false, Relaxed);
        self.epoch.fetch_add(1, Release);
        book.note(endpoint, EventKind::Returned);
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // What it holds is right after each statement.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn note(&mut self, endpoint: &Endpoint, kind: EventKind) {
        if self.events.len() >= MOST_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(Event { endpoint: endpoint.id(), key: Arc::clone(&endpoint.spec.key), kind });
    }
}

/// Whether a row of errors has become too long.
fn count(row: &AtomicU32, verdict: Verdict, most: u32) -> bool {
    match verdict {
        Verdict::Error => row.fetch_add(1, Relaxed).saturating_add(1) >= most && most > 0,
        Verdict::Success => {
            // Nearly always there is none, and workers need not wait for each other's writes.
            if row.load(Relaxed) > 0 {
                row.store(0, Relaxed);
            }
            false
        }
        Verdict::Nothing => false,
    }
}

fn interval(settings: &OutlierDetection) -> u64 {
    nanoseconds(settings.interval.max(SHORTEST_INTERVAL))
}

/// How long an endpoint's newest ejection lasts.
fn ejection(settings: &OutlierDetection, ejections: u32) -> u64 {
    let longest = settings.base_ejection.max(LONGEST_EJECTION);
    nanoseconds(settings.base_ejection.saturating_mul(ejections).min(longest))
}

/// Centuries fit.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
