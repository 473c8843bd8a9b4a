//! What browsers of other origins are told.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::{Cors, Pattern, RequestView};

/// What becomes of a request, as far as CORS has a say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Preflight {
    /// It is no preflight: it goes on.
    NotOne,
    /// It is answered 200 with these headers and no body.
    Answer(HeaderMap),
    /// It is a preflight of an origin that is not allowed, and the backend's to answer.
    Forward,
}

impl Cors {
    /// What becomes of a request.
    #[must_use]
    pub fn preflight(&self, request: &RequestView<'_>) -> Preflight {
        let asked = request.headers.get(ACCESS_CONTROL_REQUEST_METHOD).filter(|method| !method.is_empty());
        let (&Method::OPTIONS, Some(origin), Some(method)) = (request.method, request.headers.get(ORIGIN), asked)
        else {
            return Preflight::NotOne;
        };
        match self.allowed(origin) {
            Some(allowed) => Preflight::Answer(self.answer(allowed, method, request.headers)),
            None if self.forward_unmatched => Preflight::Forward,
            None => Preflight::Answer(HeaderMap::new()),
        }
    }

    /// Tells the browser, in the response to a request of an origin, what its script may see of it. Says
    /// nothing to an origin that is not allowed.
    pub fn apply(&self, origin: Option<&HeaderValue>, response: &mut HeaderMap) {
        let Some(allowed) = origin.and_then(|origin| self.allowed(origin)) else { return };
        self.name_origin(allowed, response);
        put_list(response, ACCESS_CONTROL_EXPOSE_HEADERS, self.expose.iter().map(|name| &**name));
    }

    /// How an origin is named in answers to it, if it is allowed.
    fn allowed(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        let text = origin.to_str().ok()?;
        let by = self.origins.iter().find(|wanted| wanted.matches(text))?;
        let anybody = *by == Pattern::Present && !self.credentials;
        Some(if anybody { HeaderValue::from_static("*") } else { origin.clone() })
    }

    fn answer(&self, origin: HeaderValue, method: &HeaderValue, request: &HeaderMap) -> HeaderMap {
        let mut headers = HeaderMap::new();
        self.name_origin(origin, &mut headers);
        // With credentials a browser takes `*` for a name: then it is told what it asked for.
        if self.any_method {
            let any = if self.credentials { method.clone() } else { HeaderValue::from_static("*") };
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, any);
        } else {
            put_list(&mut headers, ACCESS_CONTROL_ALLOW_METHODS, self.methods.iter().map(Method::as_str));
        }
        if self.credentials && self.headers.iter().any(|name| **name == *"*") {
            if let Some(asked) = request.get(ACCESS_CONTROL_REQUEST_HEADERS) {
                headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
            }
        } else {
            put_list(&mut headers, ACCESS_CONTROL_ALLOW_HEADERS, self.headers.iter().map(|name| &**name));
        }
        if let Some(age) = self.max_age {
            headers.insert(ACCESS_CONTROL_MAX_AGE, age.as_secs().into());
        }
        headers
    }

    fn name_origin(&self, origin: HeaderValue, headers: &mut HeaderMap) {
        if origin != "*" {
            // A cache must not give one origin's answer to another.
            headers.append(VARY, HeaderValue::from_static("origin"));
        }
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if self.credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }
}

/// A list of words in one header; none where there is no word, or one that no header can hold.
fn put_list<'a>(headers: &mut HeaderMap, name: HeaderName, words: impl Iterator<Item = &'a str>) {
    let text = words.collect::<Vec<_>>().join(",");
    if let Some(value) = HeaderValue::from_str(&text).ok().filter(|value| !value.is_empty()) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fixtures::Asked;

    fn cors() -> Cors {
        Cors {
            origins: vec![Pattern::Exact("https://a.example".into()), Pattern::Prefix("https://b.".into())],
            methods: vec![Method::GET, Method::PUT],
            headers: vec!["x-a".into(), "x-b".into()],
            expose: vec!["x-c".into(), "x-d".into()],
            max_age: Some(Duration::from_secs(60)),
            credentials: true,
            any_method: false,
            forward_unmatched: true,
        }
    }

    fn asking(origin: &str) -> Asked {
        Asked { method: Method::OPTIONS, ..Asked::default() }
            .with("origin", origin)
            .with("access-control-request-method", "PUT")
            .with("access-control-request-headers", "x-b")
    }

    fn answer(cors: &Cors, origin: &str) -> Vec<(String, String)> {
        match cors.preflight(&asking(origin).view()) {
            Preflight::Answer(headers) => listed(&headers),
            preflight @ (Preflight::NotOne | Preflight::Forward) => panic!("{preflight:?}"),
        }
    }

    fn listed(headers: &HeaderMap) -> Vec<(String, String)> {
        let mut list: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str().replace("access-control-", ""), value.to_str().unwrap().to_owned()))
            .collect();
        list.sort_unstable();
        list
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_preflight_is_answered() {
        let expected = pairs(&[
            ("allow-credentials", "true"),
            ("allow-headers", "x-a,x-b"),
            ("allow-methods", "GET,PUT"),
            ("allow-origin", "https://b.example"),
            ("max-age", "60"),
            ("vary", "origin"),
        ]);
        assert_eq!(answer(&cors(), "https://b.example"), expected);
    }

    #[test]
    fn anything_goes_by_a_star_or_without_credentials_by_name() {
        let any = Cors {
            origins: vec![Pattern::Present],
            methods: Vec::new(),
            any_method: true,
            headers: vec!["*".into()],
            max_age: None,
            credentials: false,
            ..cors()
        };
        let stars = pairs(&[("allow-headers", "*"), ("allow-methods", "*"), ("allow-origin", "*")]);
        assert_eq!(answer(&any, "https://z"), stars);
        let named = pairs(&[
            ("allow-credentials", "true"),
            ("allow-headers", "x-b"),
            ("allow-methods", "PUT"),
            ("allow-origin", "https://z"),
            ("vary", "origin"),
        ]);
        assert_eq!(answer(&Cors { credentials: true, ..any }, "https://z"), named);
    }

    #[test]
    fn what_is_no_preflight_goes_on() {
        let without = |name: &str| {
            let mut asked = asking("https://a.example");
            asked.headers.remove(name);
            asked
        };
        for asked in [
            without("origin"),
            without("access-control-request-method"),
            Asked { method: Method::GET, ..asking("https://a.example") },
        ] {
            assert_eq!(cors().preflight(&asked.view()), Preflight::NotOne, "{asked:?}");
        }
    }

    #[test]
    fn other_origins_are_the_backends_or_nobodys() {
        let asked = asking("https://evil.example");
        assert_eq!(cors().preflight(&asked.view()), Preflight::Forward);
        let ignoring = Cors { forward_unmatched: false, ..cors() };
        assert_eq!(ignoring.preflight(&asked.view()), Preflight::Answer(HeaderMap::new()));
    }

    #[test]
    fn responses_name_an_allowed_origin_only() {
        let told = |origin: Option<&'static str>| {
            let mut response = HeaderMap::new();
            response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("https://backend"));
            cors().apply(origin.map(HeaderValue::from_static).as_ref(), &mut response);
            listed(&response)
        };
        let allowed = pairs(&[
            ("allow-credentials", "true"),
            ("allow-origin", "https://a.example"),
            ("expose-headers", "x-c,x-d"),
            ("vary", "origin"),
        ]);
        let untouched = pairs(&[("allow-origin", "https://backend")]);
        assert_eq!(told(Some("https://a.example")), allowed);
        assert_eq!(told(Some("https://evil.example")), untouched);
        assert_eq!(told(None), untouched);
    }
}
