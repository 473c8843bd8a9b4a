//! Token buckets, one for each key, in bounded memory. A bucket that is full again is the same as none, so it is
//! forgotten; where all there may be are in use, further keys of a part share one, and are limited rather more than
//! less.
//!
//! What is held of a bucket is the moment at which it will be full, as in the generic cell rate algorithm: one number
//! that no time passing has to change. Moments are in parts of a nanosecond, as many as requests fill the bucket in
//! [`Rate::per`], so that nothing is ever rounded.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, DefaultHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ambit_l7::Rate;

use crate::outlier::nanoseconds;

/// Parts, each behind a lock of its own: workers seldom meet.
const SHARDS: u64 = 16;

/// Most buckets in use, of all parts together: some 8 MB.
const MAX_BUCKETS: usize = 1 << 17;

/// How often at most a part is looked through for buckets that are full again, in nanoseconds.
const SWEEP_EVERY: u64 = 100_000_000;

/// The buckets of one limit. All workers share them.
#[derive(Debug)]
pub struct Buckets {
    rate: Rate,
    start: Instant,
    hasher: RandomState,
    shards: Box<[Mutex<Shard>]>,
    most: usize,
}

/// What a bucket says to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drawn {
    /// Whether there was a token; it is taken then.
    pub allowed: bool,
    /// Whole tokens left.
    pub left: u32,
    /// When there will be one, where there was none; else when the bucket will be full.
    pub reset: Duration,
}

#[derive(Debug, Default)]
struct Shard {
    /// When each bucket will be full. Those that are not here are.
    full_at: HashMap<u64, u128>,
    /// The same of the bucket of all others.
    others: u128,
    /// When it was last looked through, in nanoseconds.
    swept: u64,
}

impl Buckets {
    /// Full buckets, of which 131,072 at most are held at a time.
    #[must_use]
    pub fn new(rate: Rate, now: Instant) -> Self {
        Self::at_most(MAX_BUCKETS, rate, now)
    }

    fn at_most(most: usize, rate: Rate, now: Instant) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        let most = most / usize::try_from(SHARDS).unwrap_or(usize::MAX);
        Self { rate, start: now, hasher: RandomState::new(), shards, most }
    }

    /// How fast they fill.
    #[must_use]
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// What keys are to be hashed with: nobody can foresee it, or clients could choose keys that meet.
    #[must_use]
    pub fn hasher(&self) -> DefaultHasher {
        self.hasher.build_hasher()
    }

    /// Takes a token of a key's bucket, if there is one.
    pub fn draw(&self, key: u64, now: Instant) -> Drawn {
        let now = nanoseconds(now.saturating_duration_since(self.start));
        let shard = usize::try_from(key % SHARDS).ok().and_then(|shard| self.shards.get(shard));
        // There is one for each remainder; without it there would be no token.
        let Some(shard) = shard else { return Drawn { allowed: false, left: 0, reset: self.rate.per } };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let moment = u128::from(now) * u128::from(self.rate.requests.get());
        let full_at = shard.bucket(key, (now, moment), self.most);
        self.drawn(full_at, moment)
    }

    fn drawn(&self, full_at: &mut u128, now: u128) -> Drawn {
        let token = u128::from(nanoseconds(self.rate.per)).max(1);
        let size = token * u128::from(self.rate.burst.get());
        let before = (*full_at).max(now);
        let after = before.saturating_add(token);
        // What the bucket lacks to be full.
        let lacking = after - now;
        let wait = |parts: u128| {
            let nanoseconds = parts.div_ceil(u128::from(self.rate.requests.get()));
            Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
        };
        if lacking > size {
            return Drawn { allowed: false, left: 0, reset: wait(lacking - size) };
        }
        *full_at = after;
        let left = u32::try_from((size - lacking) / token).unwrap_or(u32::MAX);
        Drawn { allowed: true, left, reset: wait(lacking) }
    }
}

impl Shard {
    /// A key's bucket. A new one owes what the bucket of all others owes: its key may have drawn from there.
    fn bucket(&mut self, key: u64, (now, moment): (u64, u128), most: usize) -> &mut u128 {
        if !self.full_at.contains_key(&key) {
            let room = self.full_at.capacity().min(most);
            if self.full_at.len() >= room && now.saturating_sub(self.swept) >= SWEEP_EVERY {
                self.swept = now;
                self.full_at.retain(|_, full_at| *full_at > moment);
                self.full_at.shrink_to(self.full_at.len() * 2);
            }
            if self.full_at.len() >= most {
                return &mut self.others;
            }
        }
        self.full_at.entry(key).or_insert(self.others)
    }
}

#[cfg(test)]
mod tests;
