use ambit_l7::{HttpAuthorizationRule, LimitCounter, LimitKey};
use ambit_model::{PolicyKey, ServiceKey};
use http::{HeaderMap, HeaderName};

use super::*;
use crate::external::WrittenHeader;
use crate::rate_limit::messages::CurrentLimit;

fn service() -> Arc<LimitService> {
    let service = ServiceKey { namespace: "shop".into(), hostname: "counts".into() };
    Arc::new(LimitService { service, port: 1, timeout: Duration::from_secs(1), fail_open: false })
}

fn limit(name: &str, dry_run: bool) -> Arc<RateLimit> {
    let global = GlobalLimit { service: service(), domain: "shop".into(), entries: Vec::new() };
    Arc::new(RateLimit {
        policy: PolicyKey { namespace: "shop".into(), name: "limits".into() },
        name: name.into(),
        when: HttpAuthorizationRule::default(),
        key: vec![LimitKey::Header(HeaderName::from_static("x-user"))],
        counter: LimitCounter::Global(global),
        dry_run,
        told: true,
        resource_exhausted: false,
    })
}

fn question(limits: Vec<Arc<RateLimit>>) -> Question {
    Question { service: service(), limits, request: RateLimitRequest::default() }
}

fn status(code: i32, reset: Option<i64>) -> DescriptorStatus {
    DescriptorStatus {
        code,
        current_limit: Some(CurrentLimit { requests_per_unit: 9, unit: 2 }),
        limit_remaining: 4,
        duration_until_reset: reset.map(|seconds| prost_types::Duration { seconds, nanos: 1 }),
    }
}

#[test]
fn the_limits_that_a_request_is_over_are_found() {
    let (a, b, dry) = (limit("a", false), limit("b", false), limit("dry", true));
    for (overall, limits, statuses, over, retry_after) in [
        (OK, vec![&a, &b], vec![status(OK, None), status(OK, None)], vec![], None),
        (OVER_LIMIT, vec![&a, &b], vec![status(OK, Some(1)), status(OVER_LIMIT, Some(6))], vec![&b], Some(7)),
        (
            OVER_LIMIT,
            vec![&a, &dry],
            vec![status(OVER_LIMIT, Some(1)), status(OVER_LIMIT, Some(6))],
            vec![&a, &dry],
            Some(2),
        ),
        (OVER_LIMIT, vec![&dry], vec![status(OVER_LIMIT, Some(6))], vec![&dry], None),
        (OVER_LIMIT, vec![&a, &b], vec![], vec![&a, &b], None),
        // A service that counts without limiting.
        (OK, vec![&a], vec![status(OVER_LIMIT, Some(6))], vec![], None),
        (OVER_LIMIT, vec![&a], vec![status(OVER_LIMIT, Some(-1))], vec![&a], None),
    ] {
        let shown = format!("{overall} {statuses:?}");
        let response = RateLimitResponse { overall_code: overall, statuses, ..RateLimitResponse::default() };
        let judged = question(limits.into_iter().cloned().collect()).judged(response).unwrap();
        let over: Vec<_> = over.into_iter().cloned().collect();
        assert_eq!((judged.over, judged.retry_after), (over, retry_after), "{shown}");
    }
    for overall in [0, 3] {
        let response = RateLimitResponse { overall_code: overall, ..RateLimitResponse::default() };
        assert!(question(vec![limit("a", false)]).judged(response).is_err(), "{overall}");
    }
}

#[test]
fn headers_are_those_of_the_limit_and_of_the_service() {
    let header = |key: &str| WrittenHeader { key: key.into(), value: "1".into(), ..WrittenHeader::default() };
    let response = RateLimitResponse {
        overall_code: OK,
        statuses: vec![status(OK, Some(2))],
        response_headers_to_add: vec![header("x-told"), header("bad name"), header("content-length")],
        request_headers_to_add: vec![header("x-backend")],
        raw_body: Bytes::new(),
    };
    let judged = question(vec![limit("a", false)]).judged(response).unwrap();
    let (mut client, mut backend) = (HeaderMap::new(), HeaderMap::new());
    judged.to_client.iter().for_each(|change| change.apply(&mut client));
    judged.to_backend.iter().for_each(|change| change.apply(&mut backend));
    let mut names: Vec<_> = client.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["ratelimit", "ratelimit-policy", "x-told"]);
    assert_eq!(client["ratelimit-policy"], "\"a\";q=9;w=60");
    assert_eq!(client["ratelimit"], "\"a\";r=4;t=3");
    assert_eq!(backend["x-backend"], "1");
}
