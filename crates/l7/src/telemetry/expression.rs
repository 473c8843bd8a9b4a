//! Expressions on requests: the part of CEL that users of access logs and metrics write.
//!
//! | what | how |
//! | --- | --- |
//! | values | `'text'`, `"text"`, `7`, `-7`, `true`, `false` |
//! | logic | `a && b`, `a \|\| b`, `!a`, `c ? a : b` |
//! | comparisons | `==`, `!=`, `<`, `<=`, `>`, `>=` |
//! | lists | `a in ['x', 'y']`, `'x-header' in request.headers` |
//! | texts | `a + b`, `a.startsWith(b)`, `a.endsWith(b)`, `a.contains(b)`, `a.matches('expression')`, `a.lowerAscii()`, `size(a)` |
//! | conversions | `string(a)`, `int(a)` |
//! | presence | `has(a)` |
//! | attributes | [`ATTRIBUTES`], and `request.headers['x-a']`, `response.headers['x-a']`, `response.trailers['x-a']` |
//!
//! As in CEL, what has no value makes the whole undefined, unless `&&`, `||` or `?` need it not. An undefined filter
//! lets nothing through, an undefined label is unknown.

mod evaluate;
mod parse;
mod token;

use std::sync::Arc;

use super::{Attribute, Ended, Value};
use crate::Regex;

/// An expression, parsed.
#[derive(Debug, Clone)]
pub struct Expression {
    source: Box<str>,
    root: Node,
}

/// Why a text is no expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// There is nothing.
    #[error("an expression is required")]
    Empty,
    /// It is too long.
    #[error("longer than {MAX_LENGTH} bytes")]
    TooLong,
    /// It is nested too deeply.
    #[error("nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
    /// Something else is there than could be.
    #[error("expected {expected} at {found:?}")]
    Expected {
        /// What could be.
        expected: &'static str,
        /// What is.
        found: String,
    },
    /// A text whose end is not there, or a sign that means nothing.
    #[error("{0:?} means nothing in an expression")]
    Sign(String),
    /// An attribute that is not known.
    #[error("there is no attribute {0:?}")]
    Attribute(String),
    /// A function that is not known.
    #[error("there is no function {0:?}")]
    Function(String),
    /// A text that is no header's name.
    #[error("{0:?} is not the name of a header")]
    Header(String),
    /// A text that is no regular expression.
    #[error(transparent)]
    Regex(#[from] crate::RegexError),
}

/// A longer one is none.
const MAX_LENGTH: usize = 4096;
/// A deeper one is none: it is parsed and evaluated by recursion.
const MAX_DEPTH: usize = 48;

/// The attributes by their names, but for headers.
pub static ATTRIBUTES: [(&str, Attribute); 28] = [
    ("request.path", Attribute::Path),
    ("request.url_path", Attribute::PathWithoutQuery),
    ("request.query", Attribute::Query),
    ("request.host", Attribute::Authority),
    ("request.scheme", Attribute::Scheme),
    ("request.method", Attribute::Method),
    ("request.protocol", Attribute::Protocol),
    ("request.id", Attribute::RequestHeader(http::HeaderName::from_static("x-request-id"))),
    ("request.useragent", Attribute::RequestHeader(http::header::USER_AGENT)),
    ("request.referer", Attribute::RequestHeader(http::header::REFERER)),
    ("request.size", Attribute::Received),
    ("response.code", Attribute::Status),
    ("response.code_details", Attribute::Details),
    ("response.grpc_status", Attribute::GrpcStatus),
    ("response.size", Attribute::Sent),
    ("source.address", Attribute::ClientAddress),
    ("source.port", Attribute::ClientPort),
    ("destination.address", Attribute::AskedAddress),
    ("destination.port", Attribute::AskedPort),
    ("connection.mtls", Attribute::IsMutualTls),
    ("connection.requested_server_name", Attribute::ServerName),
    ("connection.uri_san_peer_certificate", Attribute::ClientIdentity),
    ("connection.uri_san_local_certificate", Attribute::OwnIdentity),
    ("connection.termination_details", Attribute::Unknown),
    ("upstream.address", Attribute::UpstreamHost),
    ("upstream.transport_failure_reason", Attribute::UpstreamFailure),
    ("xds.route_name", Attribute::Route),
    ("xds.cluster_name", Attribute::UpstreamCluster),
];

/// A part of an expression.
#[derive(Debug, Clone)]
enum Node {
    Literal(Value<'static>),
    Attribute(Attribute),
    Has(Attribute),
    Not(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Compare(Comparison, Box<Node>, Box<Node>),
    In(Box<Node>, Vec<Node>),
    Add(Box<Node>, Box<Node>),
    Choose(Box<Node>, Box<Node>, Box<Node>),
    Test(TextTest, Box<Node>, Box<Node>),
    Matches(Box<Node>, Regex),
    Convert(Conversion, Box<Node>),
}

#[derive(Debug, Clone, Copy)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy)]
enum TextTest {
    StartsWith,
    EndsWith,
    Contains,
}

#[derive(Debug, Clone, Copy)]
enum Conversion {
    Text,
    Number,
    Size,
    Lower,
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// Where it is none, or beyond what is supported.
    pub fn parse(source: &str) -> Result<Arc<Self>, ExpressionError> {
        let root = parse::parse(source)?;
        Ok(Arc::new(Self { source: source.into(), root }))
    }

    /// Whether it is true of a request.
    #[must_use]
    pub fn holds(&self, ended: &Ended<'_>) -> bool {
        self.root.evaluate(ended) == Ok(Value::Bool(true))
    }

    /// What it comes to, as a text.
    #[must_use]
    pub fn text(&self, ended: &Ended<'_>) -> Option<String> {
        self.root.evaluate(ended).ok().map(|value| value.to_string())
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Expression {}

#[cfg(test)]
mod tests;
