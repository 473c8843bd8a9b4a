//! Which request gets which answer.

use std::fmt::{self, Write};

use ::http::request::Parts;
use ::http::uri::Authority;
use ::http::{HeaderValue, Method, StatusCode, Uri, header};

use super::{Reply, text};

type Handler = Box<dyn Fn(&Parts) -> Reply + Send + Sync>;

struct Route {
    method: Method,
    path: &'static str,
    help: &'static str,
    handler: Handler,
}

/// The endpoints of one server. `/` lists them.
#[derive(Default)]
pub struct Routes {
    routes: Vec<Route>,
    local: bool,
}

impl Routes {
    /// Endpoints that a browser on this host must not be tricked into calling: a page from
    /// elsewhere can post to localhost, and can make its own name resolve to it.
    #[must_use]
    pub fn local() -> Self {
        Self { routes: Vec::new(), local: true }
    }

    /// Adds an endpoint. The handler runs on the server's thread and must not block.
    #[must_use]
    pub fn add(
        mut self,
        method: Method,
        path: &'static str,
        help: &'static str,
        handler: impl Fn(&Parts) -> Reply + Send + Sync + 'static,
    ) -> Self {
        self.routes.push(Route { method, path, help, handler: Box::new(handler) });
        self
    }

    pub(super) fn answer(&self, request: &Parts) -> Reply {
        if self.local && !is_local(request) {
            return text(StatusCode::FORBIDDEN, "only for requests from this host to this host\n");
        }
        let path = request.uri.path();
        let mut here = self.routes.iter().filter(|route| route.path == path).peekable();
        if here.peek().is_none() {
            return if path == "/" {
                text(StatusCode::OK, self.help())
            } else {
                text(StatusCode::NOT_FOUND, "no such page; / lists what there is\n")
            };
        }
        let allowed: Vec<_> = here.clone().map(|route| route.method.as_str()).collect();
        match here.find(|route| route.method == request.method) {
            Some(route) => (route.handler)(request),
            None => not_allowed(&allowed),
        }
    }

    fn help(&self) -> String {
        self.routes.iter().fold(String::new(), |mut out, Route { method, path, help, .. }| {
            // Writing to a string cannot fail.
            writeln!(out, "{:<5} {path:<20} {help}", method.as_str()).ok();
            out
        })
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.routes.iter().map(|route| (&route.method, route.path))).finish()
    }
}

fn not_allowed(allowed: &[&str]) -> Reply {
    let mut reply = text(StatusCode::METHOD_NOT_ALLOWED, "not with this method\n");
    if let Ok(allowed) = HeaderValue::from_str(&allowed.join(", ")) {
        reply.headers_mut().insert(header::ALLOW, allowed);
    }
    reply
}

/// Whether the request names this host, and was not made by a page from another.
fn is_local(request: &Parts) -> bool {
    let mut hosts = request.headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    let host = Authority::try_from(host.as_bytes()).is_ok_and(|host| is_local_host(host.host()));
    let target = request.uri.host().is_none_or(is_local_host);
    let origin =
        request.headers.get_all(header::ORIGIN).iter().all(|origin| {
            Uri::try_from(origin.as_bytes()).is_ok_and(|origin| origin.host().is_some_and(is_local_host))
        });
    host && target && origin
}

fn is_local_host(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || matches!(host, "127.0.0.1" | "[::1]")
}

/// The first value of a query parameter, decoded; `None` where it is missing or no text.
#[must_use]
pub fn query(request: &Parts, name: &str) -> Option<String> {
    decode(values(request, name).next()?)
}

/// All values of a query parameter, decoded; without those that are no text.
pub fn query_all(request: &Parts, name: &str) -> impl Iterator<Item = String> {
    values(request, name).filter_map(decode)
}

fn values<'a>(request: &'a Parts, name: &str) -> impl Iterator<Item = &'a str> {
    let pairs = request.uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(move |(key, _)| *key == name).map(|(_, value)| value)
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            b'+' => b' ',
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

fn hex(digit: u8) -> Option<u8> {
    u8::try_from(char::from(digit).to_digit(16)?).ok()
}

#[cfg(test)]
mod tests {
    use ::http::Request;

    use super::*;

    fn request(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let request = headers.iter().fold(Request::get(uri), |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn query_values_are_decoded() {
        let cases = [
            ("/x", None),
            ("/x?level", None),
            ("/x?levels=a", None),
            ("/x?level=", Some("")),
            ("/x?a=b&level=info,a=debug", Some("info,a=debug")),
            ("/x?level=a%3Ddebug%2c+b&level=later", Some("a=debug, b")),
            ("/x?level=%", None),
            ("/x?level=%4", None),
            ("/x?level=%zz", None),
            ("/x?level=%ff", None),
        ];
        for (uri, expected) in cases {
            assert_eq!(query(&request(uri, &[]), "level").as_deref(), expected, "{uri}");
        }
    }

    #[test]
    fn only_this_host_is_local() {
        type Case = (&'static str, &'static [(&'static str, &'static str)], bool);
        let cases: [Case; 14] = [
            ("/", &[("host", "localhost:15000")], true),
            ("/", &[("host", "LOCALHOST")], true),
            ("/", &[("host", "127.0.0.1:15000")], true),
            ("/", &[("host", "[::1]:15000")], true),
            ("/", &[("host", "localhost"), ("origin", "http://localhost:15000")], true),
            ("/", &[], false),
            ("/", &[("host", "")], false),
            ("/", &[("host", "evil.example:15000")], false),
            ("/", &[("host", "localhost.evil.example")], false),
            ("/", &[("host", "localhost@evil.example")], false),
            ("/", &[("host", "localhost"), ("host", "evil.example")], false),
            ("http://evil.example/", &[("host", "localhost")], false),
            ("/", &[("host", "localhost"), ("origin", "http://evil.example")], false),
            ("/", &[("host", "localhost"), ("origin", "null")], false),
        ];
        for (uri, headers, expected) in cases {
            assert_eq!(is_local(&request(uri, headers)), expected, "{uri} {headers:?}");
        }
    }
}
