//! Step 9: faults put in on purpose.

use ambit_l7::{AbortWith, Fault};
use ambit_telemetry::{ResponseFlag, ResponseFlags};
use http::StatusCode;

use super::refusal::Refusal;
use crate::destination::draw_of_million;
use crate::worker::Worker;

/// Delays a request, and ends it, each where its lot says so.
pub(crate) async fn inject(worker: &Worker, fault: &Fault, flags: &mut ResponseFlags) -> Result<(), Refusal> {
    if let Some(delay) = &fault.delay
        && delay.fraction.takes(draw_of_million(worker))
    {
        flags.insert(ResponseFlag::DelayInjected);
        tokio::time::sleep(delay.duration).await;
    }
    match &fault.abort {
        Some(abort) if abort.fraction.takes(draw_of_million(worker)) => {
            let (status, grpc_status) = match abort.with {
                AbortWith::Http(status) => (status, None),
                AbortWith::Grpc(status) => (StatusCode::OK, Some(status)),
            };
            let refusal = Refusal::new(status, "fault_filter_abort").with_body("fault filter abort");
            Err(Refusal { grpc_status, ..refusal.with_flag(ResponseFlag::FaultInjected) })
        }
        Some(_) | None => Ok(()),
    }
}
