//! Whether a watch works, for readiness.

use std::time::Duration;

use ambit_runtime::Condition;
use tokio::time::Instant;

/// How long a watch may fail before the replica says so: what it serves is older than that by then. The API
/// server may be away for a moment, and streams that are open go on in any case.
const PATIENCE: Duration = Duration::from_mins(1);
/// After this long without an error a watch works: nothing is said when it is established, and there may be
/// nothing to tell. Longer than the client tries to connect.
pub(super) const QUIET: Duration = Duration::from_secs(35);

/// A watch's health.
#[derive(Debug)]
pub(super) struct Health {
    condition: Condition,
    failing_since: Option<Instant>,
}

impl Health {
    /// Well, until something fails. Whether there was a first list is not said here.
    pub(super) fn new(condition: Condition) -> Self {
        condition.ok();
        Self { condition, failing_since: None }
    }

    /// Whether it failed and was not seen to work since.
    pub(super) fn is_failing(&self) -> bool {
        self.failing_since.is_some()
    }

    /// It failed.
    pub(super) fn failed(&mut self, reason: &str) {
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= PATIENCE {
            self.condition.failed(reason);
        }
    }

    /// It works.
    pub(super) fn works(&mut self) {
        if self.failing_since.take().is_some() {
            self.condition.ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use ambit_runtime::Readiness;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_fails_for_long_makes_the_replica_unready_until_it_works() {
        let readiness = Readiness::default();
        let mut health = Health::new(readiness.condition("watch of Pods"));
        assert_eq!(readiness.check(), Ok(()));
        for _ in 0..2 {
            health.failed("forbidden");
            assert_eq!(readiness.check(), Ok(()), "for a moment");
            tokio::time::advance(PATIENCE).await;
            health.failed("still forbidden");
            assert_eq!(readiness.check(), Err(vec!["watch of Pods: still forbidden".to_owned()]));
            health.works();
            assert_eq!(readiness.check(), Ok(()));
        }
        // Failures that are no row.
        for _ in 0..3 {
            health.failed("away");
            health.works();
            tokio::time::advance(PATIENCE).await;
        }
        assert!(readiness.check().is_ok() && !health.is_failing());
    }
}
