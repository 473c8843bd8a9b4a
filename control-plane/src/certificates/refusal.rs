//! Every way not to get a certificate.

use ambit_identity::IssueError;
use ambit_model::IdentityError;
use tonic::{Code, Status};

use super::rights::Denial;
use crate::failure::error_chain;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// Nobody knows who asks.
    #[error("{}", .0.message())]
    Caller(Status),
    /// The caller may not have it.
    #[error(transparent)]
    Denied(Denial),
    /// The signing request is too long to be one.
    #[error("a signing request of {0} bytes is too long")]
    TooLong(usize),
    /// Whom the caller asks for cannot be read.
    #[error("ImpersonatedIdentity is no identity")]
    Identity(#[source] IdentityError),
    /// The signing request is not good.
    #[error("the signing request is refused")]
    SigningRequest(#[source] IssueError),
    /// The authority cannot sign.
    #[error("the authority cannot sign")]
    Authority(#[source] IssueError),
    /// Too many ask at once.
    #[error("too many ask at once")]
    Busy,
}

impl Refusal {
    /// One word for metrics.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Caller(status) if status.code() == Code::Unavailable => "tokens_unavailable",
            Self::Caller(_) => "unauthenticated",
            Self::Denied(Denial::NotANodeAgent) => "not_a_node_agent",
            Self::Denied(Denial::TrustDomain) => "trust_domain",
            Self::Denied(Denial::NotBound) => "not_bound",
            Self::Denied(Denial::NoSuchPod) => "no_such_pod",
            Self::Denied(Denial::OtherNode) => "other_node",
            Self::Denied(Denial::NotOnNode) => "not_on_node",
            Self::TooLong(_) | Self::Identity(_) | Self::SigningRequest(_) => "bad_request",
            Self::Authority(_) => "authority",
            Self::Busy => "busy",
        }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let text = error_chain(&refusal);
        match refusal {
            Refusal::Caller(status) => status,
            Refusal::Denied(_) => Self::permission_denied(text),
            Refusal::TooLong(_) | Refusal::Identity(_) | Refusal::SigningRequest(_) => Self::invalid_argument(text),
            Refusal::Authority(_) => {
                tracing::error!(error = text, "certificate not issued");
                Self::unavailable("the authority cannot sign")
            }
            Refusal::Busy => Self::resource_exhausted(text),
        }
    }
}
