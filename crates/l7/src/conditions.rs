//! The conditions of rules, one by one. Decisions and explanations ask here alike, so that an explanation
//! cannot say another thing than what is done.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;

use crate::{
    ClientView, ConnectionView, HeaderMatch, HttpMatch, L4Match, PathMatch, Pattern, QueryMatch, RequestView,
    SourceMatch, TlsMatch,
};

/// The condition that kept a match from applying: the first of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Miss<'r> {
    /// The path is another.
    Path(&'r PathMatch),
    /// The service's port is another.
    Port(u16),
    /// The method is another.
    Method(&'r Pattern),
    /// The scheme is another.
    Scheme(&'r Pattern),
    /// The authority is another.
    Authority(&'r Pattern),
    /// A header is absent or has another value, or has this one where it must not.
    Header(&'r HeaderMatch),
    /// A parameter of the query is absent or has another value.
    Query(&'r QueryMatch),
    /// The client's namespace is another, or not known.
    SourceNamespace(&'r str),
    /// The client has not this label.
    SourceLabel(&'r str, &'r str),
    /// The client's address is in none of these.
    SourceSubnets(&'r [IpNet]),
    /// The address asked for is in none of these.
    DestinationSubnets(&'r [IpNet]),
    /// The name in the TLS hello is none of these, or absent.
    ServerName(&'r [Pattern]),
}

/// Why a match does not apply to a request; none: it does. Cheap conditions come first.
pub(crate) fn http<'r>(wanted: &'r HttpMatch, request: &RequestView<'_>, client: &ClientView<'_>) -> Option<Miss<'r>> {
    // Destructured, so that a new condition cannot be forgotten.
    let HttpMatch { name: _, path, scheme, method, authority, headers, query, port, source } = wanted;
    let text = |pattern: &'r Option<Pattern>, value: &str| pattern.as_ref().filter(|wanted| !wanted.matches(value));

    path.as_ref()
        .filter(|wanted| !wanted.matches(request.path))
        .map(Miss::Path)
        .or_else(|| port.filter(|wanted| *wanted != request.connection.port).map(Miss::Port))
        .or_else(|| text(method, request.method.as_str()).map(Miss::Method))
        .or_else(|| text(scheme, request.scheme).map(Miss::Scheme))
        .or_else(|| {
            let wanted = authority.as_ref()?;
            (!wanted.matches_ignoring_case(request.authority)).then_some(Miss::Authority(wanted))
        })
        .or_else(|| headers.iter().find(|wanted| !wanted.matches(request)).map(Miss::Header))
        .or_else(|| query.iter().find(|wanted| !wanted.matches(request)).map(Miss::Query))
        .or_else(|| from(source, client))
}

/// Why a match does not apply to a connection of TLS.
pub(crate) fn tls<'r>(wanted: &'r TlsMatch, asked: &ConnectionView<'_>, client: &ClientView<'_>) -> Option<Miss<'r>> {
    let TlsMatch { server_names, connection } = wanted;
    let named = server_names.is_empty()
        || asked.server_name.is_some_and(|name| server_names.iter().any(|wanted| wanted.matches_ignoring_case(name)));
    if named { tcp(connection, asked, client) } else { Some(Miss::ServerName(server_names)) }
}

/// Why a match does not apply to a connection.
pub(crate) fn tcp<'r>(wanted: &'r L4Match, asked: &ConnectionView<'_>, client: &ClientView<'_>) -> Option<Miss<'r>> {
    let L4Match { destination_subnets, port, source } = wanted;
    let outside =
        |blocks: &[IpNet]| !blocks.is_empty() && !blocks.iter().any(|block| block.contains(&asked.destination_ip));
    port.filter(|wanted| *wanted != asked.port)
        .map(Miss::Port)
        .or_else(|| outside(destination_subnets).then_some(Miss::DestinationSubnets(destination_subnets)))
        .or_else(|| from(source, client))
}

fn from<'r>(wanted: &'r SourceMatch, client: &ClientView<'_>) -> Option<Miss<'r>> {
    let SourceMatch { labels, namespace, subnets } = wanted;
    let has =
        |(key, value): &(&'r Arc<str>, &'r Arc<str>)| client.labels.get(*key).is_some_and(|found| found == *value);
    namespace
        .as_deref()
        .filter(|wanted| client.namespace != Some(wanted))
        .map(Miss::SourceNamespace)
        .or_else(|| labels.iter().find(|label| !has(label)).map(|(key, value)| Miss::SourceLabel(key, value)))
        .or_else(|| {
            let outside = !subnets.is_empty() && !subnets.iter().any(|block| block.contains(&client.ip));
            outside.then_some(Miss::SourceSubnets(subnets))
        })
}

impl PathMatch {
    /// Whether a path matches.
    pub(crate) fn matches(&self, path: &str) -> bool {
        match self {
            Self::Text { pattern, ignore_case: false } => pattern.matches(path),
            Self::Text { pattern, ignore_case: true } => pattern.matches_ignoring_case(path),
            Self::Elements(prefix) => is_under(path, prefix),
        }
    }
}

/// Whether a path is `prefix`, or below it. Everything is below the root.
fn is_under(path: &str, prefix: &str) -> bool {
    prefix.is_empty() || path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl HeaderMatch {
    fn matches(&self, request: &RequestView<'_>) -> bool {
        let found = request.header(&self.name).is_some_and(|value| self.value.matches(&value));
        found != self.inverted
    }
}

impl QueryMatch {
    fn matches(&self, request: &RequestView<'_>) -> bool {
        request.parameter(&self.name).is_some_and(|value| self.value.matches(&value))
    }
}

impl fmt::Display for Miss<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(wanted) => write!(f, "the path is not {wanted}"),
            Self::Port(wanted) => write!(f, "the port is not {wanted}"),
            Self::Method(wanted) => write!(f, "the method is not {wanted}"),
            Self::Scheme(wanted) => write!(f, "the scheme is not {wanted}"),
            Self::Authority(wanted) => write!(f, "the authority is not {wanted}"),
            Self::Header(HeaderMatch { name, value, inverted: false }) => write!(f, "header {name} is not {value}"),
            Self::Header(HeaderMatch { name, value, inverted: true }) => write!(f, "header {name} is {value}"),
            Self::Query(QueryMatch { name, value }) => write!(f, "parameter {name} is not {value}"),
            Self::SourceNamespace(wanted) => write!(f, "the client is not of namespace {wanted}"),
            Self::SourceLabel(key, value) => write!(f, "the client has no label {key}={value}"),
            Self::SourceSubnets(wanted) => write!(f, "the client's address is not in {}", one_of(wanted)),
            Self::DestinationSubnets(wanted) => write!(f, "the address asked for is not in {}", one_of(wanted)),
            Self::ServerName(wanted) => write!(f, "the server name is not {}", one_of(wanted)),
        }
    }
}

fn one_of(wanted: &[impl fmt::Display]) -> String {
    wanted.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

impl fmt::Display for PathMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text { pattern, ignore_case: false } => write!(f, "{pattern}"),
            Self::Text { pattern, ignore_case: true } => write!(f, "{pattern}, in whatever case"),
            Self::Elements(prefix) if prefix.is_empty() => f.write_str("/ or below"),
            Self::Elements(prefix) => write!(f, "{prefix} or below"),
        }
    }
}

/// A text in lower case, copied only where it is not.
pub(crate) fn lower_case(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests;
