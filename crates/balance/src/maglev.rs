//! Consistent hashing by Maglev's table: one look-up, even shares, and few keys that move.

use std::sync::Arc;

use crate::Endpoint;
use crate::hash::{hash_key, hash_nth};

/// The largest table; as in the field.
const LARGEST: u32 = 5_000_011;

/// Weights count as no further apart than this: rounds in which hardly anybody has a turn take long.
const LARGEST_RATIO: u64 = 256;

/// Other places of a key, before its endpoint's neighbours are looked at.
const PROBES: u64 = 256;

/// A table of endpoints, each as often as its weight says.
#[derive(Debug)]
pub(crate) struct Maglev {
    table: Vec<u32>,
}

/// An endpoint's own order of the table's places: from one on, by steps which, the size being prime, come to
/// each.
#[derive(Debug)]
struct Preferences {
    next: u64,
    step: u64,
}

impl Maglev {
    pub(crate) fn new(endpoints: &[Arc<Endpoint>], size: u32) -> Self {
        let size = next_prime(size.clamp(2, LARGEST));
        let Ok(len) = usize::try_from(size) else { return Self { table: Vec::new() } };
        let heaviest = u64::from(endpoints.iter().map(|endpoint| endpoint.weight()).max().unwrap_or(1));
        let mut preferences: Vec<_> = endpoints.iter().map(|endpoint| Preferences::of(endpoint, size)).collect();
        let mut table = vec![None; len];
        let mut free = if endpoints.is_empty() { 0 } else { len };
        let mut round = 0;
        while free > 0 {
            for ((n, endpoint), preferences) in (0..).zip(endpoints).zip(&mut preferences) {
                let weight = u64::from(endpoint.weight()).max(heaviest / LARGEST_RATIO);
                // The heaviest has a turn in each round, others as often as their weight is a part of its.
                if free > 0 && (round + 1) * weight / heaviest > round * weight / heaviest {
                    preferences.take(&mut table, n, size);
                    free -= 1;
                }
            }
            round += 1;
        }
        Self { table: table.into_iter().flatten().collect() }
    }

    /// The endpoints from a key on, as indices; the same one many times. Those after the first are spread over
    /// all others, or a neighbour would get all that an ejected endpoint leaves.
    pub(crate) fn from(&self, hash: u64) -> impl Iterator<Item = usize> {
        let len = u64::try_from(self.table.len()).unwrap_or(u64::MAX);
        let place = move |hash: u64| hash.checked_rem(len).and_then(|place| usize::try_from(place).ok()).unwrap_or(0);
        let probes = std::iter::once(hash).chain((1..PROBES).map(move |nth| hash_nth(hash, nth)));
        let (before, after) = self.table.split_at(place(hash));
        let owners = probes.filter_map(move |hash| self.table.get(place(hash))).chain(after).chain(before);
        owners.filter_map(|owner| usize::try_from(*owner).ok())
    }
}

impl Preferences {
    fn of(endpoint: &Endpoint, size: u32) -> Self {
        let key = hash_key(endpoint.spec().key.as_bytes());
        let size = u64::from(size);
        Self { next: hash_nth(key, 0) % size, step: hash_nth(key, 1) % (size - 1) + 1 }
    }

    /// Takes the free place it likes best; there is one.
    fn take(&mut self, table: &mut [Option<u32>], endpoint: u32, size: u32) {
        for _ in 0..size {
            let place = usize::try_from(self.next).ok().and_then(|place| table.get_mut(place));
            self.next = (self.next + self.step) % u64::from(size);
            if let Some(free @ None) = place {
                *free = Some(endpoint);
                return;
            }
        }
    }
}

fn next_prime(from: u32) -> u32 {
    let is_prime = |number: &u32| {
        (2..).take_while(|divisor| divisor * divisor <= *number).all(|divisor| !number.is_multiple_of(divisor))
    };
    (from..).find(is_prime).unwrap_or(LARGEST)
}

#[cfg(test)]
mod tests;
