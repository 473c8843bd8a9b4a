//! Step 5: the head of a request, made unambiguous: one length, one authority, one reading of its path. What is
//! decided by it, and what goes on to the backend, are the same.

use ambit_l7::{PathNormalization, RequestView, normalise};
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Uri, Version, header};
use hyper::ext::Protocol;

use super::refusal::Refusal;
use crate::connection::Connection;

/// A request's head, unambiguous.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    /// Its target is in absolute form, but for CONNECT; there is no `Host` beside it.
    pub(crate) parts: Parts,
    /// The authority as the client sent it; empty where there was none.
    pub(crate) authority: String,
    /// The target as the client sent it, for the log.
    pub(crate) target: String,
    /// Whether it asks for another protocol.
    pub(crate) switch: Switch,
}

/// Whether a request asks for another protocol on its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Switch {
    /// No.
    No,
    /// By the header `Upgrade` of HTTP/1.1.
    Upgrade,
    /// By HTTP/2's extended CONNECT (RFC 8441).
    ExtendedConnect,
    /// By CONNECT.
    Connect,
}

impl Head {
    /// Reads a head, and normalises its path so far.
    pub(crate) fn read(mut parts: Parts, how: PathNormalization) -> Result<Self, Refusal> {
        one_length(&parts)?;
        let authority = authority(&parts)?;
        let target = parts.uri.path_and_query().map_or_else(|| parts.uri.to_string(), ToString::to_string);
        let switch = switch(&mut parts)?;
        if switch != Switch::Connect {
            parts.uri = target_of(&parts.uri, authority.as_ref(), how)?;
            parts.headers.remove(HOST);
        }
        let authority = authority.map_or_else(String::new, |authority| authority.to_string());
        Ok(Self { parts, authority, target, switch })
    }

    /// The head, as rules and policies see it.
    pub(crate) fn view<'a>(&'a self, connection: &Connection) -> RequestView<'a> {
        let (destination_ip, port) = (connection.target.ip(), connection.target.port());
        RequestView {
            method: &self.parts.method,
            scheme: self.parts.uri.scheme_str().unwrap_or("http"),
            authority: &self.authority,
            path: if self.switch == Switch::Connect { "" } else { self.parts.uri.path() },
            query: self.parts.uri.query(),
            headers: &self.parts.headers,
            connection: ambit_l7::ConnectionView { destination_ip, port, server_name: None },
        }
    }

    /// Whether it has a body and an answer, and is no beginning of another protocol.
    pub(crate) fn is_message(&self) -> bool {
        self.switch == Switch::No
    }

    /// Writes another authority.
    pub(crate) fn set_authority(&mut self, authority: &str) -> Result<(), Refusal> {
        let authority = authority.parse::<Authority>().map_err(|_| Refusal::internal("authority_rewrite"))?;
        let mut parts = self.parts.uri.clone().into_parts();
        parts.authority = Some(authority);
        self.parts.uri = Uri::from_parts(parts).map_err(|_| Refusal::internal("authority_rewrite"))?;
        Ok(())
    }

    /// Writes another path and query.
    pub(crate) fn set_path(&mut self, path: &str) -> Result<(), Refusal> {
        let path = PathAndQuery::try_from(path).map_err(|_| Refusal::internal("path_rewrite"))?;
        let mut parts = self.parts.uri.clone().into_parts();
        parts.path_and_query = Some(path);
        self.parts.uri = Uri::from_parts(parts).map_err(|_| Refusal::internal("path_rewrite"))?;
        Ok(())
    }
}

/// Where a message ends must be said once (RFC 9112 §6.1): who reads the other way sees another message.
fn one_length(parts: &Parts) -> Result<(), Refusal> {
    let lengths = parts.headers.get_all(CONTENT_LENGTH).iter().count();
    let chunked = parts.headers.contains_key(TRANSFER_ENCODING);
    if lengths > 1 || (chunked && (lengths > 0 || parts.version != Version::HTTP_11)) {
        return Err(Refusal::bad_request("ambiguous_length"));
    }
    Ok(())
}

/// The authority, which is not said twice in different ways.
fn authority(parts: &Parts) -> Result<Option<Authority>, Refusal> {
    let bad = || Refusal::bad_request("bad_authority");
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(bad());
    }
    let host = host.filter(|host| !host.is_empty()).map(|host| Authority::try_from(host.as_bytes())).transpose();
    let host = host.map_err(|_| bad())?;
    // HTTP/1 says that the target's goes before; HTTP/2 that both must be the same.
    let authority = match (parts.uri.authority().cloned(), host) {
        (Some(target), Some(host)) if parts.version == Version::HTTP_2 && target != host => return Err(bad()),
        (Some(target), _) => Some(target),
        (None, host) => host,
    };
    match &authority {
        Some(authority) if authority.as_str().contains('@') => Err(bad()),
        None if parts.version != Version::HTTP_10 => Err(bad()),
        _ => Ok(authority),
    }
}

/// The target in absolute form, its path normalised.
fn target_of(target: &Uri, authority: Option<&Authority>, how: PathNormalization) -> Result<Uri, Refusal> {
    let path = normalise(target.path(), how).map_err(|_| Refusal::bad_request("bad_path"))?;
    let path = match target.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.into_owned(),
    };
    let bad = || Refusal::bad_request("bad_path");
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = Some(PathAndQuery::try_from(path).map_err(|_| bad())?);
    if let Some(authority) = authority {
        parts.scheme = Some(target.scheme().cloned().unwrap_or(Scheme::HTTP));
        parts.authority = Some(authority.clone());
    }
    Uri::from_parts(parts).map_err(|_| bad())
}

/// Which other protocol is asked for. HTTP/2's way of asking becomes HTTP/1.1's, so that one is left.
fn switch(parts: &mut Parts) -> Result<Switch, Refusal> {
    if parts.method == Method::CONNECT {
        let Some(protocol) = parts.extensions.remove::<Protocol>() else { return Ok(Switch::Connect) };
        let protocol = HeaderValue::from_str(protocol.as_str()).map_err(|_| Refusal::bad_request("bad_protocol"))?;
        if protocol == "websocket" && !parts.headers.contains_key(header::SEC_WEBSOCKET_KEY) {
            parts.headers.insert(header::SEC_WEBSOCKET_KEY, websocket_key());
        }
        parts.method = Method::GET;
        parts.headers.insert(UPGRADE, protocol);
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        return Ok(Switch::ExtendedConnect);
    }
    let asks =
        parts.version == Version::HTTP_11 && parts.headers.contains_key(UPGRADE) && names_upgrade(&parts.headers);
    if !asks {
        return Ok(Switch::No);
    }
    // Prior knowledge is the only way to HTTP/2: what is asked for in passing is left out (RFC 9113 §3.1).
    if parts.headers.get(UPGRADE).is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"h2c")) {
        parts.headers.remove(UPGRADE);
        parts.headers.remove("http2-settings");
        return Ok(Switch::No);
    }
    Ok(Switch::Upgrade)
}

fn names_upgrade(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|name| name.trim().eq_ignore_ascii_case("upgrade"))
}

/// HTTP/1.1 wants a key, which HTTP/2 has no use for: its answer is not looked at.
fn websocket_key() -> HeaderValue {
    HeaderValue::from_static("YW1iaXQgd2F5cG9pbnQga2V5")
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn read(request: http::request::Builder) -> Result<Head, Refusal> {
        Head::read(request.body(()).unwrap().into_parts().0, PathNormalization::default())
    }

    #[test]
    fn there_is_one_reading() {
        let head = read(Request::get("/a/../b/%7Ec?x=%2e").header("host", "web:80")).unwrap();
        assert_eq!(head.parts.uri, "http://web:80/b/~c?x=%2e");
        assert_eq!((head.authority.as_str(), head.parts.headers.get(HOST)), ("web:80", None));
        let absolute = read(Request::get("http://web/a").header("host", "other")).unwrap();
        assert_eq!(absolute.authority, "web");
        assert!(read(Request::get("/").version(Version::HTTP_10)).unwrap().authority.is_empty());
    }

    #[test]
    fn what_has_two_is_refused() {
        let get = || Request::get("/");
        for (what, request) in [
            ("no host", get()),
            ("two hosts", get().header("host", "a").header("host", "b")),
            ("user", get().header("host", "u@a")),
            ("no host name", get().header("host", "a b")),
            ("two lengths", get().header("host", "a").header("content-length", "1").header("content-length", "1")),
            ("both", get().header("host", "a").header("content-length", "1").header("transfer-encoding", "chunked")),
            ("two names", Request::get("http://a/").version(Version::HTTP_2).header("host", "b")),
            ("nul", Request::get("/%00").header("host", "a")),
        ] {
            assert!(read(request).is_err(), "{what}");
        }
    }

    #[test]
    fn switches_are_known() {
        let upgrade = |protocol: &str| {
            let request = Request::get("/").header("host", "a").header("connection", "x, Upgrade");
            read(request.header("upgrade", protocol)).unwrap().switch
        };
        assert_eq!((upgrade("websocket"), upgrade("h2c")), (Switch::Upgrade, Switch::No));
        let connect = Request::connect("a:80").version(Version::HTTP_2);
        assert_eq!(read(connect).unwrap().switch, Switch::Connect);
        let extended = Request::connect("http://a/chat").version(Version::HTTP_2);
        let extended = read(extended.extension(Protocol::from_static("websocket"))).unwrap();
        assert_eq!((extended.switch, extended.parts.method), (Switch::ExtendedConnect, Method::GET));
    }
}
