//! Where tokens are in a request.

use std::sync::Arc;

use ambit_l7::{JwtHeader, JwtRule};
use http::header::{AUTHORIZATION, COOKIE};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use super::MAX_TOKENS;

/// A token, and the rules at whose places it was found.
#[derive(Debug)]
pub(super) struct Found<'r> {
    pub(super) token: String,
    pub(super) rules: Vec<&'r Arc<JwtRule>>,
}

impl<'r> Found<'r> {
    fn add(&mut self, rule: &'r Arc<JwtRule>) {
        if !self.rules.iter().any(|known| Arc::ptr_eq(known, rule)) {
            self.rules.push(rule);
        }
    }
}

/// The tokens of a request, each once. One more than there may be is the last that is looked for: to compare each
/// with all before it takes time that a client could make as long as it likes.
pub(super) fn find<'r>(rules: &'r [Arc<JwtRule>], request: &Parts) -> Vec<Found<'r>> {
    let mut all: Vec<Found<'r>> = Vec::new();
    for rule in rules {
        each(rule, request, |token| {
            if let Some(found) = all.iter_mut().find(|found| found.token == token) {
                found.add(rule);
            } else if all.len() <= MAX_TOKENS {
                all.push(Found { token: token.to_owned(), rules: vec![rule] });
            }
        });
    }
    all
}

/// Takes a token out of its rule's places.
pub(super) fn remove(rule: &JwtRule, token: &str, request: &mut Parts) {
    for (name, prefix) in headers(rule) {
        keep_values(&mut request.headers, name, |value| {
            (in_header(value, prefix) != Some(token)).then(|| value.clone())
        });
    }
    for wanted in &rule.from_cookies {
        let is_other = |cookie: &&str| in_pair(cookie, wanted) != Some(token);
        keep_values(&mut request.headers, &COOKIE, |value| {
            let kept: Vec<_> = value.to_str().ok()?.split(';').map(str::trim).filter(is_other).collect();
            if kept.is_empty() { None } else { HeaderValue::try_from(kept.join("; ")).ok() }
        });
    }
    for wanted in params(rule) {
        let Some(query) = request.uri.query() else { break };
        let is_other = |pair: &&str| in_pair(pair, wanted) != Some(token);
        let kept: Vec<_> = query.split('&').filter(is_other).collect();
        request.uri = with_query(&request.uri, &kept.join("&"));
    }
}

/// Calls for each token at a rule's places.
fn each<'t>(rule: &JwtRule, request: &'t Parts, mut found: impl FnMut(&'t str)) {
    for (name, prefix) in headers(rule) {
        request.headers.get_all(name).iter().filter_map(|value| in_header(value, prefix)).for_each(&mut found);
    }
    let cookies = request.headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    for cookie in cookies.flat_map(|value| value.split(';')) {
        rule.from_cookies.iter().filter_map(|wanted| in_pair(cookie.trim(), wanted)).for_each(&mut found);
    }
    for pair in request.uri.query().into_iter().flat_map(|query| query.split('&')) {
        params(rule).filter_map(|wanted| in_pair(pair, wanted)).for_each(&mut found);
    }
}

/// Whether a rule says nothing of places.
fn by_default(rule: &JwtRule) -> bool {
    rule.from_headers.is_empty() && rule.from_params.is_empty() && rule.from_cookies.is_empty()
}

fn headers(rule: &JwtRule) -> impl Iterator<Item = (&HeaderName, &str)> {
    let default = by_default(rule).then_some((&AUTHORIZATION, "Bearer "));
    default.into_iter().chain(rule.from_headers.iter().map(|JwtHeader { name, prefix }| (name, &**prefix)))
}

fn params(rule: &JwtRule) -> impl Iterator<Item = &str> {
    by_default(rule).then_some("access_token").into_iter().chain(rule.from_params.iter().map(|name| &**name))
}

/// What stands behind the prefix, which like all schemes of authentication has no case. A value in other letters than
/// ASCII is an odd token, not none.
fn in_header<'t>(value: &'t HeaderValue, prefix: &str) -> Option<&'t str> {
    let Ok(text) = value.to_str() else { return Some("") };
    let (start, rest) = text.split_at_checked(prefix.len())?;
    let token = rest.trim();
    (start.eq_ignore_ascii_case(prefix) && !token.is_empty()).then_some(token)
}

/// The value of a pair of this name. Nothing in a token or a usual name is ever escaped.
fn in_pair<'t>(pair: &'t str, wanted: &str) -> Option<&'t str> {
    let (name, value) = pair.split_once('=')?;
    (name == wanted && !value.is_empty()).then_some(value)
}

fn keep_values(headers: &mut HeaderMap, name: &HeaderName, keep: impl Fn(&HeaderValue) -> Option<HeaderValue>) {
    let values: Vec<_> = headers.get_all(name).iter().filter_map(keep).collect();
    headers.remove(name);
    for value in values {
        headers.append(name, value);
    }
}

/// The same address with another query; it is part of one that was valid.
fn with_query(uri: &Uri, query: &str) -> Uri {
    let text = if query.is_empty() { uri.path().to_owned() } else { format!("{}?{query}", uri.path()) };
    let mut parts = uri.clone().into_parts();
    if let Ok(path) = PathAndQuery::try_from(text) {
        parts.path_and_query = Some(path);
    }
    Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
}
