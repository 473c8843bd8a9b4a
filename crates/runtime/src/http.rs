//! A small HTTP/1.1 server for the endpoints of the process. Requests are tiny, answers are made at
//! once, and everything a client sends is bounded in bytes and in time.

mod routes;
mod server;

use ::http::{HeaderValue, Response, StatusCode, header};
use bytes::Bytes;
use http_body_util::Full;

pub use routes::{Routes, query, query_all};
pub use server::{bind, serve};

/// An answer.
pub type Reply = Response<Full<Bytes>>;

/// An answer of plain text.
#[must_use]
pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Reply {
    reply(status, "text/plain; charset=utf-8", body.into())
}

/// An answer of JSON, already written.
#[must_use]
pub fn json(body: impl Into<Bytes>) -> Reply {
    reply(StatusCode::OK, "application/json", body.into())
}

fn reply(status: StatusCode, content_type: &'static str, body: Bytes) -> Reply {
    let mut reply = Response::new(Full::new(body));
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

#[cfg(test)]
mod tests;
