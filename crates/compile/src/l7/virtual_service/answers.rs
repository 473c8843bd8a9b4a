//! What the waypoint answers itself.

use std::sync::Arc;

use ambit_l7::{DirectResponse, PathRewrite, Redirect, RedirectPort};
use ambit_resources::virtual_service;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::StatusCode;

use crate::l7::L7Problem;
use crate::l7::at::At;
use crate::l7::cx::Cx;
use crate::l7::text::{port, status};

/// Where the client is sent.
pub(super) fn redirect(written: &virtual_service::Redirect, at: &At<'_>, cx: &mut Cx<'_>) -> Redirect {
    let virtual_service::Redirect { uri, prefix_rewrite, authority, port: number, derive_port, scheme, .. } = written;
    if uri.is_some() && prefix_rewrite.is_some() {
        cx.error(&at.field("prefixRewrite"), L7Problem::Exclusive { other: "uri" });
    }
    if number.is_some() && derive_port.is_some() {
        cx.error(&at.field("derivePort"), L7Problem::Exclusive { other: "port" });
    }
    let number = port(*number, &at.field("port"), cx);
    let full = uri.as_deref().filter(|uri| !uri.is_empty()).map(|uri| PathRewrite::Full(uri.into()));
    let prefix = prefix_rewrite.as_deref().map(|prefix| PathRewrite::Prefix(prefix.into()));
    let (host, of_authority) = authority.as_deref().map_or((None, None), host_and_port);
    let derived = derive_port.map(|derive| match derive {
        virtual_service::RedirectPort::FromProtocolDefault => RedirectPort::OfScheme,
        virtual_service::RedirectPort::FromRequestPort => RedirectPort::FromRequest,
    });
    Redirect {
        status: redirect_status(written.redirect_code, &at.field("redirectCode"), cx),
        scheme: scheme.as_deref().filter(|scheme| !scheme.is_empty()).map(Arc::from),
        host,
        port: number.or(of_authority).map(RedirectPort::Number).or(derived).unwrap_or_default(),
        path: full.or(prefix),
    }
}

fn redirect_status(code: Option<u32>, at: &At<'_>, cx: &mut Cx<'_>) -> StatusCode {
    match code {
        None | Some(0 | 301) => StatusCode::MOVED_PERMANENTLY,
        Some(302) => StatusCode::FOUND,
        Some(303) => StatusCode::SEE_OTHER,
        Some(307) => StatusCode::TEMPORARY_REDIRECT,
        Some(308) => StatusCode::PERMANENT_REDIRECT,
        Some(other) => {
            let value = other.to_string();
            cx.error(at, L7Problem::Value { value, expected: "301, 302, 303, 307 or 308" });
            StatusCode::MOVED_PERMANENTLY
        }
    }
}

/// The host and the port of an authority. A colon in brackets is a part of an IPv6 address.
fn host_and_port(authority: &str) -> (Option<Arc<str>>, Option<u16>) {
    if authority.is_empty() {
        return (None, None);
    }
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => match port.parse() {
            Ok(port) => (Some(host.into()), Some(port)),
            Err(_) => (Some(authority.into()), None),
        },
        _ => (Some(authority.into()), None),
    }
}

/// The largest body of an answer, as in the field.
const MAX_BODY: usize = 1 << 20;

/// An answer of the waypoint's own.
pub(super) fn respond(written: &virtual_service::DirectResponse, at: &At<'_>, cx: &mut Cx<'_>) -> DirectResponse {
    let status = status(written.status, 200, &at.field("status"), cx).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let at = at.field("body");
    let body = written.body.as_ref().map(|body| bytes(body, &at, cx)).unwrap_or_default();
    if body.len() > MAX_BODY {
        cx.error(&at, L7Problem::Range { value: body.len() as u64, least: 0, most: MAX_BODY as u64 });
    }
    DirectResponse { status, body }
}

fn bytes(body: &virtual_service::HttpBody, at: &At<'_>, cx: &mut Cx<'_>) -> Bytes {
    match (&body.string, &body.bytes) {
        (Some(text), None) => Bytes::copy_from_slice(text.as_bytes()),
        (None, Some(encoded)) => BASE64_STANDARD.decode(encoded).map_or_else(
            |_| {
                let value = encoded.chars().take(SHOWN).collect();
                cx.error(&at.field("bytes"), L7Problem::Value { value, expected: "base64" });
                Bytes::new()
            },
            Bytes::from,
        ),
        (Some(_), Some(_)) => {
            cx.error(&at.field("bytes"), L7Problem::Exclusive { other: "string" });
            Bytes::new()
        }
        (None, None) => {
            cx.error(at, L7Problem::Required { what: "string or bytes" });
            Bytes::new()
        }
    }
}

/// So much of a body that is none is shown.
const SHOWN: usize = 32;
