//! Rate limits: who counts requests, and what clients are told of it. Which requests count is in `ambit_l7`, the
//! buckets are in `ambit_balance`, and when they are drawn is in `request/limits.rs`.
//!
//! | what | file |
//! | --- | --- |
//! | buckets, which outlive what is in force | `rate_limit/held.rs` |
//! | a service that counts: `envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit` | `rate_limit/global.rs`, `rate_limit/messages.rs` |
//! | headers | `rate_limit/told.rs` |

mod global;
mod held;
mod messages;
mod told;

pub(crate) use global::{Judged, Questions};
pub(crate) use held::{Counter, HeldBuckets, Limit};
pub(crate) use told::{seconds, tell};

use ambit_l7::RateLimit;
use ambit_telemetry::AgentMetrics;

/// What a limit does to a request beside letting it pass, as metrics have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is over the limit: refused.
    Limited,
    /// It is over the limit, which is only rehearsed.
    DryRun,
    /// Nobody could count it: let pass.
    FailedOpen,
    /// Nobody could count it: refused.
    FailedClosed,
}

impl Outcome {
    /// Counts it.
    pub(crate) fn count(self, limit: &RateLimit, metrics: &AgentMetrics) {
        let outcome = match self {
            Self::Limited => "limited",
            Self::DryRun => "dry_run",
            Self::FailedOpen => "failed_open",
            Self::FailedClosed => "failed_closed",
        };
        let labels =
            [("policy", limit.policy.to_string()), ("rule", limit.name.to_string()), ("outcome", outcome.to_owned())];
        metrics.rate_limits.get_or_create(&labels).inc();
    }
}
