use std::num::NonZeroU32;

use proptest::prelude::*;

use super::*;

fn rate(requests: u32, per: Duration, burst: u32) -> Rate {
    Rate { requests: NonZeroU32::new(requests).unwrap(), per, burst: NonZeroU32::new(burst).unwrap() }
}

/// A bucket as one would draw it: filled drop by drop.
#[derive(Debug, Clone, Copy)]
struct Slow {
    /// In parts of a token: as many as there are nanoseconds in `per`.
    level: u128,
    at: u64,
}

impl Slow {
    fn full(rate: Rate) -> Self {
        Self { level: u128::from(rate.burst.get()) * rate.per.as_nanos(), at: 0 }
    }

    fn fill(&mut self, rate: Rate, now: u64) {
        let drops = u128::from(now - self.at) * u128::from(rate.requests.get());
        self.level = (self.level + drops).min(Self::full(rate).level);
        self.at = now;
    }

    /// Whole tokens in it.
    fn tokens(self, rate: Rate) -> u128 {
        self.level / rate.per.as_nanos()
    }
}

fn any_rate() -> impl Strategy<Value = Rate> {
    (1..=5u32, 1..=40u64, 1..=4u32).prop_map(|(requests, per, burst)| rate(requests, Duration::from_nanos(per), burst))
}

/// Keys, and nanoseconds between their requests.
fn draws(keys: u64) -> impl Strategy<Value = Vec<(u64, u64)>> {
    prop::collection::vec((0..keys, 0..30u64), 1..200)
}

proptest! {
    #[test]
    fn a_bucket_is_as_one_filled_drop_by_drop(rate in any_rate(), draws in draws(3)) {
        let start = Instant::now();
        let buckets = Buckets::new(rate, start);
        let mut slow = [Slow::full(rate); 3];
        let mut now = 0;
        for (key, pause) in draws {
            now += pause;
            let slow = &mut slow[usize::try_from(key).unwrap()];
            slow.fill(rate, now);
            let expected = slow.tokens(rate) > 0;
            let drawn = buckets.draw(key, start + Duration::from_nanos(now));
            prop_assert_eq!(drawn.allowed, expected);
            let mut later = *slow;
            if expected {
                slow.level -= rate.per.as_nanos();
                prop_assert_eq!(u128::from(drawn.left), slow.tokens(rate));
                later = *slow;
            }
            // Not a nanosecond before `reset`.
            let reset = u64::try_from(drawn.reset.as_nanos()).unwrap();
            let is_reset = |slow: Slow| if expected { slow.level == Slow::full(rate).level } else { slow.tokens(rate) > 0 };
            later.fill(rate, now + reset - 1);
            prop_assert!(!is_reset(later));
            later.fill(rate, now + reset);
            prop_assert!(is_reset(later));
        }
    }

    /// However few buckets there are for however many keys: nobody gets more than of a bucket of their own.
    #[test]
    fn too_many_keys_get_less_and_never_more(rate in any_rate(), draws in draws(40), most in 0..3usize) {
        let start = Instant::now();
        let buckets = Buckets::at_most(most * 16, rate, start);
        let mut slow = [Slow::full(rate); 40];
        let mut now = 0;
        for (key, pause) in draws {
            // Long enough that there are sweeps among them.
            now += pause * SWEEP_EVERY / 100;
            let slow = &mut slow[usize::try_from(key).unwrap()];
            slow.fill(rate, now);
            if buckets.draw(key * 16, start + Duration::from_nanos(now)).allowed {
                prop_assert!(slow.tokens(rate) > 0, "{key} had none left");
                slow.level -= rate.per.as_nanos();
            }
        }
    }
}

#[test]
fn buckets_in_use_are_bounded_and_full_ones_forgotten() {
    let start = Instant::now();
    let buckets = Buckets::at_most(64, rate(1, Duration::from_secs(1), 1), start);
    let held = || buckets.shards.iter().map(|shard| shard.lock().unwrap().full_at.len()).sum::<usize>();
    for key in 0..1000 {
        buckets.draw(key, start);
    }
    assert_eq!(held(), 64);
    assert!(!buckets.draw(2000, start).allowed, "others share one bucket, which is empty");
    let later = start + Duration::from_secs(2);
    for key in 0..16 {
        assert!(buckets.draw(10_000 + key, later).allowed, "all are full again");
    }
    assert_eq!(held(), 16);
}

#[test]
fn the_largest_rates_do_not_overflow() {
    let start = Instant::now();
    let now = start + Duration::from_secs(60 * 60 * 24 * 365 * 50);
    for per in [Duration::from_nanos(1), Duration::from_secs(u64::MAX)] {
        let buckets = Buckets::new(rate(u32::MAX, per, u32::MAX), start);
        assert_eq!((buckets.draw(1, now).allowed, buckets.draw(1, now).left), (true, u32::MAX - 2));
    }
}
