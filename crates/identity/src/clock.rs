//! Where "now" comes from.

use std::time::{Duration, SystemTime};

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use tokio::time::Instant;

/// Longest single sleep. A wall clock that is set, or a machine that was suspended, must not keep a
/// certificate from being renewed for longer than this.
const LONGEST_NAP: Duration = Duration::from_secs(10);

/// Where "now" comes from: the system, or (for tests) tokio's clock, which can be paused and advanced.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock(Source);

#[derive(Debug, Clone, Copy, Default)]
enum Source {
    #[default]
    System,
    Tokio {
        epoch: SystemTime,
        started: Instant,
    },
}

impl Clock {
    /// A clock that stands at `epoch` now and moves on with tokio's.
    #[must_use]
    pub fn tokio(epoch: SystemTime) -> Self {
        Self(Source::Tokio { epoch, started: Instant::now() })
    }

    /// The time by this clock.
    #[must_use]
    pub fn now(self) -> SystemTime {
        match self.0 {
            Source::System => SystemTime::now(),
            Source::Tokio { epoch, started } => epoch + started.elapsed(),
        }
    }

    /// Waits until this clock shows `deadline`.
    pub async fn sleep_until(self, deadline: SystemTime) {
        while let Ok(left) = deadline.duration_since(self.now())
            && !left.is_zero()
        {
            tokio::time::sleep(left.min(LONGEST_NAP)).await;
        }
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        self.now().duration_since(SystemTime::UNIX_EPOCH).ok().map(UnixTime::since_unix_epoch)
    }
}
