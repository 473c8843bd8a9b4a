//! What is changed in headers.

use std::sync::Arc;

use ambit_l7::HeaderChanges;
use ambit_resources::virtual_service::{HeaderOperations, Headers};
use http::{HeaderName, HeaderValue};

use crate::l7::L7Problem;
use crate::l7::at::At;
use crate::l7::cx::Cx;
use crate::l7::text::{header_name, header_value};

/// What is changed in the headers of a request and of its response.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) request: HeaderChanges,
    pub(super) response: HeaderChanges,
    /// The request's authority, where it is set by the name of `Host`.
    pub(super) authority: Option<Arc<str>>,
}

pub(super) fn changes(written: Option<&Headers>, at: &At<'_>, cx: &mut Cx<'_>) -> Changes {
    let Some(Headers { request, response }) = written else { return Changes::default() };
    let mut changes = Changes::default();
    if let Some(operations) = request {
        changes.authority = authority(operations);
        changes.request = operations_of(operations, true, &at.field("request"), cx);
    }
    if let Some(operations) = response {
        changes.response = operations_of(operations, false, &at.field("response"), cx);
    }
    changes
}

/// `Host` is no header like others: by HTTP/2 it is `:authority`. As in the field, to set it is to rewrite it.
fn authority(operations: &HeaderOperations) -> Option<Arc<str>> {
    let value = operations.set.iter().find(|(name, _)| is_authority(name)).map(|(_, value)| value)?;
    Some(value.as_str().into())
}

fn is_authority(name: &str) -> bool {
    name.eq_ignore_ascii_case("host") || name == ":authority"
}

fn operations_of(written: &HeaderOperations, of_request: bool, at: &At<'_>, cx: &mut Cx<'_>) -> HeaderChanges {
    let set_without_host = |name: &str| !(of_request && is_authority(name));
    let set = written.set.iter().filter(|(name, _)| set_without_host(name));
    HeaderChanges {
        set: pairs(set, &at.field("set"), cx),
        add: pairs(written.add.iter(), &at.field("add"), cx),
        remove: removed(&written.remove, &at.field("remove"), cx),
    }
}

fn pairs<'a>(
    written: impl Iterator<Item = (&'a String, &'a String)>,
    at: &At<'_>,
    cx: &mut Cx<'_>,
) -> Vec<(HeaderName, HeaderValue)> {
    let mut found = Vec::new();
    for (name, value) in written {
        let at = at.field(name);
        let header = changeable(name, &at, cx);
        let value = header_value(value, &at, cx);
        found.extend(header.zip(value));
    }
    found
}

fn removed(written: &[String], at: &At<'_>, cx: &mut Cx<'_>) -> Vec<HeaderName> {
    let names = written.iter().enumerate();
    names.filter_map(|(i, name)| changeable(name, &at.index(i), cx)).collect()
}

/// Headers that say where a message ends and how its connection is used. Whoever changes them by configuration
/// makes two readers of one message see two messages.
const OF_THE_CONNECTION: [&str; 7] =
    ["connection", "content-length", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"];

fn changeable(name: &str, at: &At<'_>, cx: &mut Cx<'_>) -> Option<HeaderName> {
    let reason = if is_authority(name) {
        Some("it can only be set, in a request")
    } else if name.starts_with(':') {
        Some("it is a part of the request itself: see rewrite")
    } else if OF_THE_CONNECTION.contains(&name.to_ascii_lowercase().as_str()) {
        Some("it says how the connection is used")
    } else {
        None
    };
    let Some(reason) = reason else { return header_name(name, at, cx) };
    cx.error(at, L7Problem::ProtectedHeader { name: name.to_owned(), reason });
    None
}
