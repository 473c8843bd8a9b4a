use std::time::Duration;

use ambit_l7::{ConnectionPool, HttpPool, RetryBudget, TcpPool};

use super::*;

fn limits(policy: &TrafficPolicy) -> (Arc<Limits>, Instant) {
    let now = Instant::now();
    let limits = Arc::new(Limits::new(now));
    limits.follow(policy);
    (limits, now)
}

fn pool(most: Option<u32>) -> TrafficPolicy {
    let tcp = TcpPool { max_connections: most, ..TcpPool::default() };
    let http = HttpPool { max_pending: most, max_requests: most, max_retries: most, ..HttpPool::default() };
    TrafficPolicy { pool: ConnectionPool { tcp, http }, ..TrafficPolicy::default() }
}

fn ask(limits: &Arc<Limits>, kind: Overflow, now: Instant) -> Result<Permit, Overflow> {
    match kind {
        Overflow::Connections => limits.connection(),
        Overflow::Pending => limits.pending(),
        Overflow::Requests => limits.request(now),
        Overflow::Retries => limits.retry(now),
    }
}

#[test]
fn no_more_than_may_be_at_a_time() {
    for kind in [Overflow::Connections, Overflow::Pending, Overflow::Requests, Overflow::Retries] {
        for most in [0, 1, 3] {
            let (limits, now) = limits(&pool(Some(most)));
            let permits: Vec<_> = (0..most).map(|_| ask(&limits, kind, now).expect("there is room")).collect();
            assert_eq!(ask(&limits, kind, now).err(), Some(kind));
            assert_eq!(limits.active(kind), most);
            limits.follow(&pool(Some(most + 1)));
            drop(ask(&limits, kind, now).expect("there is more room"));
            limits.follow(&pool(Some(0)));
            assert_eq!(limits.active(kind), most, "those under way go on");
            drop(permits);
            assert_eq!(limits.active(kind), 0);
        }
        let (limits, now) = limits(&pool(None));
        let permits: Vec<_> = (0..10_000).map(|_| ask(&limits, kind, now).expect("no limit")).collect();
        drop(permits);
        assert_eq!(limits.active(kind), 0);
    }
}

fn budget(percent: u32, minimum: u32, interval: Option<u64>) -> TrafficPolicy {
    let interval = interval.map(Duration::from_secs);
    let budget = RetryBudget { millionths: percent * 10_000, minimum, interval };
    // `maxRetries` of none: the budget stands in its place.
    let mut policy = pool(Some(0));
    policy.pool.http.max_requests = None;
    TrafficPolicy { retry_budget: Some(budget), ..policy }
}

#[test]
fn a_budget_is_of_requests_under_way() {
    for (requests, percent, minimum, expected) in
        [(0, 20, 3, 3), (10, 20, 3, 3), (20, 20, 3, 4), (100, 20, 3, 20), (100, 0, 0, 0), (7, 100, 0, 7), (9, 25, 0, 3)]
    {
        let (limits, now) = limits(&budget(percent, minimum, None));
        let requests: Vec<_> = (0..requests).map(|_| limits.request(now).expect("no limit")).collect();
        let mut retries: Vec<_> = std::iter::from_fn(|| limits.retry(now).ok()).take(1000).collect();
        assert_eq!(retries.len(), expected, "{percent} % of {}, at least {minimum}", requests.len());
        if retries.pop().is_some() {
            assert!(limits.retry(now).is_ok(), "one has ended");
        }
    }
}

#[test]
fn a_budget_is_of_requests_of_a_while() {
    let (limits, start) = limits(&budget(20, 0, Some(16)));
    for second in 0..10 {
        (0..10).for_each(|_| drop(limits.request(start + Duration::from_secs(second))));
    }
    let retries = |second| {
        let at = start + Duration::from_secs(second);
        std::iter::from_fn(|| limits.retry(at).ok().map(drop)).take(1000).count()
    };
    assert_eq!(retries(10), 20, "ended ones count, requests and retries");
    assert_eq!(retries(10), 0);
    assert_eq!(retries(100), 0, "all is long past");
    drop(limits.request(start + Duration::from_secs(101)));
    assert_eq!(retries(101), 1);
}

#[test]
fn a_budget_that_goes_leaves_the_limit() {
    let (limits, now) = limits(&budget(0, 2, None));
    let held = [limits.retry(now).expect("first"), limits.retry(now).expect("second")];
    assert!(limits.retry(now).is_err());
    limits.follow(&pool(Some(3)));
    assert!(limits.retry(now).is_ok());
    drop(held);
    assert_eq!(limits.active(Overflow::Retries), 0);
}
