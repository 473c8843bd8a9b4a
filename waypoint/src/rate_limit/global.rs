//! A service that counts for all waypoints together: `envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit`.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ambit_l7::{GlobalLimit, HttpFacts, LimitService, RateLimit};
use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;

use super::messages::{Descriptor, DescriptorStatus, Entry, OK, OVER_LIMIT, RateLimitRequest, RateLimitResponse};
use super::{seconds, tell};
use crate::callee::{CallError, Callee};
use crate::external::Change;
use crate::failure::error_chain;
use crate::in_force::InForce;
use crate::worker::Worker;

const METHOD: &str = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit";

/// How often a worker logs that a service cannot be asked: under load every request would be a line.
const LOG_EVERY: Duration = Duration::from_secs(1);

/// What is to be asked about one request: of each service and domain all at once.
#[derive(Debug, Default)]
pub(crate) struct Questions(Vec<Question>);

/// One question.
#[derive(Debug)]
pub(crate) struct Question {
    service: Arc<LimitService>,
    /// The limits that its descriptors are of, in their order.
    pub(crate) limits: Vec<Arc<RateLimit>>,
    request: RateLimitRequest,
}

/// What came of a question.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Judged {
    /// Limits that the request is over, dry runs among them.
    pub(crate) over: Vec<Arc<RateLimit>>,
    /// Seconds until those that refuse it have room again, where that is said.
    pub(crate) retry_after: Option<u64>,
    /// What the client is told.
    pub(crate) to_client: Vec<Change>,
    /// What the backend is told.
    pub(crate) to_backend: Vec<Change>,
    /// What the client is answered if it is refused.
    pub(crate) body: Bytes,
    /// What that is.
    pub(crate) content_type: Option<HeaderValue>,
}

/// Why nobody counted.
#[derive(Debug, thiserror::Error)]
enum LimitError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("its answer is neither yes nor no")]
    Neither,
}

impl Questions {
    /// Adds a limit that concerns a request.
    pub(crate) fn add(&mut self, limit: &Arc<RateLimit>, global: &GlobalLimit, facts: &HttpFacts<'_>) {
        let fixed = global.entries.iter().map(|(key, value)| Entry { key: key.to_string(), value: value.to_string() });
        // What a request lacks is told as empty: it counts with all others that lack it.
        let of_request = limit.key.iter().map(|key| Entry {
            key: key.name().to_owned(),
            value: key.value(facts).map(std::borrow::Cow::into_owned).unwrap_or_default(),
        });
        let descriptor = Descriptor { entries: fixed.chain(of_request).collect() };
        let is_same =
            |known: &&mut Question| known.service == global.service && *known.request.domain == *global.domain;
        if let Some(known) = self.0.iter_mut().find(is_same) {
            known.limits.push(Arc::clone(limit));
            known.request.descriptors.push(descriptor);
            return;
        }
        self.0.push(Question {
            service: Arc::clone(&global.service),
            limits: vec![Arc::clone(limit)],
            request: RateLimitRequest {
                domain: global.domain.to_string(),
                descriptors: vec![descriptor],
                hits_addend: 1,
            },
        });
    }

    /// One question for each service and domain.
    pub(crate) fn asked(self) -> Vec<Question> {
        self.0
    }
}

impl Question {
    /// Asks. Where nobody answers, whether the request goes on all the same.
    pub(crate) async fn ask(&self, worker: &Rc<Worker>, in_force: &Arc<InForce>) -> Result<Judged, bool> {
        let LimitService { service, port, timeout, fail_open } = &*self.service;
        let callee = Callee { service, port: *port, timeout: *timeout };
        let answered = callee.call(worker, in_force, METHOD, &self.request).await;
        answered.map_err(LimitError::from).and_then(|response| self.judged(response)).map_err(|error| {
            let now = Instant::now();
            if worker.limits_logged.get().is_none_or(|last| now.duration_since(last) >= LOG_EVERY) {
                worker.limits_logged.set(Some(now));
                tracing::warn!(%service, error = %error_chain(&error), "a rate limit service cannot be asked");
            }
            *fail_open
        })
    }

    fn judged(&self, response: RateLimitResponse) -> Result<Judged, LimitError> {
        let RateLimitResponse { overall_code, statuses, response_headers_to_add, request_headers_to_add, raw_body } =
            response;
        if !matches!(overall_code, OK | OVER_LIMIT) {
            return Err(LimitError::Neither);
        }
        let mut judged = Judged { body: raw_body, ..Judged::default() };
        for (limit, status) in self.limits.iter().zip(&statuses) {
            judged.to_client.extend(limit.told.then(|| told(limit, status)).into_iter().flatten());
            // It alone says whether the request is over: a service may count without limiting.
            if overall_code == OVER_LIMIT && status.code == OVER_LIMIT {
                judged.over.push(Arc::clone(limit));
                let reset = status.duration_until_reset.as_ref().filter(|_| !limit.dry_run).and_then(whole_seconds);
                judged.retry_after = judged.retry_after.max(reset);
            }
        }
        // It does not say which of them.
        if overall_code == OVER_LIMIT && judged.over.is_empty() {
            judged.over.clone_from(&self.limits);
        }
        // It is of its own body alone.
        let (types, others): (Vec<_>, Vec<_>) =
            response_headers_to_add.iter().partition(|header| header.key.eq_ignore_ascii_case(CONTENT_TYPE.as_str()));
        judged.content_type = types.last().and_then(|header| HeaderValue::from_bytes(header.bytes()).ok());
        judged.to_client.extend(others.into_iter().filter_map(Change::written));
        judged.to_backend.extend(request_headers_to_add.iter().filter_map(Change::written));
        Ok(judged)
    }
}

fn told(limit: &RateLimit, status: &DescriptorStatus) -> impl Iterator<Item = Change> {
    let quota = status.current_limit.as_ref().and_then(|of| Some((of.requests_per_unit, of.window()?)));
    let reset = status.duration_until_reset.as_ref().and_then(whole_seconds);
    let told = quota.zip(reset).map(|(quota, reset)| tell(&limit.name, quota, (status.limit_remaining, reset)));
    told.into_iter().flatten()
}

fn whole_seconds(duration: &prost_types::Duration) -> Option<u64> {
    Duration::try_from(*duration).ok().map(seconds)
}

#[cfg(test)]
mod tests;
