//! The record of one request: from its arrival to its one log line and its one set of counters.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::ResponseFlags;
use crate::access_log::{AccessLog, RequestLine, write_now};
use crate::flow::Flow;
use crate::labels::RequestOutcome;
use crate::requests::{Measured, Requests};

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
    pub details: String,
    /// The address asked for.
    pub asked: String,
    /// The client's address.
    pub client: String,
    /// The name in the client's TLS hello.
    pub server_name: Option<String>,
}

/// The record of one request. Steps fill in what they learn; dropping it closes it.
#[derive(Debug)]
pub struct RequestRecord {
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
    requests: Arc<Requests>,
    log: Option<AccessLog>,
    opened: Instant,
    /// When it came, as the log writes it; empty without a log.
    began: String,
}

impl RequestRecord {
    /// Opens the record of a request that has just come, in a connection with this flow.
    #[must_use]
    pub fn open(flow: Flow, requests: Arc<Requests>, log: Option<AccessLog>) -> Self {
        let mut began = String::new();
        if log.is_some() {
            write_now(&mut began);
        }
        Self {
            flow,
            facts: RequestFacts::default(),
            request_bytes: 0,
            response_bytes: 0,
            request_messages: 0,
            response_messages: 0,
            requests,
            log,
            opened: Instant::now(),
            began,
        }
    }
}

impl Drop for RequestRecord {
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
        self.requests.count(&self.flow, outcome, measured);
        if let Some(log) = &self.log {
            let (received, sent) = (self.request_bytes, self.response_bytes);
            log.write_request(&RequestLine { facts, began: &self.began, duration, received, sent });
        }
    }
}
