//! Waiting for a condition, never for a time.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(5);

/// Looks at `condition` until it gives a value, and returns that.
///
/// # Errors
/// Fails, naming `what`, when `limit` has passed.
pub fn until<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = condition() {
            return Ok(value);
        }
        if Instant::now() >= deadline {
            bail!("{what}: not seen within {limit:?}");
        }
        thread::sleep(POLL);
    }
}
