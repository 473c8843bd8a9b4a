//! Step 7: bytes, for as long as the connection may go on.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use ambit_model::CloseReason;
use ambit_telemetry::ConnectionRecord;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::judged::Registered;
use crate::worker::Worker;

/// How often a long connection's bytes are added to the metrics: a scrape sees what passed before it.
const COUNT_EVERY: Duration = Duration::from_secs(10);

/// Waits until a connection, on its way or open, may not go on: it is no longer allowed, or the drain's
/// time is up.
pub(crate) async fn must_end(worker: &Worker, registered: &Registered) -> CloseReason {
    tokio::select! {
        biased;
        reason = registered.cut() => CloseReason::PolicyChanged(reason),
        () = worker.drain.cut_off().cancelled() => CloseReason::Drained,
    }
}

/// Runs `splice` to its end, unless the connection must end before: then both sides are reset, as a
/// dropped splice does.
pub(crate) async fn carry(
    worker: &Worker,
    registered: &Registered,
    record: &mut ConnectionRecord,
    splice: impl Future<Output = Result<(), CloseReason>>,
) -> Result<(), CloseReason> {
    until(must_end(worker, registered), splice, || record.count_bytes()).await
}

/// The end is looked at first: a connection cut while it was being made carries nothing at all.
async fn until(
    end: impl Future<Output = CloseReason>,
    splice: impl Future<Output = Result<(), CloseReason>>,
    mut count: impl FnMut(),
) -> Result<(), CloseReason> {
    let mut end = pin!(end);
    let mut splice = pin!(splice);
    let mut tick = interval_at(Instant::now() + COUNT_EVERY, COUNT_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            reason = &mut end => return Err(reason),
            result = &mut splice => return result,
            _ = tick.tick() => count(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn a_connection_that_must_end_already_carries_nothing() {
        let mut carried = false;
        let splice = async {
            carried = true;
            Ok(())
        };
        assert_eq!(until(ready(CloseReason::Drained), splice, || {}).await, Err(CloseReason::Drained));
        assert!(!carried);
    }

    #[tokio::test]
    async fn others_are_carried_to_their_end() {
        let splice = async { Err(CloseReason::Aborted) };
        assert_eq!(until(pending(), splice, || {}).await, Err(CloseReason::Aborted));
    }
}
