//! The endpoints of one (service, port, subset), shared by all workers.

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use ambit_l7::{LoadBalancing, TrafficPolicy};
use arc_swap::ArcSwap;
use rand::{Rng, RngExt};

use crate::choose::Wish;
use crate::endpoint::EndpointState;
use crate::outlier::{Outliers, nanoseconds};
use crate::set::EndpointSet;
use crate::{Ask, Endpoint, EndpointId, EndpointSpec, Event, Limits, NoPick, Outcome, Pick};

/// The endpoints of one (service, port, subset) and how they are used. Shared by all workers; choosing takes
/// no lock.
#[derive(Debug)]
pub struct Group {
    start: Instant,
    set: ArcSwap<EndpointSet>,
    outliers: Outliers,
    limits: Arc<Limits>,
    /// The next endpoint's id; one update at a time.
    next_id: Mutex<u64>,
}

impl Group {
    /// A group of its first endpoints.
    #[must_use]
    pub fn new(endpoints: Vec<EndpointSpec>, policy: Arc<TrafficPolicy>, now: Instant) -> Arc<Self> {
        let group = Self {
            start: now,
            set: ArcSwap::from_pointee(EndpointSet::new(Vec::new(), Arc::default())),
            outliers: Outliers::new(),
            limits: Arc::new(Limits::new(now)),
            next_id: Mutex::new(0),
        };
        group.update(endpoints, policy, now);
        Arc::new(group)
    }

    /// Other endpoints or another policy. What is known of endpoints that stay, by their keys, stays.
    pub fn update(&self, endpoints: Vec<EndpointSpec>, policy: Arc<TrafficPolicy>, now: Instant) {
        let mut next_id = self.next_id.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.set.load_full();
        let endpoints = followed(&before, endpoints, &mut next_id, self.nanoseconds(now));
        self.limits.follow(&policy);
        let set = Arc::new(EndpointSet::new(endpoints, policy));
        self.set.store(Arc::clone(&set));
        self.outliers.follow(before.policy.outliers.as_ref(), &set, self.nanoseconds(now));
    }

    /// Chooses.
    ///
    /// # Errors
    /// Where there is none to choose.
    pub fn pick(self: &Arc<Self>, ask: &Ask<'_>, rng: &mut impl Rng, now: Instant) -> Result<Pick, NoPick> {
        let set = self.set.load();
        let now = self.nanoseconds(now);
        self.outliers.sweep_if_due(&set, now);
        let hash = match &set.policy.load_balancing {
            LoadBalancing::Passthrough => {
                if let Some(address) = ask.asked {
                    let endpoint = set.at(address).map(|endpoint| Pick::of(Arc::clone(self), Arc::clone(endpoint)));
                    return Ok(endpoint.unwrap_or_else(|| Pick::untouched(Arc::clone(self), address)));
                }
                None
            }
            LoadBalancing::ConsistentHash(_) => Some(ask.hash.unwrap_or_else(|| rng.random())),
            LoadBalancing::LeastRequest | LoadBalancing::RoundRobin | LoadBalancing::Random => None,
        };
        let wish = Wish { ask, set: &set, hash, now, epoch: self.outliers.epoch() };
        set.choose(&wish, rng).map(|endpoint| Pick::of(Arc::clone(self), endpoint))
    }

    /// How many connections, requests and retries there may be.
    #[must_use]
    pub fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> Arc<TrafficPolicy> {
        Arc::clone(&self.set.load().policy)
    }

    /// The endpoints, by key.
    #[must_use]
    pub fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        self.set.load().endpoints.clone()
    }

    /// Lets ejected endpoints return whose time is over. Choosing does so too: needed only where events are
    /// wanted while nothing is asked.
    pub fn tick(&self, now: Instant) {
        self.outliers.sweep_if_due(&self.set.load(), self.nanoseconds(now));
    }

    /// What outlier detection did since this was last asked; of more than a thousand events the newest.
    #[must_use]
    pub fn take_events(&self) -> Vec<Event> {
        self.outliers.take_events()
    }

    pub(crate) fn report(&self, endpoint: &Endpoint, outcome: Outcome, now: Instant) {
        self.outliers.report(&self.set.load(), endpoint, outcome, self.nanoseconds(now));
    }

    /// Since the group's start: what is compared in atomics.
    fn nanoseconds(&self, now: Instant) -> u64 {
        nanoseconds(now.saturating_duration_since(self.start))
    }
}

/// The new endpoints by key, each once, with what is known of those that were there before.
fn followed(before: &EndpointSet, endpoints: Vec<EndpointSpec>, next_id: &mut u64, now: u64) -> Vec<Arc<Endpoint>> {
    let known: HashMap<&str, &Endpoint> = before.endpoints.iter().map(|one| (&*one.spec.key, &**one)).collect();
    let mut followed: Vec<_> = endpoints
        .into_iter()
        .map(|spec| {
            let state = match known.get(&*spec.key) {
                Some(before) => {
                    if spec.healthy && !before.spec.healthy {
                        before.state.ready_since.store(now, Relaxed);
                    }
                    Arc::clone(&before.state)
                }
                None => {
                    *next_id += 1;
                    Arc::new(EndpointState::new(EndpointId(*next_id), now))
                }
            };
            Arc::new(Endpoint { spec, state })
        })
        .collect();
    // Stable: the first of each key is the first that came.
    followed.sort_by(|one, other| one.spec.key.cmp(&other.spec.key));
    followed.dedup_by(|later, first| later.spec.key == first.spec.key);
    followed
}

#[cfg(test)]
mod tests;
