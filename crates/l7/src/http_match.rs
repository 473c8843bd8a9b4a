//! What a request must look like for a rule to apply.

use std::sync::Arc;

use http::{HeaderName, Method};

use crate::Pattern;
use crate::route::SourceMatch;

/// Conditions, ANDed. Without any it matches every request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HttpMatch {
    /// Its own name; may be empty.
    pub name: Arc<str>,
    /// The path, without its query.
    pub path: Option<PathMatch>,
    /// The scheme.
    pub scheme: Option<Pattern>,
    /// The method.
    pub method: Option<Pattern>,
    /// The authority, as the client sent it. Host names are compared in lower case.
    pub authority: Option<Pattern>,
    /// Headers, ANDed.
    pub headers: Vec<HeaderMatch>,
    /// Parameters of the query, ANDed.
    pub query: Vec<QueryMatch>,
    /// The service's port.
    pub port: Option<u16>,
    /// Who asks.
    pub source: SourceMatch,
}

/// What a path must look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathMatch {
    /// VirtualService's `uri`.
    Text {
        /// The pattern, in lower case where case is ignored.
        pattern: Pattern,
        /// Whether the path's case is ignored. Never with an expression.
        ignore_case: bool,
    },
    /// The Gateway API's `PathPrefix`: whole elements, so that `/a` matches `/a` and `/a/b` but not `/ab`. Held
    /// without a slash at its end; the root is empty.
    Elements(Arc<str>),
}

/// What a header must look like. Several values of one header count as one, joined by commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderMatch {
    /// Which.
    pub name: HeaderName,
    /// Its value. With `inverted` absent headers match too.
    pub value: Pattern,
    /// Whether it must *not* match (`withoutHeaders`).
    pub inverted: bool,
}

/// What a parameter of the query must look like: of several of one name the first counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryMatch {
    /// Which; compared as it stands, percent-decoded.
    pub name: Arc<str>,
    /// Its value, percent-decoded.
    pub value: Pattern,
}

impl HttpMatch {
    /// A match of a method, as gRPC and the Gateway API write it.
    #[must_use]
    pub fn of_method(method: &Method) -> Self {
        Self { method: Some(Pattern::Exact(method.as_str().into())), ..Self::default() }
    }
}
