//! Endpoints' shares of a branch.

use std::cmp::Ordering;
use std::sync::Arc;

use ambit_l7::LoadBalancing;
use rand::{Rng, RngExt};

use crate::Endpoint;

/// A round of ROUND_ROBIN is no longer than this, but for four turns for each endpoint; weights that would
/// need a longer one are rounded.
const LONGEST_ROUND: usize = 4096;

/// Endpoints' shares of a branch.
#[derive(Debug)]
pub(crate) enum Weights {
    /// All alike.
    Equal,
    /// Each one's and those before it.
    Cumulative(Vec<u64>),
    /// ROUND_ROBIN: a round, as indices.
    Round(Vec<u32>),
}

impl Weights {
    pub(crate) fn new(endpoints: &[Arc<Endpoint>], algorithm: &LoadBalancing) -> Self {
        let weights: Vec<_> = endpoints.iter().map(|endpoint| endpoint.weight()).collect();
        match algorithm {
            LoadBalancing::ConsistentHash(_) => Self::Equal,
            _ if weights.iter().all(|weight| Some(weight) == weights.first()) => Self::Equal,
            LoadBalancing::RoundRobin => Self::Round(round(&weights)),
            LoadBalancing::LeastRequest | LoadBalancing::Random | LoadBalancing::Passthrough => {
                let mut sum = 0;
                Self::Cumulative(
                    weights
                        .iter()
                        .map(|weight| {
                            sum += u64::from(*weight);
                            sum
                        })
                        .collect(),
                )
            }
        }
    }

    /// The index of one of `len` at random.
    pub(crate) fn draw(&self, len: usize, rng: &mut impl Rng) -> Option<usize> {
        match self {
            Self::Cumulative(sums) => {
                let point = rng.random_range(0..*sums.last()?);
                Some(sums.partition_point(|sum| *sum <= point))
            }
            Self::Equal | Self::Round(_) => (len > 0).then(|| rng.random_range(0..len)),
        }
    }

    /// The index of the one of `len` whose turn it is.
    pub(crate) fn at_turn(&self, turn: u64, len: usize) -> Option<usize> {
        let place = |len: usize| usize::try_from(turn.checked_rem(u64::try_from(len).ok()?)?).ok();
        match self {
            Self::Round(round) => round.get(place(round.len())?).and_then(|n| usize::try_from(*n).ok()),
            Self::Equal | Self::Cumulative(_) => place(len),
        }
    }
}

/// Turns in proportion to the weights, those of each endpoint as evenly spread as can be.
fn round(weights: &[u32]) -> Vec<u32> {
    let divisor = u64::from(weights.iter().copied().fold(0, greatest_common_divisor).max(1));
    let sum: u64 = weights.iter().map(|weight| u64::from(*weight) / divisor).sum();
    let longest = u64::try_from(LONGEST_ROUND.max(4 * weights.len())).unwrap_or(u64::MAX);
    let mut turns: Vec<(f64, u32)> = Vec::new();
    for (n, weight) in (0..).zip(weights) {
        let weight = u64::from(*weight) / divisor;
        let count = if sum <= longest { weight } else { (weight * longest / sum).max(1) };
        // Half a step late: the first turns of all would else come first.
        turns.extend((0..count).map(|turn| ((precise(turn) + 0.5) / precise(count), n)));
    }
    turns.sort_by(|one, other| one.0.partial_cmp(&other.0).unwrap_or(Ordering::Equal).then(one.1.cmp(&other.1)));
    turns.into_iter().map(|(_, n)| n).collect()
}

/// Of numbers of turns, which are small.
fn precise(number: u64) -> f64 {
    u32::try_from(number).map_or(f64::from(u32::MAX), f64::from)
}

pub(crate) fn greatest_common_divisor(one: u32, other: u32) -> u32 {
    if other == 0 { one } else { greatest_common_divisor(other, one % other) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_smooth_and_no_longer_than_needed() {
        for (weights, expected) in [
            (vec![1, 1], vec![0, 1]),
            (vec![5, 1, 1], vec![0, 0, 0, 1, 2, 0, 0]),
            (vec![200, 100], vec![0, 1, 0]),
            (vec![6, 4, 2], vec![0, 1, 0, 2, 1, 0]),
            (vec![], vec![]),
        ] {
            assert_eq!(round(&weights), expected, "{weights:?}");
        }
        let huge = round(&[u32::MAX, 1, 7]);
        assert!(huge.len() <= LONGEST_ROUND + 3, "{}", huge.len());
        assert!([0, 1, 2].iter().all(|n| huge.contains(n)), "nobody is left out");
    }
}
