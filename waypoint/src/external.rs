//! External authorizers: who decides for policies of the action CUSTOM.
//!
//! | what | file |
//! | --- | --- |
//! | as much of the body as the authorizer is to see | `external/seen_body.rs` |
//! | by gRPC: `envoy.service.auth.v3.Authorization/Check` | `external/check.rs`, `external/messages.rs` |
//! | by HTTP | `external/by_http.rs` |
//! | headers it changes | `external/change.rs` |

mod by_http;
mod change;
mod check;
mod messages;
mod seen_body;

use std::rc::Rc;
use std::sync::Arc;

use ambit_l7::{AuthorizerProtocol, ExternalAuthorizer};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, StatusCode};

use crate::body::Body;
use crate::connection::Connection;
use crate::errand::{Answer, Errand, ErrandError};
use crate::failure::error_chain;
use crate::in_force::InForce;
use crate::plan::{Destination, Speak};
use crate::request::Head;
use crate::worker::Worker;
pub(crate) use change::Change;
pub(crate) use seen_body::BodyRefusal;

/// A longer answer is none.
const MAX_ANSWER: usize = 1 << 20;

/// Whether the authorizer saw the whole body.
const PARTIAL_BODY: HeaderName = HeaderName::from_static("x-envoy-auth-partial-body");

/// Who asks for what, as far as authorizers are told.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) worker: &'a Rc<Worker>,
    pub(crate) in_force: &'a Arc<InForce>,
    pub(crate) connection: &'a Connection,
    pub(crate) head: &'a Head,
}

/// A body as an authorizer sees it.
#[derive(Debug, Default)]
struct Seen {
    bytes: Bytes,
    /// Whether there is more.
    is_cut: bool,
}

/// What an authorizer says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Consent {
    /// Changes of the request's headers.
    pub(crate) changes: Vec<Change>,
    /// Headers that the backend is not to see.
    pub(crate) remove: Vec<HeaderName>,
    /// Changes of the answer's headers.
    pub(crate) to_client: Vec<Change>,
}

/// Why a request does not go on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Denial {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<Change>,
    pub(crate) body: Bytes,
    /// Whether the authorizer said so; else it could not be asked.
    pub(crate) is_answer: bool,
}

/// Why an authorizer's word is not to be had.
#[derive(Debug, thiserror::Error)]
enum AskError {
    /// Its service is not there, or has no such port.
    #[error("its service {service}:{port} does not exist")]
    NoService {
        /// Which.
        service: String,
        /// Its port.
        port: u16,
    },
    /// It does not answer.
    #[error(transparent)]
    Errand(#[from] ErrandError),
    /// Its answer says that it failed.
    #[error("it answered {0}")]
    Status(StatusCode),
    /// Its gRPC answer says that it failed.
    #[error("it answered with the gRPC status {0:?}")]
    GrpcStatus(Option<u8>),
    /// Its answer is no message.
    #[error("its answer is no message of gRPC")]
    Frame,
    /// Its answer is another message.
    #[error("its answer cannot be read")]
    Message(#[from] prost::DecodeError),
    /// What it wants to be changed cannot be.
    #[error("its answer has a malformed header {0:?}")]
    Header(String),
    /// The question cannot be put.
    #[error("the question cannot be written")]
    Question(#[from] http::Error),
}

/// What an authorizer answers: an answer is never an error.
type Verdict = Result<Consent, Denial>;

/// Asks an authorizer about a request. With its word comes the request's body, complete again.
pub(crate) async fn ask(
    authorizer: &ExternalAuthorizer,
    asked: Asked<'_>,
    body: Body,
) -> Result<(Result<Consent, Denial>, Body), BodyRefusal> {
    let (seen, body) = seen_body::read(authorizer, asked.head, body).await?;
    let said = match &authorizer.protocol {
        AuthorizerProtocol::Grpc => check::ask(authorizer, asked, &seen).await,
        AuthorizerProtocol::Http(http) => by_http::ask(authorizer, http, asked, &seen).await,
    };
    let verdict = said.unwrap_or_else(|error| {
        tracing::warn!(authorizer = %authorizer.name, error = %error_chain(&error), "an authorizer cannot be asked");
        if authorizer.fail_open {
            return Ok(Consent::default());
        }
        let status = authorizer.status_on_error;
        Err(Denial { status, headers: Vec::new(), body: Bytes::new(), is_answer: false })
    });
    Ok((verdict, body))
}

/// Puts a question to an authorizer's service.
async fn put(
    authorizer: &ExternalAuthorizer,
    asked: Asked<'_>,
    speak: Speak,
    question: Request<Body>,
) -> Result<Answer, AskError> {
    let port = authorizer.port;
    let service = asked.in_force.snapshot.service(&authorizer.service);
    let service = service.filter(|service| service.ports.iter().any(|known| known.port == port));
    let gone = || AskError::NoService { service: authorizer.service.to_string(), port };
    let service = Arc::clone(service.ok_or_else(gone)?);
    let errand = Errand {
        policy: asked.in_force.traffic(&service.key, port, None),
        destination: Destination::Service { service, port, subset: None },
        speak,
        timeout: authorizer.timeout,
        max_body: MAX_ANSWER,
    };
    Ok(errand.run(asked.worker, asked.in_force, question).await?)
}

fn partial(seen: &Seen) -> HeaderValue {
    HeaderValue::from_static(if seen.is_cut { "true" } else { "false" })
}

#[cfg(test)]
mod tests;
