//! Another writer that wants something else.

use std::time::Duration;

use tokio::time::Instant;

/// Writes in a row before there is a pause after each.
const WRITES: usize = 3;
/// That pause.
const PAUSE: Duration = Duration::from_secs(30);
/// Writes with more than this between them are no row.
const ROW: Duration = Duration::from_mins(1);

/// How often in a row the object had to be made right.
#[derive(Debug, Default)]
pub(super) struct Contest {
    writes: usize,
    last: Option<Instant>,
}

impl Contest {
    /// It was made right. How long to leave it alone now, if that happens too often: two writers that never
    /// agree must not load the API server.
    pub(super) fn wrote(&mut self, name: &str) -> Option<Duration> {
        if self.last.replace(Instant::now()).is_none_or(|last| last.elapsed() > ROW) {
            self.writes = 0;
        }
        self.writes += 1;
        if self.writes == WRITES {
            tracing::warn!(name, "somebody else keeps writing this object; it is made right every 30 seconds only");
        }
        (self.writes >= WRITES).then_some(PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_writes_too_often_in_a_row_pauses() {
        let mut contest = Contest::default();
        for _ in 0..2 {
            for pause in [None, None, Some(PAUSE), Some(PAUSE), Some(PAUSE)] {
                assert_eq!(contest.wrote("roots"), pause);
                tokio::time::advance(pause.unwrap_or_default() + Duration::from_secs(1)).await;
            }
            tokio::time::advance(ROW).await;
        }
    }
}
