//! How many connections, requests and retries there may be at a time (circuit breakers).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Instant;

use ambit_l7::TrafficPolicy;

use crate::outlier::nanoseconds;
use crate::retry_budget::Budget;

/// How many there are at a time, and may be. Shared by all workers; a limit that is lowered ends nothing that
/// is under way.
#[derive(Debug)]
pub struct Limits {
    start: Instant,
    connections: Gauge,
    pending: Gauge,
    requests: Gauge,
    retries: Gauge,
    budget: Budget,
}

/// Leave to have one; counts until dropped.
#[derive(Debug)]
#[must_use = "counts only as long as it lives"]
pub struct Permit {
    limits: Arc<Limits>,
    kind: Overflow,
}

/// There are as many as there may be. The answer is 503 (`UO`); a retry is not made (`URX`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Overflow {
    /// Connections (`maxConnections`).
    #[error("too many connections")]
    Connections,
    /// Requests that wait for a connection (`http1MaxPendingRequests`).
    #[error("too many requests wait for a connection")]
    Pending,
    /// Requests (`http2MaxRequests`).
    #[error("too many requests")]
    Requests,
    /// Retries (`maxRetries` or `retryBudget`).
    #[error("too many retries")]
    Retries,
}

#[derive(Debug)]
struct Gauge {
    now: AtomicU32,
    most: AtomicU32,
}

impl Limits {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            start: now,
            connections: Gauge::unlimited(),
            pending: Gauge::unlimited(),
            requests: Gauge::unlimited(),
            retries: Gauge::unlimited(),
            budget: Budget::default(),
        }
    }

    pub(crate) fn follow(&self, policy: &TrafficPolicy) {
        self.connections.limit(policy.pool.tcp.max_connections);
        self.pending.limit(policy.pool.http.max_pending);
        self.requests.limit(policy.pool.http.max_requests);
        self.retries.limit(policy.pool.http.max_retries);
        self.budget.follow(policy.retry_budget.as_ref());
    }

    /// Leave for a connection.
    ///
    /// # Errors
    /// Where there are as many as there may be; so for the others.
    pub fn connection(self: &Arc<Self>) -> Result<Permit, Overflow> {
        self.permit(Overflow::Connections)
    }

    /// Leave for a request to wait for a connection.
    ///
    /// # Errors
    /// See [`Limits::connection`].
    pub fn pending(self: &Arc<Self>) -> Result<Permit, Overflow> {
        self.permit(Overflow::Pending)
    }

    /// Leave for a request; one for all its attempts.
    ///
    /// # Errors
    /// See [`Limits::connection`].
    pub fn request(self: &Arc<Self>, now: Instant) -> Result<Permit, Overflow> {
        let permit = self.permit(Overflow::Requests)?;
        self.budget.count_request(self.nanoseconds(now));
        Ok(permit)
    }

    /// Leave for a further attempt of a request. A budget stands in place of `maxRetries`.
    ///
    /// # Errors
    /// See [`Limits::connection`].
    pub fn retry(self: &Arc<Self>, now: Instant) -> Result<Permit, Overflow> {
        if !self.budget.is_set() {
            return self.permit(Overflow::Retries);
        }
        let (now, active) = (self.nanoseconds(now), self.requests.now.load(Relaxed));
        if !self.retries.take(|retries| self.budget.allows(retries, active, now)) {
            return Err(Overflow::Retries);
        }
        self.budget.count_retry(now);
        Ok(Permit { limits: Arc::clone(self), kind: Overflow::Retries })
    }

    /// How many there are.
    #[must_use]
    pub fn active(&self, kind: Overflow) -> u32 {
        self.gauge(kind).now.load(Relaxed)
    }

    fn permit(self: &Arc<Self>, kind: Overflow) -> Result<Permit, Overflow> {
        let gauge = self.gauge(kind);
        let most = gauge.most.load(Relaxed);
        if gauge.take(|now| now < most) { Ok(Permit { limits: Arc::clone(self), kind }) } else { Err(kind) }
    }

    fn gauge(&self, kind: Overflow) -> &Gauge {
        match kind {
            Overflow::Connections => &self.connections,
            Overflow::Pending => &self.pending,
            Overflow::Requests => &self.requests,
            Overflow::Retries => &self.retries,
        }
    }

    fn nanoseconds(&self, now: Instant) -> u64 {
        nanoseconds(now.saturating_duration_since(self.start))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.limits.gauge(self.kind).now.fetch_sub(1, Relaxed);
    }
}

impl Gauge {
    fn unlimited() -> Self {
        Self { now: AtomicU32::new(0), most: AtomicU32::new(u32::MAX) }
    }

    fn limit(&self, most: Option<u32>) {
        self.most.store(most.unwrap_or(u32::MAX), Relaxed);
    }

    /// One more, if there may be one.
    fn take(&self, may: impl Fn(u32) -> bool) -> bool {
        self.now.try_update(Relaxed, Relaxed, |now| may(now).then_some(now.saturating_add(1))).is_ok()
    }
}

#[cfg(test)]
mod tests;
