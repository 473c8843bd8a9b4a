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
use http::{HeaderName, HeaderValue, StatusCode};

use crate::body::Body;
use crate::callee::{CallError, Callee};
use crate::connection::Connection;
use crate::failure::error_chain;
use crate::in_force::InForce;
use crate::request::Head;
use crate::worker::Worker;
pub(crate) use change::Change;
pub(crate) use messages::HeaderValue as WrittenHeader;
pub(crate) use seen_body::BodyRefusal;

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
    /// It does not answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// Its answer neither consents nor refuses.
    #[error("its answer contradicts itself")]
    Contradiction,
    /// What it wants to be changed cannot be.
    #[error("its answer has a malformed header {0:?}")]
    Header(String),
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
        warn(authorizer, &error);
        if authorizer.fail_open {
            return Ok(Consent::default());
        }
        let status = authorizer.status_on_error;
        Err(Denial { status, headers: Vec::new(), body: Bytes::new(), is_answer: false })
    });
    Ok((verdict, body))
}

/// Asks an authorizer about a connection that is no HTTP; says whether it consents. One of HTTP can be asked about
/// requests alone, so it does not.
pub(crate) async fn ask_of_bytes(
    authorizer: &ExternalAuthorizer,
    (worker, in_force): (&Rc<Worker>, &Arc<InForce>),
    connection: &Connection,
    server_name: Option<&str>,
) -> bool {
    let AuthorizerProtocol::Grpc = &authorizer.protocol else { return false };
    match check::ask_of_bytes(authorizer, (worker, in_force), connection, server_name).await {
        Ok(verdict) => verdict.is_ok(),
        Err(error) => {
            warn(authorizer, &error);
            authorizer.fail_open
        }
    }
}

fn warn(authorizer: &ExternalAuthorizer, error: &AskError) {
    tracing::warn!(authorizer = %authorizer.name, error = %error_chain(error), "an authorizer cannot be asked");
}

/// Where an authorizer is asked.
fn callee(authorizer: &ExternalAuthorizer) -> Callee<'_> {
    Callee { service: &authorizer.service, port: authorizer.port, timeout: authorizer.timeout }
}

fn partial(seen: &Seen) -> HeaderValue {
    HeaderValue::from_static(if seen.is_cut { "true" } else { "false" })
}

#[cfg(test)]
mod tests;
