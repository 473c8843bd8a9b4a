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

/// Runs `splice` to its end, unless the connection is no longer allowed or the drain's time is up:
/// then both sides are reset, as a dropped splice does.
pub(crate) async fn carry(
    worker: &Worker,
    registered: &Registered,
    record: &mut ConnectionRecord,
    splice: impl Future<Output = Result<(), CloseReason>>,
) -> Result<(), CloseReason> {
    let mut splice = pin!(splice);
    let mut cut = pin!(registered.cut());
    let mut drained = pin!(worker.drain.cut_off().cancelled());
    let mut count = interval_at(Instant::now() + COUNT_EVERY, COUNT_EVERY);
    count.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            result = &mut splice => return result,
            reason = &mut cut => return Err(CloseReason::PolicyChanged(reason)),
            () = &mut drained => return Err(CloseReason::Drained),
            _ = count.tick() => record.count_bytes(),
        }
    }
}
