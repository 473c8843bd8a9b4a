//! Pauses between tries.

use std::time::Duration;

/// Pauses that double, up to a longest one, each shortened at random by up to half, so that many who failed
/// together do not try again together.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    /// Begins with `first`.
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// The next pause.
    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        pause.mul_f64(rand::random_range(0.5..=1.0))
    }

    /// A try has succeeded.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::new(second, 3 * second);
        for longest in [1, 2, 3, 3] {
            let pause = backoff.next();
            assert!(pause <= longest * second && pause >= longest * second / 2, "{pause:?}");
        }
        backoff.reset();
        assert!(backoff.next() <= second);
    }
}
