//! Step 5: the head of a request, made unambiguous: one length, one authority, one reading of its path. What is
//! decided by it, and what goes on to the backend, are the same.

use std::net::IpAddr;

use ambit_l7::head::{HeadError, authority, one_length, take_connection, target};
use ambit_l7::{PathNormalization, RequestView, normalise};
use http::header::{HOST, UPGRADE};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};
use hyper::ext::Protocol;

use super::refusal::Refusal;
use crate::connection::Connection;

/// A request's head, unambiguous.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    /// Its target is in absolute form; there is no `Host` beside it, and nothing that its `Connection` named.
    pub(crate) parts: Parts,
    /// The authority as the client sent it; where there was none, as HTTP/1.0 allows, that of what it asked for.
    pub(crate) authority: String,
    /// The target as the client sent it, for the log.
    pub(crate) target: String,
    /// Whether it asks for another protocol.
    pub(crate) switch: Switch,
    /// The client, where trusted proxies stand between it and us.
    pub(crate) remote: Option<IpAddr>,
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
}

/// The target before a rule has written another: nobody else may say so.
pub(super) const ORIGINAL_PATH: HeaderName = HeaderName::from_static("x-envoy-original-path");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

impl Head {
    /// Reads a head, and normalises its path so far. `host` is what was asked for.
    pub(crate) fn read(mut parts: Parts, how: PathNormalization, host: &str) -> Result<Self, Refusal> {
        one_length(&parts)?;
        let authority = authority(&parts, host)?;
        let sent = parts.uri.path_and_query().map_or_else(|| parts.uri.to_string(), ToString::to_string);
        let switch = switch(&mut parts)?;
        parts.uri = target(&parts.uri, &authority, how)?;
        parts.headers.remove(HOST);
        parts.headers.remove(ORIGINAL_PATH);
        Ok(Self { parts, authority: authority.to_string(), target: sent, switch, remote: None })
    }

    /// The head, as rules and policies see it.
    pub(crate) fn view<'a>(&'a self, connection: &Connection) -> RequestView<'a> {
        let (destination_ip, port) = (connection.target.ip(), connection.target.port());
        RequestView {
            method: &self.parts.method,
            scheme: "http",
            authority: &self.authority,
            path: self.parts.uri.path(),
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

    /// Writes another path and query. What a rule makes of a path can mean another one again, as `/a../b` does with
    /// `/a` written over by `/c/`: one that leaves its folder is refused.
    pub(crate) fn set_path(&mut self, path: &str, how: PathNormalization) -> Result<(), Refusal> {
        let bad = || Refusal::bad_request("path_rewrite");
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        let is_up = |part: &str| part.to_ascii_lowercase().replace("%2e", ".") == "..";
        if how != PathNormalization::None && path.split(['/', '\\']).any(is_up) {
            return Err(bad());
        }
        let path = normalise(path, how).map_err(|_| bad())?;
        let path = match query {
            Some(query) => PathAndQuery::try_from(format!("{path}?{query}")),
            None => PathAndQuery::try_from(&*path),
        };
        let mut parts = self.parts.uri.clone().into_parts();
        parts.path_and_query = Some(path.map_err(|_| bad())?);
        self.parts.uri = Uri::from_parts(parts).map_err(|_| bad())?;
        Ok(())
    }
}

impl From<HeadError> for Refusal {
    fn from(error: HeadError) -> Self {
        Self::bad_request(error.word())
    }
}

/// Which other protocol is asked for: WebSocket, or none; any other would be a tunnel for requests that nobody judges.
/// HTTP/2's way of asking becomes HTTP/1.1's, so that one is left. CONNECT always gets 405: a service is asked for by
/// its address, and the waypoint is no proxy to others.
fn switch(parts: &mut Parts) -> Result<Switch, Refusal> {
    let asks = take_connection(&mut parts.headers) && parts.version == Version::HTTP_11;
    let is_websocket = |token: &[u8]| token.trim_ascii().eq_ignore_ascii_case(b"websocket");
    let tokens = parts.headers.get_all(UPGRADE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let upgrades = asks && parts.headers.contains_key(UPGRADE) && tokens.into_iter().all(is_websocket);
    // What is asked for in passing is left out, as HTTP/2 is (RFC 9113 §3.1).
    parts.headers.remove(UPGRADE);
    parts.headers.remove(HTTP2_SETTINGS);
    let switch = if parts.method == Method::CONNECT {
        let protocol = parts.extensions.remove::<Protocol>();
        let protocol = protocol.ok_or_else(|| Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "connect"))?;
        if !is_websocket(protocol.as_ref()) {
            return Err(Refusal::bad_request("unknown_protocol"));
        }
        parts.headers.entry(header::SEC_WEBSOCKET_KEY).or_insert_with(websocket_key);
        parts.method = Method::GET;
        Switch::ExtendedConnect
    } else if upgrades {
        Switch::Upgrade
    } else {
        return Ok(Switch::No);
    };
    parts.headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    parts.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    Ok(switch)
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
        Head::read(request.body(()).unwrap().into_parts().0, PathNormalization::default(), "asked")
    }

    #[test]
    fn there_is_one_reading() {
        let head = read(Request::get("/a/../b/%7Ec?x=%2e").header("host", "web:80")).unwrap();
        assert_eq!(head.parts.uri, "http://web:80/b/~c?x=%2e");
        assert_eq!((head.authority.as_str(), head.parts.headers.get(HOST)), ("web:80", None));
        let absolute = read(Request::get("http://web/a").header("host", "other")).unwrap();
        assert_eq!(absolute.authority, "web");
        let https = read(Request::get("https://web/a")).unwrap();
        assert_eq!(https.parts.uri, "http://web/a");
        let old = read(Request::get("/a").version(Version::HTTP_10)).unwrap();
        assert_eq!((old.authority.as_str(), old.parts.uri.to_string()), ("asked", "http://asked/a".to_owned()));
    }

    #[test]
    fn what_has_two_is_refused() {
        let get = || Request::get("/");
        for (what, request) in [
            ("no host", get()),
            ("two hosts", get().header("host", "a").header("host", "b")),
            ("user", get().header("host", "u@a")),
            ("no host name", get().header("host", "a b")),
            ("empty port", get().header("host", "a:")),
            ("no port", get().header("host", "a:http")),
            ("large port", get().header("host", "a:65536")),
            ("empty port of v6", get().header("host", "[::1]:")),
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
        for (protocols, version, expected) in [
            (&["websocket"][..], Version::HTTP_11, Switch::Upgrade),
            (&["WebSocket"], Version::HTTP_11, Switch::Upgrade),
            (&["websocket"], Version::HTTP_10, Switch::No),
            (&["h2c"], Version::HTTP_11, Switch::No),
            (&["h2c, websocket"], Version::HTTP_11, Switch::No),
            (&["websocket", "h2c"], Version::HTTP_11, Switch::No),
            (&["echo"], Version::HTTP_11, Switch::No),
        ] {
            let request = Request::get("/").version(version).header("host", "a").header("connection", "x, Upgrade");
            let request = request.header("x", "y").header("http2-settings", "AAMAAABk");
            let request = protocols.iter().fold(request, |request, protocol| request.header("upgrade", *protocol));
            let head = read(request).unwrap();
            assert_eq!(head.switch, expected, "{protocols:?}");
            assert_eq!(head.parts.headers.contains_key(UPGRADE), expected == Switch::Upgrade, "{protocols:?}");
            assert!(!head.parts.headers.contains_key("http2-settings") && !head.parts.headers.contains_key("x"));
        }
        let connect = |to, protocol: Option<&'static str>| {
            let request = Request::connect(to).version(Version::HTTP_2);
            read(match protocol {
                Some(protocol) => request.extension(Protocol::from_static(protocol)),
                None => request,
            })
        };
        assert_eq!(connect("a:80", None).unwrap_err().status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(connect("http://a/", Some("connect-udp")).unwrap_err().status, StatusCode::BAD_REQUEST);
        let extended = connect("http://a/chat", Some("websocket")).unwrap();
        assert_eq!((extended.switch, extended.parts.method), (Switch::ExtendedConnect, Method::GET));
    }

    #[test]
    fn what_connection_names_is_gone_before_anything_is_added() {
        let request = Request::get("/").header("host", "a").header("connection", "close, X-Forwarded-For, Host, TE");
        let head = read(request.header("x-forwarded-for", "b").header("te", "trailers")).unwrap();
        let left: Vec<_> = head.parts.headers.keys().map(HeaderName::as_str).collect();
        assert_eq!((left, head.authority.as_str()), (vec!["te"], "a"));
    }

    #[test]
    fn a_path_that_is_written_over_stays_in_its_folder() {
        for (path, expected) in [
            ("/c/b?x=/../y", Some("/c/b?x=/../y")),
            ("/c/./%7eb", Some("/c/~b")),
            ("/c/../b", None),
            ("/c/%2E./b", None),
            ("/c\\..\\b", None),
            ("/c/%zz", None),
            ("/c/#b", None),
        ] {
            let mut head = read(Request::get("/a").header("host", "web")).unwrap();
            let set = head.set_path(path, PathNormalization::default());
            let set = set.map(|()| head.parts.uri.path_and_query().unwrap().to_string());
            assert_eq!(set.as_deref().ok(), expected, "{path}");
        }
    }
}
