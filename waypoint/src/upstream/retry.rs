//! Whether a failed attempt is made again, and when.

use std::sync::LazyLock;
use std::time::Duration;

use ambit_l7::{FailureKind, Retry, RetryOn};
use http::Response;
use rand::{Rng, RngExt};

use super::attempt::AttemptError;

/// Between attempts, where nothing else is said; the field's.
const BACKOFF: Duration = Duration::from_millis(25);

/// The longest back-off, in first ones.
const MAX_BACKOFF: u32 = 10;

/// What the mesh does where nobody said anything: only what cannot have reached an application is tried again,
/// or what it answered it did not do.
static BY_DEFAULT: LazyLock<Retry> = LazyLock::new(|| Retry {
    attempts: 2,
    per_try_timeout: None,
    on: RetryOn {
        connect_failure: true,
        refused_stream: true,
        reset_before_request: true,
        grpc: vec![1, 14],
        ..RetryOn::default()
    },
    remote_localities: false,
    avoid_previous_hosts: true,
    backoff: None,
});

/// One attempt, and no other.
pub(super) static NEVER: LazyLock<Retry> =
    LazyLock::new(|| Retry { attempts: 0, on: RetryOn::default(), ..BY_DEFAULT.clone() });

/// What is in force for a request.
pub(super) fn in_force(asked: Option<&Retry>) -> &Retry {
    asked.unwrap_or(&BY_DEFAULT)
}

/// Whether an answer asks for another attempt.
pub(super) fn on_answer<T>(on: &RetryOn, answer: &Response<T>) -> bool {
    on.after_response(answer.status(), answer.headers())
}

/// Whether a failure asks for another attempt.
pub(super) fn on_failure(on: &RetryOn, failure: &AttemptError) -> bool {
    let kind = match failure {
        AttemptError::Connect { .. } => FailureKind::Connect,
        AttemptError::Refused { .. } => FailureKind::RefusedStream,
        AttemptError::Reset { is_sent: false, .. } => FailureKind::ResetBeforeRequest,
        AttemptError::Reset { is_sent: true, .. } | AttemptError::Protocol { .. } => FailureKind::Reset,
        AttemptError::PerTryTimeout => FailureKind::PerTryTimeout,
        AttemptError::Overflow { .. } => FailureKind::Overflow,
        AttemptError::NoEndpoint(_) | AttemptError::ClientGone => return false,
    };
    on.after_failure(kind)
}

/// How long to wait before the attempt after `retries` others: at random, up to a bound that doubles.
pub(super) fn backoff(retry: &Retry, retries: u32, rng: &mut impl Rng) -> Duration {
    let base = retry.backoff.unwrap_or(BACKOFF);
    let most = base.saturating_mul(1_u32.checked_shl(retries).unwrap_or(MAX_BACKOFF).min(MAX_BACKOFF));
    most.mul_f64(rng.random::<f64>())
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, StatusCode};
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    fn answer(status: u16, header: Option<(&'static str, &'static str)>) -> Response<()> {
        let mut response = Response::builder().status(status);
        if let Some((name, value)) = header {
            response = response.header(name, value);
        }
        response.body(()).unwrap()
    }

    #[test]
    fn answers() {
        let none = RetryOn::default();
        let server = RetryOn { server_error: true, ..none.clone() };
        let gateway = RetryOn { gateway_error: true, ..none.clone() };
        let conflict = RetryOn { retriable_4xx: true, ..none.clone() };
        let limited = RetryOn { rate_limited: true, ..none.clone() };
        let teapot = RetryOn { statuses: vec![StatusCode::IM_A_TEAPOT], ..none.clone() };
        let header = RetryOn { headers: vec![HeaderName::from_static("x-again")], ..none.clone() };
        let default = BY_DEFAULT.on.clone();
        for (on, status, with, expected) in [
            (&none, 503, None, false),
            (&server, 500, None, true),
            (&server, 503, Some(("x-envoy-ratelimited", "true")), false),
            (&limited, 429, Some(("x-envoy-ratelimited", "true")), true),
            (&limited, 429, None, false),
            (&server, 404, None, false),
            (&gateway, 500, None, false),
            (&gateway, 502, None, true),
            (&gateway, 504, None, true),
            (&conflict, 409, None, true),
            (&conflict, 404, None, false),
            (&teapot, 418, None, true),
            (&header, 200, Some(("x-again", "")), true),
            (&header, 200, None, false),
            (&default, 503, None, false),
            (&default, 200, Some(("grpc-status", "14")), true),
            (&default, 200, Some(("grpc-status", "13")), false),
            (&default, 200, Some(("grpc-status", "no")), false),
        ] {
            assert_eq!(on_answer(on, &answer(status, with)), expected, "{on:?} {status} {with:?}");
        }
    }

    #[test]
    fn failures() {
        let detail = String::new;
        let none = RetryOn::default();
        let connect = RetryOn { connect_failure: true, ..none.clone() };
        let refused = RetryOn { refused_stream: true, ..none.clone() };
        let before = RetryOn { reset_before_request: true, ..none.clone() };
        let reset = RetryOn { reset: true, ..none.clone() };
        let gateway = RetryOn { gateway_error: true, ..none.clone() };
        for (failure, wanted_by, not_by) in [
            (
                AttemptError::Connect { detail: detail() },
                vec![&connect, &before, &reset, &gateway],
                vec![&none, &refused],
            ),
            (AttemptError::Refused { detail: detail() }, vec![&refused, &reset], vec![&none, &connect]),
            (AttemptError::Reset { is_sent: true, detail: detail() }, vec![&reset, &gateway], vec![&before, &connect]),
            (AttemptError::Reset { is_sent: false, detail: detail() }, vec![&reset, &before], vec![&connect]),
            (AttemptError::PerTryTimeout, vec![&reset, &gateway], vec![&before, &connect]),
            (AttemptError::Overflow { what: "requests" }, vec![], vec![&reset, &gateway, &before]),
            (AttemptError::ClientGone, vec![], vec![&reset]),
        ] {
            for on in wanted_by {
                assert!(on_failure(on, &failure), "{on:?} {failure:?}");
            }
            for on in not_by {
                assert!(!on_failure(on, &failure), "{on:?} {failure:?}");
            }
        }
    }

    #[test]
    fn backoff_grows_to_ten_times_its_base() {
        let retry = Retry { backoff: Some(Duration::from_millis(10)), ..BY_DEFAULT.clone() };
        let mut rng = SmallRng::seed_from_u64(7);
        for (retries, most) in [(0, 10), (1, 20), (3, 80), (4, 100), (60, 100)] {
            let longest = (0..1000).map(|_| backoff(&retry, retries, &mut rng)).max().unwrap();
            let most = Duration::from_millis(most);
            assert!(longest <= most && longest > most.mul_f64(0.9), "{retries}: {longest:?}");
        }
    }
}
