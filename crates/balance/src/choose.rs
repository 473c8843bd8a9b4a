//! One endpoint of a branch.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use ambit_l7::{LoadBalancing, Warmup};
use rand::{Rng, RngExt};
use smallvec::SmallVec;

use crate::set::EndpointSet;
use crate::view::View;
use crate::weights::Weights;
use crate::{Ask, Endpoint, EndpointId, Place, warmup};

/// Draws before every endpoint is looked at.
const DRAWS: usize = 24;

/// A request's wish and what it is to be judged by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish<'a> {
    pub(crate) ask: &'a Ask<'a>,
    pub(crate) set: &'a EndpointSet,
    /// Of consistent hashing.
    pub(crate) hash: Option<u64>,
    /// Nanoseconds since the group's start.
    pub(crate) now: u64,
    /// Of ejections and returns.
    pub(crate) epoch: u64,
}

impl Wish<'_> {
    /// The warm-up, of the algorithms that have one.
    fn warmup(&self) -> Option<&Warmup> {
        match self.set.policy.load_balancing {
            LoadBalancing::LeastRequest | LoadBalancing::RoundRobin => self.set.policy.warmup.as_ref(),
            LoadBalancing::Random | LoadBalancing::Passthrough | LoadBalancing::ConsistentHash(_) => None,
        }
    }

    fn warmth(&self, endpoint: &Endpoint) -> f64 {
        self.warmup().map_or(1.0, |warmup| warmup::warmth(warmup, endpoint.ready_since(), self.now))
    }
}

/// Which endpoints come into question, of a retry.
#[derive(Debug)]
pub(crate) struct Filter<'a> {
    pub(crate) view: &'a View,
    tried: &'a [EndpointId],
    places: SmallVec<[&'a Place; 2]>,
}

impl<'a> Filter<'a> {
    pub(crate) fn any(view: &'a View) -> Self {
        Self::untried(view, &[])
    }

    pub(crate) fn untried(view: &'a View, tried: &'a [EndpointId]) -> Self {
        Self { view, tried, places: SmallVec::new() }
    }

    /// Not at the places of those tried, either.
    pub(crate) fn elsewhere(&self) -> Self {
        let all = self.view.branches.iter().flat_map(|branch| &branch.endpoints);
        let tried = all.filter(|endpoint| self.tried.contains(&endpoint.id()));
        Self { places: tried.map(|endpoint| &endpoint.spec().place).collect(), ..*self }
    }

    fn passes(&self, endpoint: &Endpoint) -> bool {
        !self.tried.contains(&endpoint.id()) && !self.places.contains(&&endpoint.spec().place)
    }
}

/// What of a branch may be used.
#[derive(Debug)]
pub(crate) struct Usable {
    /// Its part of the traffic, beside the others'.
    pub(crate) share: u64,
    /// Whether so many are ejected that ejections do not count.
    panic: bool,
    endpoints: Vec<Arc<Endpoint>>,
    weights: Weights,
    /// Whose turn it is. Of the branch and not of the group: were it shared, one kind of clients could get
    /// every other turn, and of two endpoints always the same.
    turn: AtomicU64,
}

impl Usable {
    pub(crate) fn new(
        all: &[Arc<Endpoint>],
        share: u64,
        panic: bool,
        algorithm: &LoadBalancing,
        rng: &mut impl Rng,
    ) -> Self {
        // At random, or many waypoints would take turns in step. Halved: it never overflows.
        let turn = AtomicU64::new(rng.random::<u64>() >> 1);
        let mut usable = Self { share, panic, endpoints: Vec::new(), weights: Weights::Equal, turn };
        usable.endpoints = all.iter().filter(|endpoint| usable.admits(endpoint)).cloned().collect();
        usable.weights = Weights::new(&usable.endpoints, algorithm);
        usable
    }

    pub(crate) fn choose<'a>(
        &'a self,
        branch: usize,
        filter: &Filter<'_>,
        wish: &Wish<'a>,
        rng: &mut impl Rng,
    ) -> Option<&'a Arc<Endpoint>> {
        if !self.endpoints.iter().any(|endpoint| filter.passes(endpoint)) {
            return None;
        }
        match &wish.set.policy.load_balancing {
            LoadBalancing::LeastRequest => self.less_busy(filter, wish, rng),
            LoadBalancing::RoundRobin => self.next(filter, wish, rng),
            LoadBalancing::Random | LoadBalancing::Passthrough => self.any(filter, wish, rng),
            LoadBalancing::ConsistentHash(consistent) => {
                let hash = wish.hash.unwrap_or_default();
                let will_do =
                    |n, endpoint: &_| filter.view.is_in(n, branch) && self.admits(endpoint) && filter.passes(endpoint);
                wish.set.owner(consistent.ring, hash, will_do)
            }
        }
    }

    /// The less busy of two; of two equally busy ones the first, so that weights count where nobody is busy.
    fn less_busy(&self, filter: &Filter<'_>, wish: &Wish<'_>, rng: &mut impl Rng) -> Option<&Arc<Endpoint>> {
        let first = self.any(filter, wish, rng)?;
        let second = (self.endpoints.len() > 1)
            .then(|| self.draw(|endpoint| !std::ptr::eq(endpoint, &**first) && filter.passes(endpoint), wish, rng))
            .flatten();
        let load =
            |endpoint: &Endpoint| f64::from(endpoint.active()) / (f64::from(endpoint.weight()) * wish.warmth(endpoint));
        second.filter(|second| load(second) < load(first)).or(Some(first))
    }

    /// The next one whose turn it is.
    fn next(&self, filter: &Filter<'_>, wish: &Wish<'_>, rng: &mut impl Rng) -> Option<&Arc<Endpoint>> {
        for _ in 0..DRAWS {
            let turn = self.turn.fetch_add(1, Relaxed);
            let next = self.weights.at_turn(turn, self.endpoints.len()).and_then(|n| self.endpoints.get(n))?;
            if filter.passes(next) && is_warm(next, wish, rng) {
                return Some(next);
            }
        }
        self.look_at_all(filter, wish, rng)
    }

    /// Any, by weight.
    fn any(&self, filter: &Filter<'_>, wish: &Wish<'_>, rng: &mut impl Rng) -> Option<&Arc<Endpoint>> {
        self.draw(|endpoint| filter.passes(endpoint), wish, rng).or_else(|| self.look_at_all(filter, wish, rng))
    }

    fn draw(&self, passes: impl Fn(&Endpoint) -> bool, wish: &Wish<'_>, rng: &mut impl Rng) -> Option<&Arc<Endpoint>> {
        for _ in 0..DRAWS {
            let drawn = self.endpoints.get(self.weights.draw(self.endpoints.len(), rng)?)?;
            if passes(drawn) && is_warm(drawn, wish, rng) {
                return Some(drawn);
            }
        }
        None
    }

    /// The same chances as by drawing until one passes.
    fn look_at_all(&self, filter: &Filter<'_>, wish: &Wish<'_>, rng: &mut impl Rng) -> Option<&Arc<Endpoint>> {
        let mut seen = 0.0;
        let mut choice = None;
        for endpoint in self.endpoints.iter().filter(|endpoint| filter.passes(endpoint)) {
            let weight = f64::from(endpoint.weight()) * wish.warmth(endpoint);
            seen += weight;
            if rng.random::<f64>() * seen < weight {
                choice = Some(endpoint);
            }
        }
        choice
    }

    /// Whether it may be used, as far as the branch goes.
    fn admits(&self, endpoint: &Endpoint) -> bool {
        endpoint.is_usable() || self.panic && endpoint.spec().healthy
    }
}

fn is_warm(endpoint: &Endpoint, wish: &Wish<'_>, rng: &mut impl Rng) -> bool {
    let warmth = wish.warmth(endpoint);
    warmth >= 1.0 || rng.random::<f64>() < warmth
}

#[cfg(test)]
mod tests;
