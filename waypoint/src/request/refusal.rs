//! Answers of the waypoint's own.

use std::borrow::Cow;

use ambit_l7::grpc;
use ambit_model::DenyReason;
use ambit_telemetry::{ResponseFlag, ResponseFlags};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use crate::body::Body;
use crate::destination::Missing;
use crate::plan::{Failure, FailureReason};

/// A request that gets its answer here.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The status.
    pub(crate) status: StatusCode,
    /// gRPC's, where it is not the one that stands for `status`.
    pub(crate) grpc_status: Option<u8>,
    /// The body, for people.
    pub(crate) body: bytes::Bytes,
    /// More headers.
    pub(crate) headers: Option<Box<HeaderMap>>,
    /// Why, in the words of the log.
    pub(crate) details: Cow<'static, str>,
    /// Why, in letters.
    pub(crate) flags: ResponseFlags,
}

impl Refusal {
    /// An answer without anything but its status.
    pub(crate) fn new(status: StatusCode, details: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            grpc_status: None,
            body: bytes::Bytes::new(),
            headers: None,
            details: details.into(),
            flags: ResponseFlags::default(),
        }
    }

    /// With a body.
    pub(crate) fn with_body(self, body: impl Into<bytes::Bytes>) -> Self {
        Self { body: body.into(), ..self }
    }

    /// With a letter.
    pub(crate) fn with_flag(mut self, flag: ResponseFlag) -> Self {
        self.flags.insert(flag);
        self
    }

    /// The request is ambiguous or malformed.
    pub(crate) fn bad_request(details: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, details).with_flag(ResponseFlag::DownstreamProtocolError)
    }

    /// What users wrote comes to nothing that can be sent.
    pub(crate) fn internal(details: &'static str) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, details)
    }

    /// Policy says no. Whom it concerns learns no more.
    pub(crate) fn denied(reason: &DenyReason) -> Self {
        let matched = match reason {
            DenyReason::Policy { policy, rule } => {
                format!("ns[{}]-policy[{}]-rule[{rule}]", policy.namespace, policy.name)
            }
            DenyReason::NoAllowMatch { .. } | DenyReason::Unenrolled | DenyReason::IdentityChanged => "none".to_owned(),
        };
        Self::new(StatusCode::FORBIDDEN, format!("rbac_access_denied_matched_policy[{matched}]"))
            .with_body("RBAC: access denied")
    }

    /// No rule matches.
    pub(crate) fn no_route() -> Self {
        Self::new(StatusCode::NOT_FOUND, "route_not_found").with_flag(ResponseFlag::NoRoute)
    }

    /// The answer, in the form the client's protocol has for it.
    pub(crate) fn into_response(self, is_grpc: bool) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        if let Some(headers) = self.headers {
            *response.headers_mut() = *headers;
        }
        if is_grpc {
            let status = self.grpc_status.unwrap_or_else(|| grpc::of_http(self.status));
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            headers.insert("grpc-status", HeaderValue::from(u16::from(status)));
            if !self.body.is_empty() {
                headers.insert("grpc-message", grpc::encode_message(&String::from_utf8_lossy(&self.body)));
            }
            return response;
        }
        *response.status_mut() = self.status;
        if !self.body.is_empty() {
            let plain = HeaderValue::from_static("text/plain");
            response.headers_mut().entry(header::CONTENT_TYPE).or_insert(plain);
            *response.body_mut() = Body::full(self.body);
        }
        response
    }
}

impl From<Missing> for Refusal {
    fn from(missing: Missing) -> Self {
        Self::new(missing.status, format!("cluster_not_found[{}]", missing.what)).with_flag(ResponseFlag::NoCluster)
    }
}

impl From<&Failure> for Refusal {
    fn from(failure: &Failure) -> Self {
        let refusal = Self::new(failure.reason.status(), failure.reason.to_string());
        let body = match &failure.reason {
            FailureReason::NoHealthyEndpoint { .. }
            | FailureReason::NoSuchName { .. }
            | FailureReason::Aliased { .. } => "no healthy upstream",
            FailureReason::Overflow { .. } => {
                "upstream connect error or disconnect/reset before headers. reset reason: overflow"
            }
            FailureReason::TimedOut => "upstream request timeout",
            FailureReason::NoSuchDestination { .. }
            | FailureReason::Connect { .. }
            | FailureReason::Reset { .. }
            | FailureReason::Protocol { .. }
            | FailureReason::ClientGone => "upstream connect error or disconnect/reset before headers",
        };
        let mut refusal = refusal.with_body(body).with_flag(failure.reason.flag());
        refusal.flags = refusal.flags.union(failure.happened.flags);
        refusal
    }
}
