//! A request and its answer, by as many attempts as it takes and may take.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant as Now;

use ambit_balance::{Limits, Outcome, Permit};
use ambit_l7::{Retry, TlsMode, grpc};
use ambit_telemetry::ResponseFlag;
use http::header::{HOST, SET_COOKIE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use tokio::time::{Instant, sleep, timeout_at};

use super::answer::{AnswerBody, Held, status_in};
use super::attempt::{Answered, AttemptError, Question, attempt};
use super::hash::{self, Hashed};
use super::replay::Replay;
use super::target::{Choice, Target, Tried, Wish, destination};
use super::{head, retry};
use crate::body::Body;
use crate::plan::{Answer, ByteStream, Failure, FailureReason, Happened, Plan, Speak};
use crate::worker::Worker;

/// Sends a request on, by as many attempts as the plan allows, and returns with the head of the answer.
/// `request` is as the backend is to see it, except for hop-by-hop headers, which this adds or takes away as
/// the backend's protocol wants. An upgrade comes in the form of HTTP/1.1 (`Connection: upgrade`, `Upgrade: …`,
/// whatever the client spoke), CONNECT as CONNECT with an authority.
pub(crate) async fn send(worker: &Rc<Worker>, plan: &Plan<'_>, request: Request<Body>) -> Result<Answer, Failure> {
    let mut happened = Happened::default();
    match exchange(worker, plan, request, &mut happened).await {
        Ok(good) => {
            let (response, upgraded) = finish(good).await;
            Ok(Answer { response, upgraded, happened })
        }
        Err(reason) => Err(Failure { reason, happened }),
    }
}

/// An answer that is passed on.
struct Good {
    answered: Answered,
    target: Target,
    replay: Replay,
    permit: Option<Permit>,
    set_cookie: Option<HeaderValue>,
    is_grpc: bool,
    is_connect: bool,
}

async fn exchange(
    worker: &Rc<Worker>,
    plan: &Plan<'_>,
    request: Request<Body>,
    happened: &mut Happened,
) -> Result<Good, FailureReason> {
    let choice = Choice::of(worker, plan)?;
    let limits = choice.backend().map(|backend| backend.group.limits());
    let permit = limits.map(|limits| limits.request(Now::now())).transpose().map_err(|_| overflow("requests", plan))?;
    let (mut parts, body) = request.into_parts();
    let hashed = hash::of_request(&choice.policy().load_balancing, &parts, plan.client, &mut *worker.rng.borrow_mut());
    // HTTP/2 has no upgrades, and who wants one may be asked in HTTP/1.1.
    let is_upgrade = head::is_upgrade(&parts);
    let speak = if is_upgrade { Speak::Http1 } else { plan.speak };
    let server_name = (choice.policy().tls.mode != TlsMode::Disable).then(|| tls_name(&parts)).flatten();
    head::prepare(&mut parts, speak)
        .map_err(|error| FailureReason::Protocol { endpoint: "the client".to_owned(), detail: error.to_string() })?;
    let replay = Replay::new(body);
    let is_connect = parts.method == Method::CONNECT;
    let question = Question {
        head: &parts,
        body: &replay,
        speak,
        switches: is_upgrade || is_connect,
        server_name: server_name.as_ref(),
    };
    let attempts =
        Attempts { worker, plan, choice: &choice, limits, retry: retry::in_force(plan.retry), hashed: &hashed };
    let (answered, target) = attempts.run(&question, happened).await?;
    replay.settle();
    let is_grpc = grpc::is_grpc(&parts.headers);
    Ok(Good { answered, target, replay, permit, set_cookie: hashed.set_cookie, is_grpc, is_connect })
}

/// What does not change from attempt to attempt.
struct Attempts<'a> {
    worker: &'a Rc<Worker>,
    plan: &'a Plan<'a>,
    choice: &'a Choice,
    limits: Option<&'a Arc<Limits>>,
    retry: &'a Retry,
    hashed: &'a Hashed,
}

/// An attempt without an answer, and whom it was made at.
struct Failed {
    error: AttemptError,
    target: Option<Target>,
}

impl Attempts<'_> {
    async fn run(&self, question: &Question<'_>, happened: &mut Happened) -> Result<(Answered, Target), FailureReason> {
        let mut tried = Tried::new();
        let mut retries = 0;
        // One for each attempt but the first.
        let mut permit: Option<Permit> = None;
        loop {
            let result = self.once(question, &tried, happened, retries > 0).await;
            drop(permit.take());
            match self.may_retry(&result, question, retries, happened) {
                Some(leave) => permit = leave,
                None => return result.map_err(|failed| self.reason(failed)),
            }
            let target = match result {
                Ok((answered, target)) => {
                    answered.discard(question.body);
                    Some(target)
                }
                Err(failed) => failed.target,
            };
            if self.retry.avoid_previous_hosts || self.retry.remote_localities {
                tried.extend(target.and_then(|target| target.pick?.id()));
            }
            self.back_off(retries).await?;
            retries += 1;
        }
    }

    /// Whether there is another attempt, and what lets it be made.
    fn may_retry(
        &self,
        result: &Result<(Answered, Target), Failed>,
        question: &Question<'_>,
        retries: u32,
        happened: &mut Happened,
    ) -> Option<Option<Permit>> {
        let is_wanted = match result {
            Ok((answered, _)) => retry::on_answer(&self.retry.on, &answered.response),
            Err(failed) => retry::on_failure(&self.retry.on, &failed.error),
        };
        if !is_wanted || self.retry.attempts == 0 || !question.body.may_repeat() || self.is_over() {
            return None;
        }
        if retries == self.retry.attempts {
            happened.flags.insert(ResponseFlag::UpstreamRetryLimitExceeded);
            return None;
        }
        let permit = self.limits.map(|limits| limits.retry(Now::now())).transpose();
        permit.inspect_err(|_| happened.flags.insert(ResponseFlag::UpstreamOverflow)).ok()
    }

    /// One attempt, reported to outlier detection.
    async fn once(
        &self,
        question: &Question<'_>,
        tried: &Tried,
        happened: &mut Happened,
        is_retry: bool,
    ) -> Result<(Answered, Target), Failed> {
        let wish = Wish { hash: self.hashed.hash, tried, remote_localities: is_retry && self.retry.remote_localities };
        let target = self.choice.target(self.worker, self.plan, &wish);
        let target = target.map_err(|reason| Failed { error: AttemptError::NoEndpoint(reason), target: None })?;
        happened.attempts += 1;
        happened.address = Some(target.address);
        happened.endpoint.clone_from(&target.workload);
        let asked = attempt(self.worker, self.plan, &target, self.choice.backend(), question);
        let result = match self.until() {
            None => asked.await,
            Some(until) => timeout_at(until, asked).await.unwrap_or(Err(AttemptError::PerTryTimeout)),
        };
        match result {
            Ok(answered) => {
                // Where the status comes with the trailers, it is reported then.
                if !waits_for_trailers(question.head, &answered.response) {
                    target.report(Outcome::Status(status_of(question.head, &answered.response)));
                }
                Ok((answered, target))
            }
            Err(error) => {
                error.outcome().into_iter().for_each(|outcome| target.report(outcome));
                Err(Failed { error, target: Some(target) })
            }
        }
    }

    /// When an attempt is over.
    fn until(&self) -> Option<Instant> {
        let one = self.retry.per_try_timeout.map(|longest| Instant::now() + longest);
        match (one, self.plan.deadline) {
            (Some(one), Some(all)) => Some(one.min(all)),
            (one, all) => one.or(all),
        }
    }

    /// Whether there is no time for another attempt.
    fn is_over(&self) -> bool {
        self.plan.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    async fn back_off(&self, retries: u32) -> Result<(), FailureReason> {
        let pause = retry::backoff(self.retry, retries, &mut *self.worker.rng.borrow_mut());
        match self.plan.deadline {
            None => sleep(pause).await,
            Some(deadline) => timeout_at(deadline, sleep(pause)).await.map_err(|_| FailureReason::TimedOut)?,
        }
        Ok(())
    }

    fn reason(&self, failed: Failed) -> FailureReason {
        let endpoint = failed.target.map_or_else(|| "no endpoint".to_owned(), |target| target.address.to_string());
        failed.error.reason(endpoint, || destination(self.plan))
    }
}

/// Puts together what is passed on.
async fn finish(good: Good) -> (Response<Body>, Option<Box<dyn ByteStream>>) {
    let Good { answered, target, replay, permit, set_cookie, is_grpc, is_connect } = good;
    let Answered { mut response, lease, switched } = answered;
    if let Some(cookie) = set_cookie {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    let is_switched =
        response.status() == StatusCode::SWITCHING_PROTOCOLS || is_connect && response.status().is_success();
    let upgraded: Option<Box<dyn ByteStream>> = match switched {
        Some(switched) if is_switched => match switched.await {
            Ok(io) => Some(Box::new(super::pass::Held::new(io, target.pick, permit))),
            Err(_gone) => None,
        },
        None if is_switched && is_connect => hyper::upgrade::on(&mut response)
            .await
            .ok()
            .map(|io| Box::new(super::pass::Held::new(hyper_util::rt::TokioIo::new(io), target.pick, permit)) as _),
        _ => {
            let reports_trailers = is_grpc && !response.headers().contains_key("grpc-status");
            let held = Held { lease, request: replay, target, reports_trailers, _permit: permit };
            return (response.map(|incoming| Body::new(AnswerBody::new(incoming, held))), None);
        }
    };
    (response.map(|_| Body::empty()), upgraded)
}

fn overflow(what: &'static str, plan: &Plan<'_>) -> FailureReason {
    FailureReason::Overflow { what, destination: destination(plan) }
}

/// An extension of a request: what TLS to the application is for, where the authority says something else.
#[derive(Debug, Clone)]
pub(super) struct ServerName(pub(super) Arc<str>);

/// What TLS to the application is for.
pub(super) fn tls_name(request: &Parts) -> Option<Arc<str>> {
    let said = request.extensions.get::<ServerName>().map(|ServerName(name)| Arc::clone(name));
    said.or_else(|| server_name(&request.uri, &request.headers))
}

/// The host asked for, without its port.
pub(super) fn server_name(uri: &Uri, headers: &HeaderMap) -> Option<Arc<str>> {
    let authority = match uri.authority() {
        Some(authority) => authority.host(),
        None => {
            let host = headers.get(HOST)?.to_str().ok()?;
            host.rsplit_once(':').map_or(host, |(host, _port)| host)
        }
    };
    Some(authority.trim_matches(['[', ']']).into())
}

fn waits_for_trailers<T>(request: &Parts, response: &Response<T>) -> bool {
    response.status().is_success() && grpc::is_grpc(&request.headers) && !response.headers().contains_key("grpc-status")
}

fn status_of<T>(request: &Parts, response: &Response<T>) -> StatusCode {
    let is_grpc = response.status().is_success() && grpc::is_grpc(&request.headers);
    if is_grpc { status_in(response.headers()) } else { response.status() }
}
