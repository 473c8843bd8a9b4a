//! Step 9, first: every limit that concerns the request counts it; over any of them, it is refused. Those counted here
//! come first: who counts for all is not asked about requests that are refused anyway.

use std::rc::Rc;
use std::sync::Arc;

use ambit_balance::{Buckets, Drawn};
use ambit_l7::{HttpFacts, Origin, RateLimit};
use ambit_telemetry::ResponseFlag;
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::head::Head;
use super::refusal::Refusal;
use super::{Exchange, token};
use crate::in_force::Governing;
use crate::rate_limit::{Counter, Judged, Limit, Outcome, Questions, seconds, tell};

/// So that clients and meshes of the field know whose 429 it is.
const LIMITED: HeaderName = HeaderName::from_static("x-envoy-ratelimited");

/// gRPC's RESOURCE_EXHAUSTED.
const RESOURCE_EXHAUSTED: u8 = 8;

/// Counts a request by the limits of all that have a say about it. `rule` is what decides about it.
pub(crate) async fn admit(
    exchange: &mut Exchange,
    governing: &[Governing],
    head: &Head,
    rule: Option<&Origin>,
) -> Result<(), Refusal> {
    if governing.iter().all(|governing| governing.rules.limits.is_empty()) {
        return Ok(());
    }
    let mut questions = Questions::default();
    for governing in governing {
        count_here(exchange, governing, (head, rule), &mut questions)?;
    }
    for question in questions.asked() {
        match Box::pin(question.ask(&exchange.worker, &exchange.in_force)).await {
            Ok(judged) => apply(exchange, judged)?,
            Err(fails_open) => {
                let outcome = if fails_open { Outcome::FailedOpen } else { Outcome::FailedClosed };
                question.limits.iter().for_each(|limit| outcome.count(limit, &exchange.worker.metrics));
                if !fails_open && question.limits.iter().any(|limit| !limit.dry_run) {
                    let refusal = Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "rate_limiter_error");
                    return Err(refusal.with_flag(ResponseFlag::RateLimitServiceError));
                }
            }
        }
    }
    Ok(())
}

/// Draws from the buckets of one service's limits, and takes down what is to be asked elsewhere.
fn count_here(
    exchange: &mut Exchange,
    governing: &Governing,
    (head, rule): (&Head, Option<&Origin>),
    questions: &mut Questions,
) -> Result<(), Refusal> {
    let connection = Rc::clone(&exchange.connection);
    let claims = exchange.claims.clone();
    let client = &head.client(&connection);
    let request = &governing.seen(head.view(&connection));
    let facts = HttpFacts { request, client, claims: token::of(&claims, &governing.rules) };
    for Limit { attached, counter } in &governing.rules.limits {
        let limit = &attached.limit;
        if exchange.counted.contains(limit) || !attached.is_for(governing.port, rule) || !limit.concerns(&facts) {
            continue;
        }
        exchange.counted.push(Arc::clone(limit));
        match counter {
            Counter::Local(buckets) => draw(exchange, limit, buckets, &facts)?,
            Counter::Global(global) => questions.add(limit, global, &facts),
        }
    }
    Ok(())
}

fn draw(
    exchange: &mut Exchange,
    limit: &Arc<RateLimit>,
    buckets: &Buckets,
    facts: &HttpFacts<'_>,
) -> Result<(), Refusal> {
    let mut key = buckets.hasher();
    limit.hash_key(facts, &mut key);
    let Drawn { allowed, left, reset } = buckets.draw(std::hash::Hasher::finish(&key), std::time::Instant::now());
    let rate = buckets.rate();
    if limit.told {
        let quota = (rate.requests.get(), seconds(rate.per));
        exchange.to_client.extend(tell(&limit.name, quota, (left, seconds(reset))));
    }
    if allowed {
        return Ok(());
    }
    if is_refused(exchange, limit) {
        return Err(refusal(limit, Some(seconds(reset)), "local_rate_limited").with_body("local_rate_limited"));
    }
    Ok(())
}

/// Does what a service says.
fn apply(exchange: &mut Exchange, judged: Judged) -> Result<(), Refusal> {
    exchange.to_client.extend(judged.to_client);
    let over: Vec<_> = judged.over.iter().filter(|limit| is_refused(exchange, limit)).collect();
    if let Some(limit) = over.first() {
        let mut refusal = refusal(limit, judged.retry_after, "request_rate_limited").with_body(judged.body);
        let content_type = judged.content_type.map(|of| (header::CONTENT_TYPE, of));
        refusal.headers.get_or_insert_default().extend(content_type);
        return Err(refusal);
    }
    exchange.to_backend.extend(judged.to_backend);
    Ok(())
}

/// Whether a request over a limit is refused; counted either way.
fn is_refused(exchange: &Exchange, limit: &RateLimit) -> bool {
    let outcome = if limit.dry_run { Outcome::DryRun } else { Outcome::Limited };
    outcome.count(limit, &exchange.worker.metrics);
    !limit.dry_run
}

fn refusal(limit: &RateLimit, retry_after: Option<u64>, details: &'static str) -> Refusal {
    let mut refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, details).with_flag(ResponseFlag::RateLimited);
    refusal.grpc_status = limit.resource_exhausted.then_some(RESOURCE_EXHAUSTED);
    let headers = refusal.headers.get_or_insert_default();
    headers.insert(LIMITED, HeaderValue::from_static("true"));
    if let Some(seconds) = retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    refusal
}
