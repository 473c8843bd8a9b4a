//! When a failed attempt is made again.

use std::time::Duration;

use ambit_l7::{Retry, RetryOn};
use ambit_resources::virtual_service::Retries;

use crate::l7::L7Problem;
use crate::l7::at::At;
use crate::l7::cx::Cx;

/// What a route says of retries; what it leaves open is the mesh's.
pub(crate) fn retry(written: &Retries, at: &At<'_>, cx: &mut Cx<'_>) -> Option<Retry> {
    let default = &cx.options.default_retry;
    let on = if written.retry_on.is_empty() {
        default.on.clone()
    } else {
        match RetryOn::parse(&written.retry_on) {
            Ok(on) => on,
            Err(error) => {
                cx.error(&at.field("retryOn"), L7Problem::RetryOn { detail: error.to_string() });
                return None;
            }
        }
    };
    let per_try_timeout = written.per_try_timeout.map(|timeout| timeout.0).filter(|timeout| !timeout.is_zero());
    if per_try_timeout.is_some_and(|timeout| timeout < LEAST) {
        cx.error(&at.field("perTryTimeout"), L7Problem::TooShort { least: "1ms" });
    }
    let backoff = written.backoff.map(|backoff| backoff.0);
    if backoff.is_some_and(|backoff| backoff < LEAST) {
        cx.error(&at.field("backoff"), L7Problem::TooShort { least: "1ms" });
    }
    Some(Retry {
        attempts: written.attempts,
        per_try_timeout,
        on,
        remote_localities: written.retry_remote_localities.unwrap_or(default.remote_localities),
        avoid_previous_hosts: written.retry_ignore_previous_hosts.unwrap_or(default.avoid_previous_hosts),
        backoff: backoff.or(default.backoff),
    })
}

/// What is shorter is a slip of the pen.
const LEAST: Duration = Duration::from_millis(1);
