//! Where a client is sent.

use std::borrow::Cow;

use crate::{MatchedPath, Redirect, RedirectPort, RequestView, authority};

impl Redirect {
    /// The answer's `Location`, in full. The query stays, unless the new path brings one of its own.
    #[must_use]
    pub fn location(&self, request: &RequestView<'_>, matched: MatchedPath) -> String {
        let scheme = self.scheme.as_deref().unwrap_or(request.scheme);
        let (host, named_port) = authority::split(self.host.as_deref().unwrap_or(request.authority));
        let port = match self.port {
            // The port of a host that is written over is none of the new host's.
            RedirectPort::AsAsked if self.host.is_some() || scheme == request.scheme => named_port.map(Cow::Borrowed),
            RedirectPort::AsAsked | RedirectPort::OfScheme => None,
            RedirectPort::FromRequest => with_number(request.connection.port, scheme),
            RedirectPort::Number(number) => with_number(number, scheme),
        };
        let path = match &self.path {
            Some(path) => path.path_and_query(matched, request.path, request.query),
            None => request.query.map_or(request.path.to_owned(), |query| format!("{}?{query}", request.path)),
        };
        match port {
            // HTTP/1.0 needs no host: then the client knows better where it is. Two slashes would name a host.
            _ if host.is_empty() => format!("/{}", path.trim_start_matches('/')),
            Some(port) => format!("{scheme}://{host}:{port}{path}"),
            None => format!("{scheme}://{host}{path}"),
        }
    }
}

/// A port, unless it goes without saying.
fn with_number(port: u16, scheme: &str) -> Option<Cow<'static, str>> {
    let needless = matches!((scheme, port), ("http", 80) | ("https", 443));
    (!needless).then(|| Cow::Owned(port.to_string()))
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::PathRewrite;
    use crate::fixtures::Asked;

    fn redirect() -> Redirect {
        Redirect {
            status: StatusCode::MOVED_PERMANENTLY,
            scheme: None,
            host: None,
            port: RedirectPort::AsAsked,
            path: None,
        }
    }

    #[test]
    fn without_a_host_no_path_becomes_one() {
        let asked = Asked { authority: String::new(), ..Asked::of_path("//evil.example/x") };
        assert_eq!(redirect().location(&asked.view(), MatchedPath::Whole), "/evil.example/x");
    }

    #[test]
    fn every_part_by_its_rule() {
        use RedirectPort::{AsAsked, FromRequest, Number, OfScheme};
        let to = |scheme: Option<&str>, host: Option<&str>, port| Redirect {
            scheme: scheme.map(Into::into),
            host: host.map(Into::into),
            port,
            ..redirect()
        };
        // The request came to port 8080, over http.
        for (authority, redirect, expected) in [
            ("a", redirect(), "http://a/x?q"),
            ("a:8080", redirect(), "http://a:8080/x?q"),
            ("a:8080", to(Some("http"), None, AsAsked), "http://a:8080/x?q"),
            ("a:8080", to(Some("https"), None, AsAsked), "https://a/x?q"),
            ("a:8080", to(None, Some("b"), AsAsked), "http://b/x?q"),
            ("a:8080", to(Some("https"), Some("b:8443"), AsAsked), "https://b:8443/x?q"),
            ("a", to(None, None, FromRequest), "http://a:8080/x?q"),
            ("a:80", to(None, Some("b"), FromRequest), "http://b:8080/x?q"),
            ("a:8080", to(None, None, OfScheme), "http://a/x?q"),
            ("a:8080", to(None, None, Number(80)), "http://a/x?q"),
            ("a:8080", to(Some("https"), None, Number(80)), "https://a:80/x?q"),
            ("a", to(Some("https"), None, Number(443)), "https://a/x?q"),
            ("a", to(None, None, Number(81)), "http://a:81/x?q"),
            ("[::1]:8080", to(None, None, Number(81)), "http://[::1]:81/x?q"),
            ("", redirect(), "/x?q"),
            ("", to(None, Some("b"), AsAsked), "http://b/x?q"),
            ("a", Redirect { path: Some(PathRewrite::Full("/y".into())), ..redirect() }, "http://a/y?q"),
            ("a", Redirect { path: Some(PathRewrite::Full("/y?z".into())), ..redirect() }, "http://a/y?z"),
            ("a", Redirect { path: Some(PathRewrite::Prefix("/y".into())), ..redirect() }, "http://a/y/x?q"),
        ] {
            let asked =
                Asked { authority: authority.into(), path: "/x".into(), query: Some("q".into()), ..Asked::default() };
            let request = Asked { port: 8080, ..asked };
            assert_eq!(
                redirect.location(&request.view(), MatchedPath::Elements(0)),
                expected,
                "{authority} {redirect:?}"
            );
        }
    }
}
