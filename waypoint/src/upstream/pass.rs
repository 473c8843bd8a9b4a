//! Connections of which nothing is known but who asks and for whom.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use ambit_balance::{Outcome, Permit, Pick};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::dial::dial;
use super::hash;
use super::target::{Choice, Target, Tried, Wish, destination};
use super::tls::Inside;
use crate::plan::{Connected, Failure, FailureReason, Happened, Plan};
use crate::worker::Worker;

/// Endpoints that are tried, as by node agents. Nothing of the client's has been sent to them.
const MAX_TRIES: u32 = 3;

/// Connects to one of the plan's endpoints, for bytes of which nothing is known.
pub(crate) async fn connect(worker: &Rc<Worker>, plan: &Plan<'_>) -> Result<Connected, Failure> {
    let mut happened = Happened::default();
    match first_that_answers(worker, plan, &mut happened).await {
        Ok(stream) => Ok(Connected { stream: Box::new(stream), happened }),
        Err(reason) => Err(Failure { reason, happened }),
    }
}

async fn first_that_answers(
    worker: &Rc<Worker>,
    plan: &Plan<'_>,
    happened: &mut Happened,
) -> Result<Held<super::channel::Channel>, FailureReason> {
    let choice = Choice::of(worker, plan)?;
    let overflow = |_| FailureReason::Overflow { what: "connections", destination: destination(plan) };
    let limits = choice.backend().map(|backend| backend.group.limits());
    let permit = limits.map(|limits| limits.connection()).transpose().map_err(overflow)?;
    let hash = hash::of_connection(&choice.policy().load_balancing, plan.client);
    let mut tried = Tried::new();
    loop {
        let target = choice.target(worker, plan, &Wish { hash, tried: &tried, remote_localities: false })?;
        happened.attempts += 1;
        happened.address = Some(target.address);
        happened.endpoint.clone_from(&target.workload);
        match dial(worker, &target.wanted(plan, None, Inside::Bytes)).await {
            Ok(channel) => {
                target.report(Outcome::Connected);
                let tcp = &target.policy.pool.tcp;
                let timed = (tcp.idle_timeout, tcp.max_duration);
                return Ok(Held::new(channel, target.pick, permit).timed(timed.0, timed.1));
            }
            Err(detail) => {
                target.report(Outcome::ConnectFailed);
                let id = target.pick.as_ref().and_then(|pick| pick.id());
                let is_new = id.is_some_and(|id| !tried.contains(&id));
                tried.extend(id);
                if happened.attempts >= MAX_TRIES || !is_new {
                    return Err(failed(&target, &detail.to_string()));
                }
            }
        }
    }
}

fn failed(target: &Target, detail: &str) -> FailureReason {
    FailureReason::Connect { endpoint: target.address.to_string(), detail: detail.to_owned() }
}

/// A connection that counts as long as it lives, and lives as long as it may.
#[derive(Debug)]
pub(super) struct Held<IO> {
    io: IO,
    _pick: Option<Pick>,
    _permit: Option<Permit>,
    times: Option<Box<Times>>,
}

/// How long a connection lives.
#[derive(Debug)]
struct Times {
    idle: Option<Duration>,
    /// When it ends, whatever it carries.
    end: Option<Instant>,
    last_used: Instant,
    alarm: Pin<Box<Sleep>>,
}

impl Times {
    /// When to look next.
    fn next(&self) -> Instant {
        let idle = self.idle.map(|idle| self.last_used + idle);
        match (idle, self.end) {
            (Some(idle), Some(end)) => idle.min(end),
            (idle, end) => idle.or(end).unwrap_or(self.last_used + Duration::from_secs(3600)),
        }
    }

    /// Ready once its time is over.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let next = self.next();
            if next <= Instant::now() {
                return Poll::Ready(());
            }
            // It was used since the alarm was set.
            self.alarm.as_mut().reset(next);
        }
    }
}

impl<IO> Held<IO> {
    pub(super) fn new(io: IO, pick: Option<Pick>, permit: Option<Permit>) -> Self {
        Self { io, _pick: pick, _permit: permit, times: None }
    }

    fn timed(mut self, idle: Option<Duration>, longest: Option<Duration>) -> Self {
        let now = Instant::now();
        if idle.is_some() || longest.is_some() {
            let end = longest.map(|longest| now + longest);
            let mut times = Times { idle, end, last_used: now, alarm: Box::pin(sleep_until(now)) };
            let next = times.next();
            times.alarm.as_mut().reset(next);
            self.times = Some(Box::new(times));
        }
        self
    }

    fn used(&mut self) {
        if let Some(times) = &mut self.times {
            times.last_used = Instant::now();
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Held<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.io).poll_read(cx, into);
        if polled.is_ready() {
            this.used();
        } else if let Some(times) = &mut this.times
            && times.poll_over(cx).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        polled
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Held<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, bytes);
        if polled.is_ready() {
            self.used();
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
