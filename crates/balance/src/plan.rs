//! What of a view may be used now: the endpoints left, and how much of the traffic each branch gets.

use std::sync::Arc;

use rand::{Rng, RngExt};

use crate::choose::{Filter, Usable, Wish};
use crate::hash::hash_nth;
use crate::view::{Branch, Rank, View};
use crate::{Endpoint, NoPick};

/// In percent of what is left of a branch, what it can bear of its share: all of it until some 29 of a hundred
/// endpoints are missing. What users of the field's proxies know.
const OVERPROVISIONING: usize = 140;

/// The role of a key's hash that decides on the branch.
const BRANCH_OF_KEY: u64 = 0x6272;

/// What of a view may be used, until the next ejection or return.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) epoch: u64,
    /// One for each of the view's branches.
    usable: Vec<Usable>,
    total: u64,
}

/// How many endpoints a branch has.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    all: usize,
    ready: usize,
    usable: usize,
}

impl Plan {
    pub(crate) fn new(branches: &[Branch], wish: &Wish<'_>, rng: &mut impl Rng) -> Self {
        let counts: Vec<_> = branches.iter().map(|branch| Count::of(&branch.endpoints)).collect();
        let min_health =
            wish.set.policy.outliers.as_ref().map_or(0, |outliers| usize::from(outliers.min_health_percent));
        let panics = panics(branches, &counts, min_health);
        let shares = shares(branches, &counts, &panics);
        let usable: Vec<_> = branches
            .iter()
            .zip(panics.iter().zip(&shares))
            .map(|(branch, (panic, share))| {
                Usable::new(&branch.endpoints, *share, *panic, &wish.set.policy.load_balancing, rng)
            })
            .collect();
        Self { epoch: wish.epoch, usable, total: shares.iter().sum() }
    }

    pub(crate) fn choose(&self, view: &View, wish: &Wish<'_>, rng: &mut impl Rng) -> Result<Arc<Endpoint>, NoPick> {
        let first = self.draw(wish.hash, rng);
        let choice = first.and_then(|first| match wish.ask.tried {
            [] => self.in_branch(first, &Filter::any(view), wish, rng),
            tried => self.retry(first, &Filter::untried(view, tried), wish, rng),
        });
        choice.cloned().ok_or_else(|| refusal(&view.branches))
    }

    /// Another endpoint than those tried, if there is one. Other branches than the one drawn are for those who
    /// asked for other places.
    fn retry<'a>(
        &'a self,
        first: usize,
        untried: &Filter<'_>,
        wish: &Wish<'a>,
        rng: &mut impl Rng,
    ) -> Option<&'a Arc<Endpoint>> {
        let any = Filter::any(untried.view);
        if !wish.ask.remote_localities {
            let other = self.in_branch(first, untried, wish, rng);
            return other.or_else(|| self.in_branch(first, &any, wish, rng));
        }
        [&untried.elsewhere(), untried, &any].into_iter().find_map(|filter| {
            let mut branches = std::iter::once(first).chain(0..self.usable.len());
            branches.find_map(|branch| self.in_branch(branch, filter, wish, rng))
        })
    }

    fn in_branch<'a>(
        &'a self,
        branch: usize,
        filter: &Filter<'_>,
        wish: &Wish<'a>,
        rng: &mut impl Rng,
    ) -> Option<&'a Arc<Endpoint>> {
        self.usable.get(branch)?.choose(branch, filter, wish, rng)
    }

    /// The branch whose turn it is; equal keys have the same.
    fn draw(&self, hash: Option<u64>, rng: &mut impl Rng) -> Option<usize> {
        if self.total == 0 {
            return None;
        }
        let point = match hash {
            Some(hash) => scaled(hash_nth(hash, BRANCH_OF_KEY), self.total),
            None => rng.random_range(0..self.total),
        };
        let mut before = 0;
        self.usable.iter().position(|usable| {
            before += usable.share;
            point < before
        })
    }
}

/// A hash as a number below `total`.
fn scaled(hash: u64, total: u64) -> u64 {
    // The product's upper half, which is below `total`.
    u64::try_from((u128::from(hash) * u128::from(total)) >> 64).unwrap_or(0)
}

impl Count {
    fn of(endpoints: &[Arc<Endpoint>]) -> Self {
        endpoints.iter().fold(Self::default(), |count, endpoint| {
            count.plus(Self {
                all: 1,
                ready: usize::from(endpoint.spec().healthy),
                usable: usize::from(endpoint.is_usable()),
            })
        })
    }

    fn plus(self, other: Self) -> Self {
        Self { all: self.all + other.all, ready: self.ready + other.ready, usable: self.usable + other.usable }
    }

    /// How much of its share it can bear, in percent.
    fn health(&self) -> u64 {
        let left = (OVERPROVISIONING * self.usable).checked_div(self.all).unwrap_or(0);
        u64::try_from(left.min(100)).unwrap_or(100)
    }

    fn is_below(&self, percent: usize) -> bool {
        self.usable * 100 < percent * self.ready
    }
}

/// In which branches ejections do not count (`minHealthPercent`). Levels that bear all the traffic between
/// them go on as they are.
fn panics(branches: &[Branch], counts: &[Count], min_health: usize) -> Vec<bool> {
    if branches.iter().any(|branch| branch.rank != Rank::Level) {
        let whole = counts.iter().fold(Count::default(), |sum, count| sum.plus(*count));
        return vec![whole.is_below(min_health); counts.len()];
    }
    let relieved = counts.len() > 1 && counts.iter().map(Count::health).sum::<u64>() >= 100;
    counts.iter().map(|count| !relieved && count.is_below(min_health)).collect()
}

fn shares(branches: &[Branch], counts: &[Count], panics: &[bool]) -> Vec<u64> {
    if branches.iter().any(|branch| branch.rank != Rank::Level) {
        let share = |((branch, count), panic): ((&Branch, &Count), &bool)| match branch.rank {
            Rank::Share(share) if *panic => u64::from(share) * u64::from(count.ready > 0),
            Rank::Share(share) => u64::from(share) * count.health(),
            Rank::Level => 0,
        };
        return branches.iter().zip(counts).zip(panics).map(share).collect();
    }
    if counts.iter().zip(panics).all(|(count, panic)| *panic || count.ready == 0) {
        return counts.iter().map(|count| u64::try_from(count.ready).unwrap_or(u64::MAX >> 32)).collect();
    }
    shares_of_levels(&counts.iter().map(Count::health).collect::<Vec<_>>())
}

/// Each level bears what it can, of what those before it leave. Where all together cannot bear it, they share
/// it as they can.
fn shares_of_levels(health: &[u64]) -> Vec<u64> {
    let all = health.iter().sum::<u64>().min(100);
    let mut left = 100;
    let mut shares: Vec<_> = health
        .iter()
        .map(|health| {
            let share = (health * 100).checked_div(all).unwrap_or(0).min(left);
            left -= share;
            share
        })
        .collect();
    if let Some(first) = shares.iter_mut().find(|share| **share > 0) {
        *first += left;
    }
    shares
}

fn refusal(branches: &[Branch]) -> NoPick {
    let count = branches.iter().fold(Count::default(), |sum, branch| sum.plus(Count::of(&branch.endpoints)));
    match count {
        Count { all: 0, .. } => NoPick::NoEndpoints,
        Count { ready: 0, .. } => NoPick::NoneReady,
        Count { .. } => NoPick::AllEjected,
    }
}

#[cfg(test)]
mod tests;
