//! How long to wait before the next attempt.

use std::time::Duration;

const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(15);

/// Doubles with each attempt.
#[derive(Debug)]
pub(super) struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(SHORTEST)
    }
}

impl Backoff {
    /// The wait before the next attempt: between half of its turn's and all of it, so that the clients of
    /// a server that comes back do not all come at once.
    pub(super) fn next(&mut self) -> Duration {
        let turn = self.0;
        self.0 = LONGEST.min(turn * 2);
        turn.mul_f64(rand::random_range(0.5..=1.0))
    }

    /// There was a good answer.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_longest_and_begins_anew_after_a_good_answer() {
        let mut backoff = Backoff::default();
        for turn in [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10_240, 15_000, 15_000] {
            let turn = Duration::from_millis(turn);
            let wait = backoff.next();
            assert!(turn / 2 <= wait && wait <= turn, "{wait:?} in the turn of {turn:?}");
        }
        backoff.reset();
        assert!(backoff.next() <= SHORTEST);
    }
}
