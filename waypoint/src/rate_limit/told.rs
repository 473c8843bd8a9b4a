//! What clients are told of limits: `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers).

use std::time::Duration;

use http::{HeaderName, HeaderValue};

use crate::external::Change;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STATE: HeaderName = HeaderName::from_static("ratelimit");

/// What a client is told of one limit: so many requests in so many seconds; so many left, and until when. Both
/// headers are lists, so limits do not get in each other's way. Rules have names that need no quoting.
pub(crate) fn tell(name: &str, (quota, window): (u32, u64), (left, reset): (u32, u64)) -> impl Iterator<Item = Change> {
    let policy = format!("\"{name}\";q={quota};w={window}");
    let state = format!("\"{name}\";r={left};t={reset}");
    let change = |(name, text): (HeaderName, String)| Some(Change::append(name, HeaderValue::try_from(text).ok()?));
    [(POLICY, policy), (STATE, state)].into_iter().filter_map(change)
}

/// Whole seconds, never too few.
pub(crate) fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    #[test]
    fn limits_are_told_beside_each_other() {
        let mut headers = HeaderMap::new();
        tell("a", (100, 60), (7, 3)).chain(tell("b", (1, 1), (0, 1))).for_each(|change| change.apply(&mut headers));
        let of = |name| headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>();
        assert_eq!(of(POLICY), ["\"a\";q=100;w=60", "\"b\";q=1;w=1"]);
        assert_eq!(of(STATE), ["\"a\";r=7;t=3", "\"b\";r=0;t=1"]);
    }

    #[test]
    fn seconds_are_never_too_few() {
        for (duration, expected) in [(Duration::ZERO, 0), (Duration::from_nanos(1), 1), (Duration::from_secs(2), 2)] {
            assert_eq!(seconds(duration), expected);
        }
    }
}
