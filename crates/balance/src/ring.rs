//! Consistent hashing by a ring of points, of which each endpoint has several.

use std::sync::Arc;

use crate::Endpoint;
use crate::hash::{hash_key, hash_nth};
use crate::weights::greatest_common_divisor;

/// A ring of the size asked for is one of this many endpoints.
const ENDPOINTS_OF_MINIMUM: u32 = 4;

/// Points an endpoint has at least, where the ring does not grow too large by it: shares differ by some 6 %.
const LEAST_POINTS: u32 = 256;

/// Points of a ring; some 3 MB.
const MOST_POINTS: u64 = 1 << 18;

/// A ring. A key belongs to the first point at or after it.
///
/// How many points an endpoint has does not depend on the others, as long as the ring is not too large (for
/// some thousand endpoints of equal weight with the usual size): so keys move only from an endpoint that goes,
/// and to one that comes.
#[derive(Debug)]
pub(crate) struct Ring {
    points: Vec<u64>,
    /// Whose they are.
    owners: Vec<u32>,
}

impl Ring {
    pub(crate) fn new(endpoints: &[Arc<Endpoint>], minimum_size: u32) -> Self {
        let counts = points_of(endpoints, minimum_size);
        let mut ring: Vec<(u64, u32)> = Vec::new();
        for ((n, endpoint), count) in (0..).zip(endpoints).zip(counts) {
            let key = hash_key(endpoint.spec().key.as_bytes());
            ring.extend((0..count).map(|nth| (hash_nth(key, nth), n)));
        }
        ring.sort_unstable();
        let (points, owners) = ring.into_iter().unzip();
        Self { points, owners }
    }

    /// The endpoints from a key on, as indices; the same one many times.
    pub(crate) fn from(&self, hash: u64) -> impl Iterator<Item = usize> {
        let first = self.points.partition_point(|point| *point < hash);
        let (before, after) = self.owners.split_at(first);
        after.iter().chain(before).filter_map(|owner| usize::try_from(*owner).ok())
    }
}

/// How many points each endpoint has, by its weight.
fn points_of(endpoints: &[Arc<Endpoint>], minimum_size: u32) -> impl Iterator<Item = u64> {
    let divisor = endpoints.iter().map(|endpoint| endpoint.weight()).fold(0, greatest_common_divisor).max(1);
    let weights = move |endpoint: &Arc<Endpoint>| u64::from(endpoint.weight() / divisor);
    let sum = endpoints.iter().map(weights).sum::<u64>();
    let mut unit = u64::from(minimum_size.div_ceil(ENDPOINTS_OF_MINIMUM).max(LEAST_POINTS));
    // By halves and not by as much as needed, for it to be rare that everybody's number changes.
    while unit > 1 && unit.saturating_mul(sum) > MOST_POINTS {
        unit /= 2;
    }
    let shrink = sum.div_ceil(MOST_POINTS).max(1);
    endpoints.iter().map(move |endpoint| (weights(endpoint) * unit / shrink).max(1))
}

#[cfg(test)]
mod tests;
