//! The record of one request: from its arrival to its one log line and its one set of counters.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::ResponseFlags;
use crate::access_log::{AccessLog, AccessLogFormat, RequestLine, write_now};
use crate::flow::Flow;
use crate::labels::{LabelChanges, RequestOutcome};
use crate::requests::{Measured, RequestMetric, Requests};

/// What the log tells of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestFacts {
    /// Its method.
    pub method: String,
    /// Its path and query, as the client sent them.
    pub path: String,
    /// Its protocol: `HTTP/1.1`.
    pub protocol: &'static str,
    /// Its authority.
    pub authority: String,
    /// `x-forwarded-for`.
    pub forwarded_for: Option<String>,
    /// `user-agent`.
    pub user_agent: Option<String>,
    /// `x-request-id`.
    pub request_id: Option<String>,
    /// Whether it is gRPC.
    pub is_grpc: bool,
    /// The rule that decided, in short.
    pub route: Option<Arc<str>>,
    /// The endpoint it went to.
    pub upstream_host: Option<String>,
    /// The backend: `outbound|80|v1|reviews.shop.svc.cluster.local`.
    pub upstream_cluster: Option<String>,
    /// Why the connection to the endpoint failed.
    pub upstream_failure: Option<String>,
    /// Time from the request's going on to the head of the answer.
    pub upstream_time: Option<Duration>,
    /// The status; 0 while there is none.
    pub status: u16,
    /// gRPC's own.
    pub grpc_status: Option<u16>,
    /// What went wrong.
    pub flags: ResponseFlags,
    /// Why the waypoint itself answered, in one word or a few: `rbac_access_denied_matched_policy[...]`.
    pub details: Cow<'static, str>,
    /// The address asked for.
    pub asked: String,
    /// The client's address.
    pub client: String,
    /// The name in the client's TLS hello.
    pub server_name: Option<String>,
}

/// Who is told of a request's end, in the place of the log or beside it.
pub trait Observer: std::fmt::Debug {
    /// The request has ended. Says which of its labels are others in which metrics, or missing.
    fn ended(&mut self, request: &EndedRequest<'_>) -> Vec<(RequestMetric, LabelChanges)>;
}

/// A request at its end.
#[derive(Debug)]
pub struct EndedRequest<'a> {
    /// Who talked to whom.
    pub flow: &'a Flow,
    /// What the log tells.
    pub facts: &'a RequestFacts,
    /// When it came, as logs write it.
    pub began: &'a str,
    /// How long it took.
    pub duration: Duration,
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// Bytes of the response's body.
    pub response_bytes: u64,
}

impl EndedRequest<'_> {
    /// The line of the waypoint's own log, with its newline.
    #[must_use]
    pub fn line(&self, format: AccessLogFormat) -> String {
        let Self { facts, began, duration, request_bytes, response_bytes, .. } = *self;
        RequestLine { facts, began, duration, received: request_bytes, sent: response_bytes }.render(format)
    }
}

/// The record of one request. Steps fill in what they learn; dropping it closes it.
#[derive(Debug)]
pub struct RequestRecord<O: Observer> {
    /// Who talks to whom.
    pub flow: Flow,
    /// What the log tells.
    pub facts: RequestFacts,
    /// Bytes of the request's body so far.
    pub request_bytes: u64,
    /// Bytes of the response's body so far.
    pub response_bytes: u64,
    /// gRPC messages of the request so far.
    pub request_messages: u64,
    /// gRPC messages of the response so far.
    pub response_messages: u64,
    /// Who is told of its end.
    pub observer: Option<Box<O>>,
    requests: Arc<Requests>,
    log: Option<AccessLog>,
    opened: Instant,
    /// When it came, as the log writes it; empty where nobody is told.
    began: String,
}

impl<O: Observer> RequestRecord<O> {
    /// Opens the record of a request that has just come, in a connection with this flow.
    #[must_use]
    pub fn open(flow: Flow, requests: Arc<Requests>, log: Option<AccessLog>, observer: Option<Box<O>>) -> Self {
        let mut began = String::new();
        if log.is_some() || observer.is_some() {
            write_now(&mut began);
        }
        Self {
            flow,
            facts: RequestFacts::default(),
            request_bytes: 0,
            response_bytes: 0,
            request_messages: 0,
            response_messages: 0,
            observer,
            requests,
            log,
            opened: Instant::now(),
            began,
        }
    }

    /// Whether what happens to it is to be told at all.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.log.is_some() || self.observer.is_some()
    }
}

impl<O: Observer> Drop for RequestRecord<O> {
    fn drop(&mut self) {
        let duration = self.opened.elapsed();
        let facts = &self.facts;
        let outcome = RequestOutcome {
            protocol: if facts.is_grpc { "grpc" } else { "http" },
            status: facts.status,
            grpc_status: facts.grpc_status,
            flags: facts.flags,
        };
        let measured = Measured {
            duration,
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
            request_messages: self.request_messages,
            response_messages: self.response_messages,
        };
        let (request_bytes, response_bytes) = (self.request_bytes, self.response_bytes);
        let (flow, began) = (&self.flow, self.began.as_str());
        let ended = EndedRequest { flow, facts, began, duration, request_bytes, response_bytes };
        let changes = self.observer.as_mut().map(|observer| observer.ended(&ended)).unwrap_or_default();
        self.requests.count(&self.flow, outcome, measured, &changes);
        if let Some(log) = &self.log {
            log.write_line(&ended.line(log.format()));
        }
    }
}
