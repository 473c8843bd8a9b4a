//! Services of the mesh that the waypoint itself asks: where they are, and how a question is put by gRPC.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ambit_model::ServiceKey;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::{Request, StatusCode, header};
use prost::Message;

use crate::body::Body;
use crate::errand::{Answer, Errand, ErrandError};
use crate::in_force::InForce;
use crate::plan::{Destination, Speak};
use crate::worker::Worker;

/// A longer answer is none.
const MAX_ANSWER: usize = 1 << 20;

/// In front of a message of gRPC: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// A service that is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Callee<'a> {
    /// Which.
    pub(crate) service: &'a ServiceKey,
    /// Its port.
    pub(crate) port: u16,
    /// Longest wait for the whole answer.
    pub(crate) timeout: Duration,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The service is not there, or has no such port.
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
    /// The question cannot be put.
    #[error("the question cannot be written")]
    Question(#[from] http::Error),
}

impl Callee<'_> {
    /// Asks by gRPC.
    pub(crate) async fn call<A: Message + Default>(
        &self,
        worker: &Rc<Worker>,
        in_force: &Arc<InForce>,
        method: &str,
        message: &impl Message,
    ) -> Result<A, CallError> {
        let question = Request::post(format!("http://{}{method}", self.service.hostname))
            .header(header::CONTENT_TYPE, "application/grpc")
            .header(header::TE, "trailers")
            .body(Body::full(framed(message)))?;
        let answer = self.put(worker, in_force, Speak::Http2, question).await?;
        if answer.head.status != StatusCode::OK {
            return Err(CallError::Status(answer.head.status));
        }
        match answer.grpc_status() {
            Some(0) => Ok(A::decode(unframed(answer.body)?)?),
            status => Err(CallError::GrpcStatus(status)),
        }
    }

    /// Sends a request.
    pub(crate) async fn put(
        &self,
        worker: &Rc<Worker>,
        in_force: &Arc<InForce>,
        speak: Speak,
        question: Request<Body>,
    ) -> Result<Answer, CallError> {
        let port = self.port;
        let service = in_force.snapshot.service(self.service);
        let service = service.filter(|service| service.ports.iter().any(|known| known.port == port));
        let gone = || CallError::NoService { service: self.service.to_string(), port };
        let service = Arc::clone(service.ok_or_else(gone)?);
        let errand = Errand {
            policy: in_force.traffic(&service.key, port, None),
            destination: Destination::Service { service, port, subset: None },
            speak,
            timeout: self.timeout,
            max_body: MAX_ANSWER,
        };
        Ok(errand.run(worker, in_force, question).await?)
    }
}

/// A message as gRPC sends it.
pub(crate) fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(PREFIX + length);
    bytes.put_u8(0);
    // Heads and bodies are bounded far below.
    bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    bytes.extend_from_slice(&message.encode_to_vec());
    bytes.freeze()
}

/// The one message of an answer, which nobody was told to compress.
fn unframed(mut body: Bytes) -> Result<Bytes, CallError> {
    if body.len() < PREFIX || body.get_u8() != 0 {
        return Err(CallError::Frame);
    }
    let length = usize::try_from(body.get_u32()).unwrap_or(usize::MAX);
    if body.len() == length { Ok(body) } else { Err(CallError::Frame) }
}
