//! How much of its share an endpoint gets that has just come.

use ambit_l7::Warmup;

/// What it gets at least: one that is never asked never gets warm.
const LEAST: f64 = 0.001;

/// The part of its weight that an endpoint gets, at most 1. Times are nanoseconds.
pub(crate) fn warmth(warmup: &Warmup, ready_since: u64, now: u64) -> f64 {
    let ready = now.saturating_sub(ready_since);
    let duration = u64::try_from(warmup.duration.as_nanos()).unwrap_or(u64::MAX);
    if ready >= duration {
        return 1.0;
    }
    let passed = std::time::Duration::from_nanos(ready).as_secs_f64() / warmup.duration.as_secs_f64();
    let aggression = f64::from(warmup.aggression.0.max(1)) / 1000.0;
    passed.powf(1.0 / aggression).clamp(LEAST.max(f64::from(warmup.minimum_percent) / 100.0).min(1.0), 1.0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ambit_l7::Aggression;

    use super::*;

    #[test]
    fn share_grows_with_time() {
        let second = 1_000_000_000;
        for (minimum_percent, aggression, seconds, expected) in [
            (10, 1000, 0, 0.1),
            (10, 1000, 5, 0.1),
            (10, 1000, 50, 0.5),
            (10, 1000, 100, 1.0),
            (10, 1000, 1000, 1.0),
            (10, 2000, 25, 0.5),
            (10, 500, 50, 0.25),
            (0, 1000, 0, LEAST),
            (100, 1000, 1, 1.0),
            (250, 1000, 1, 1.0),
            (10, 0, 99, 0.1),
        ] {
            let duration = Duration::from_secs(100);
            let warmup = Warmup { duration, minimum_percent, aggression: Aggression(aggression) };
            let share = warmth(&warmup, 7 * second, (7 + seconds) * second);
            assert!((share - expected).abs() < 1e-4, "{warmup:?} after {seconds} s: {share}");
            assert!((warmth(&warmup, 7 * second, 0) - warmth(&warmup, 7 * second, 7 * second)).abs() < 1e-9);
        }
    }

    #[test]
    fn no_duration_is_no_warmup() {
        let warmup = Warmup { duration: Duration::ZERO, minimum_percent: 0, aggression: Aggression::default() };
        assert!((warmth(&warmup, 0, 0) - 1.0).abs() < 1e-9);
    }
}
