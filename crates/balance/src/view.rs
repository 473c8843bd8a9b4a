//! What the clients of one place see: branches of endpoints.

use std::sync::Arc;

use ambit_l7::LocalitySplit;
use arc_swap::ArcSwapOption;
use rand::Rng;

use crate::choose::Wish;
use crate::locality::{self, Preference, Traits};
use crate::plan::Plan;
use crate::{Client, Endpoint, NoPick};

/// What the clients of one place see.
#[derive(Debug)]
pub(crate) struct View {
    /// Of its clients.
    traits: Vec<Box<str>>,
    pub(crate) branches: Vec<Branch>,
    /// The branch of each endpoint of the set; empty where all are in one.
    branch_of: Vec<Option<usize>>,
    plan: ArcSwapOption<Plan>,
}

/// Endpoints that are alike near.
#[derive(Debug)]
pub(crate) struct Branch {
    pub(crate) endpoints: Vec<Arc<Endpoint>>,
    pub(crate) rank: Rank,
}

/// What a branch is beside the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rank {
    /// Used when those before it fail.
    Level,
    /// Gets a share beside the others.
    Share(u32),
}

impl View {
    /// Of clients to which all endpoints are alike near.
    pub(crate) fn of_all(all: &[Arc<Endpoint>]) -> Self {
        let branches = vec![Branch { endpoints: all.to_vec(), rank: Rank::Level }];
        Self { traits: Vec::new(), branches, branch_of: Vec::new(), plan: ArcSwapOption::empty() }
    }

    pub(crate) fn new(all: &[Arc<Endpoint>], preference: Preference<'_>, client: &Client<'_>) -> Self {
        let mut view = match preference {
            Preference::None => Self::of_all(all),
            Preference::Failover(settings) => {
                Self::of_levels(all, |one| Some(locality::level(settings, client, one.spec())))
            }
            Preference::Near(nearness) => {
                Self::of_levels(all, |one| locality::level_of_nearness(nearness, client, one.spec()))
            }
            Preference::Distribute(splits) => match locality::split_for(splits, client) {
                Some(split) => Self::of_shares(all, split),
                None => Self::of_all(all),
            },
        };
        view.traits = preference.traits(client).iter().map(|one| Box::from(*one)).collect();
        view
    }

    fn of_levels(all: &[Arc<Endpoint>], level: impl Fn(&Endpoint) -> Option<usize>) -> Self {
        let levels: Vec<_> = all.iter().map(|endpoint| level(endpoint)).collect();
        let mut used: Vec<_> = levels.iter().copied().flatten().collect();
        used.sort_unstable();
        used.dedup();
        let branch_of = levels.iter().map(|level| used.binary_search(&(*level)?).ok()).collect();
        Self::of_branches(all, branch_of, vec![Rank::Level; used.len()])
    }

    fn of_shares(all: &[Arc<Endpoint>], split: &LocalitySplit) -> Self {
        let has_share = |n: &usize| split.to.get(*n).is_some_and(|(_, share)| *share > 0);
        let branch_of =
            all.iter().map(|endpoint| locality::share_of(split, endpoint.spec()).filter(has_share)).collect();
        Self::of_branches(all, branch_of, split.to.iter().map(|(_, share)| Rank::Share(*share)).collect())
    }

    fn of_branches(all: &[Arc<Endpoint>], branch_of: Vec<Option<usize>>, ranks: Vec<Rank>) -> Self {
        let mut branches: Vec<_> = ranks.into_iter().map(|rank| Branch { endpoints: Vec::new(), rank }).collect();
        for (endpoint, branch) in all.iter().zip(&branch_of) {
            if let Some(branch) = branch.and_then(|branch| branches.get_mut(branch)) {
                branch.endpoints.push(Arc::clone(endpoint));
            }
        }
        Self { traits: Vec::new(), branches, branch_of, plan: ArcSwapOption::empty() }
    }

    /// Whether an endpoint, by its place in the set, is in a branch.
    pub(crate) fn is_in(&self, endpoint: usize, branch: usize) -> bool {
        self.branch_of.is_empty() || self.branch_of.get(endpoint) == Some(&Some(branch))
    }

    pub(crate) fn is_for(&self, traits: &Traits<'_>) -> bool {
        self.traits.iter().map(|one| &**one).eq(traits.iter().copied())
    }

    pub(crate) fn choose(&self, wish: &Wish<'_>, rng: &mut impl Rng) -> Result<Arc<Endpoint>, NoPick> {
        let known = self.plan.load();
        if let Some(plan) = &*known
            && plan.epoch == wish.epoch
        {
            return plan.choose(self, wish, rng);
        }
        let plan = Arc::new(Plan::new(&self.branches, wish, rng));
        self.plan.store(Some(Arc::clone(&plan)));
        plan.choose(self, wish, rng)
    }
}
