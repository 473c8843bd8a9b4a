//! A request's head in the form in which the backend's protocol wants it.

use http::header::{
    CONNECTION, HOST, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Uri, Version};

use crate::plan::Speak;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Headers between us and the client alone (RFC 9110 §7.6.1), but for those the codec writes anew.
const HOP_BY_HOP: [HeaderName; 7] =
    [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING];

/// Why a head cannot be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum HeadError {
    /// It says nowhere what host it is for.
    #[error("the request has no authority")]
    NoAuthority,
    /// Its target makes no sense in the backend's protocol.
    #[error("the request's target cannot be written")]
    Target(#[source] http::uri::InvalidUriParts),
    /// Its authority is no header's value.
    #[error("the request's authority cannot be written")]
    Authority(#[source] http::header::InvalidHeaderValue),
}

/// Whether the request asks for another protocol on its connection.
pub(super) fn is_upgrade(request: &Parts) -> bool {
    request.headers.contains_key(UPGRADE) && names(&request.headers).any(|name| name == UPGRADE)
}

/// Brings a head into the form that the backend's protocol wants.
pub(super) fn prepare(request: &mut Parts, speak: Speak) -> Result<(), HeadError> {
    request.extensions.clear();
    clean(request, speak);
    let authority = authority(request)?;
    match speak {
        Speak::Http1 => {
            request.version = Version::HTTP_11;
            if request.uri.authority().is_some() || !request.headers.contains_key(HOST) {
                let host = HeaderValue::from_str(authority.as_str()).map_err(HeadError::Authority)?;
                request.headers.insert(HOST, host);
            }
            if request.method != Method::CONNECT {
                request.uri = origin_form(&request.uri)?;
            }
        }
        Speak::Http2 => {
            request.version = Version::HTTP_2;
            request.headers.remove(HOST);
            if request.method != Method::CONNECT {
                request.uri = absolute_form(&request.uri, authority)?;
            }
        }
    }
    Ok(())
}

/// Takes away what is between us and the client alone.
fn clean(request: &mut Parts, speak: Speak) {
    let upgrade =
        (speak == Speak::Http1 && is_upgrade(request)).then(|| request.headers.get(UPGRADE).cloned()).flatten();
    let has_trailers = request.headers.get_all(TE).iter().any(|te| {
        te.to_str().is_ok_and(|te| te.split(',').any(|coding| coding.trim().eq_ignore_ascii_case("trailers")))
    });
    if request.headers.contains_key(CONNECTION) {
        for name in names(&request.headers).collect::<Vec<_>>() {
            request.headers.remove(name);
        }
    }
    for name in HOP_BY_HOP {
        request.headers.remove(name);
    }
    request.headers.remove(UPGRADE);
    if let Some(protocol) = upgrade {
        request.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        request.headers.insert(UPGRADE, protocol);
    }
    if has_trailers && speak == Speak::Http2 {
        request.headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// The headers that `Connection` names. What every message needs cannot be taken away by it.
fn names(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> {
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse::<HeaderName>().ok())
        .filter(|name| *name != HOST && *name != http::header::CONTENT_LENGTH)
}

fn authority(request: &Parts) -> Result<Authority, HeadError> {
    if let Some(authority) = request.uri.authority() {
        return Ok(authority.clone());
    }
    let host = request.headers.get(HOST).ok_or(HeadError::NoAuthority)?;
    Authority::try_from(host.as_bytes()).map_err(|_| HeadError::NoAuthority)
}

fn origin_form(uri: &Uri) -> Result<Uri, HeadError> {
    if uri.authority().is_none() {
        return Ok(uri.clone());
    }
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = Some(path(uri));
    Uri::from_parts(parts).map_err(HeadError::Target)
}

fn absolute_form(uri: &Uri, authority: Authority) -> Result<Uri, HeadError> {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(uri.scheme().cloned().unwrap_or(Scheme::HTTP));
    parts.authority = Some(authority);
    parts.path_and_query = Some(path(uri));
    Uri::from_parts(parts).map_err(HeadError::Target)
}

fn path(uri: &Uri) -> PathAndQuery {
    uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn parts(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn written(mut request: Parts, speak: Speak) -> (String, Vec<String>) {
        prepare(&mut request, speak).unwrap();
        let mut headers: Vec<_> =
            request.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        headers.sort();
        (request.uri.to_string(), headers)
    }

    #[test]
    fn heads_take_the_form_of_their_protocol() {
        use Speak::{Http1, Http2};
        let hop =
            [("host", "web"), ("connection", "close, x-own, host"), ("x-own", "1"), ("keep-alive", "3"), ("a", "b")];
        let grpc = [("te", "trailers"), ("a", "b")];
        let socket = [("host", "web"), ("connection", "Upgrade"), ("upgrade", "websocket"), ("a", "b")];
        for (request, speak, uri, headers) in [
            (parts("GET", "/a?b", &hop), Http1, "/a?b", vec!["a: b", "host: web"]),
            (parts("GET", "/a?b", &hop), Http2, "http://web/a?b", vec!["a: b"]),
            (parts("GET", "http://web:80", &[]), Http1, "/", vec!["host: web:80"]),
            (parts("POST", "https://web/a", &grpc), Http2, "https://web/a", vec!["a: b", "te: trailers"]),
            (parts("POST", "https://web/a", &grpc), Http1, "/a", vec!["a: b", "host: web"]),
            (
                parts("GET", "/", &socket),
                Http1,
                "/",
                vec!["a: b", "connection: upgrade", "host: web", "upgrade: websocket"],
            ),
            (parts("GET", "/", &socket), Http2, "http://web/", vec!["a: b"]),
            (parts("CONNECT", "web:80", &[]), Http1, "web:80", vec!["host: web:80"]),
        ] {
            assert_eq!(written(request, speak), (uri.into(), headers.into_iter().map(String::from).collect()));
        }
    }

    #[test]
    fn a_rewritten_authority_goes_before_the_host_header() {
        let request = parts("GET", "http://other/a", &[("host", "web")]);
        assert_eq!(written(request, Speak::Http1), ("/a".into(), vec!["host: other".into()]));
        assert!(matches!(prepare(&mut parts("GET", "/", &[]), Speak::Http1), Err(HeadError::NoAuthority)));
    }
}
