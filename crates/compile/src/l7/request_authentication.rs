//! RequestAuthentication: whose tokens are believed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ambit_l7::{JwtHeader, JwtRule, KeySource};
use ambit_resources::RequestAuthenticationSpec;
use ambit_resources::request_authentication as written;
use http::HeaderName;

use super::L7Problem;
use super::at::At;
use super::cx::Cx;
use super::targets::{Target, targets};
use super::text::header_name;

/// A policy on tokens by itself.
#[derive(Debug)]
pub(crate) struct Tokens {
    pub(crate) targets: BTreeSet<Target>,
    pub(crate) rules: Vec<Arc<JwtRule>>,
}

impl Tokens {
    /// What an object means by itself; nothing for one that is not attached to anything: nobody in this mesh but a
    /// waypoint reads tokens. Worth something only where there are no errors among the findings.
    pub(crate) fn prepare(spec: &RequestAuthenticationSpec, cx: &mut Cx<'_>) -> Option<Self> {
        let found = targets(spec.target_ref.as_ref(), &spec.target_refs, cx);
        let selector = At::SPEC;
        let selector = selector.field("selector");
        match (&found, &spec.selector) {
            (Some(_), Some(_)) => cx.error(&selector, L7Problem::Exclusive { other: "targetRefs" }),
            (None, _) => {
                let reason = "only waypoints read tokens: attach it to one, or to a service, by targetRefs";
                cx.warning(if spec.selector.is_some() { &selector } else { &At::SPEC }, L7Problem::NoEffect { reason });
            }
            (Some(_), None) => {}
        }
        let list = At::SPEC;
        let list = list.field("jwtRules");
        let rules = spec.jwt_rules.iter().enumerate();
        let rules = rules.map(|(i, written)| Arc::new(rule(written, &list.index(i), cx))).collect();
        Some(Self { targets: found?, rules })
    }
}

fn rule(written: &written::JwtRule, at: &At<'_>, cx: &mut Cx<'_>) -> JwtRule {
    if written.issuer.is_empty() {
        cx.error(&at.field("issuer"), L7Problem::Required { what: "the issuer of the tokens" });
    }
    let headers = written.from_headers.iter().enumerate();
    let claims = written.output_claim_to_headers.iter().enumerate();
    let timeout = written.timeout.map_or(DEFAULT_TIMEOUT, |timeout| timeout.0);
    if timeout < Duration::from_millis(1) {
        cx.error(&at.field("timeout"), L7Problem::TooShort { least: "1ms" });
    }
    JwtRule {
        origin: cx.origin_of(at, ""),
        issuer: written.issuer.as_str().into(),
        audiences: names(&written.audiences, &at.field("audiences"), cx),
        keys: keys(written, at, cx),
        from_headers: headers.filter_map(|(i, of)| header(of, &at.field("fromHeaders").index(i), cx)).collect(),
        from_params: names(&written.from_params, &at.field("fromParams"), cx),
        from_cookies: names(&written.from_cookies, &at.field("fromCookies"), cx),
        output_payload: output(&written.output_payload_to_header, &at.field("outputPayloadToHeader"), cx),
        output_claims: claims.filter_map(|(i, of)| claim(of, &at.field("outputClaimToHeaders").index(i), cx)).collect(),
        forward_token: written.forward_original_token,
        timeout,
        space_delimited: names(&written.space_delimited_claims, &at.field("spaceDelimitedClaims"), cx),
    }
}

/// How long keys may take to be fetched: the field's default.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

fn keys(written: &written::JwtRule, at: &At<'_>, cx: &mut Cx<'_>) -> KeySource {
    match (written.jwks.as_str(), written.jwks_uri.as_str()) {
        ("", "") => KeySource::Discovery,
        ("", uri) => {
            let host = uri.strip_prefix("https://").or_else(|| uri.strip_prefix("http://"));
            if host.is_none_or(str::is_empty) || uri.parse::<http::Uri>().is_err() {
                let expected = "an address that begins with https:// or http://";
                cx.error(&at.field("jwksUri"), L7Problem::Value { value: uri.to_owned(), expected });
            }
            KeySource::Uri(uri.into())
        }
        (inline, uri) => {
            if !uri.is_empty() {
                cx.error(&at.field("jwksUri"), L7Problem::Exclusive { other: "jwks" });
            }
            check_key_set(inline, &at.field("jwks"), cx);
            KeySource::Inline(inline.into())
        }
    }
}

/// Keys that are no key set would refuse every token, and nobody would know why.
fn check_key_set(inline: &str, at: &At<'_>, cx: &mut Cx<'_>) {
    let set: Option<serde_json::Value> = serde_json::from_str(inline).ok();
    let keys = set.as_ref().and_then(|set| set.get("keys")).and_then(serde_json::Value::as_array);
    if keys.is_none_or(Vec::is_empty) {
        let value = inline.chars().take(SHOWN).collect();
        cx.error(at, L7Problem::Value { value, expected: "a JSON Web Key Set, {\"keys\": [...]}" });
    }
}

/// So much of a key set that is none is shown.
const SHOWN: usize = 32;

fn header(written: &written::JwtHeader, at: &At<'_>, cx: &mut Cx<'_>) -> Option<JwtHeader> {
    let name = header_name(&written.name, &at.field("name"), cx)?;
    Some(JwtHeader { name, prefix: written.prefix.as_str().into() })
}

fn output(name: &str, at: &At<'_>, cx: &mut Cx<'_>) -> Option<HeaderName> {
    if name.is_empty() { None } else { header_name(name, at, cx) }
}

fn claim(written: &written::ClaimToHeader, at: &At<'_>, cx: &mut Cx<'_>) -> Option<(HeaderName, Arc<[Arc<str>]>)> {
    if written.claim.split('.').any(str::is_empty) {
        let value = written.claim.clone();
        cx.error(&at.field("claim"), L7Problem::Value { value, expected: "a claim, like sub or realm.name" });
        return None;
    }
    let path: Vec<Arc<str>> = written.claim.split('.').map(Arc::from).collect();
    Some((header_name(&written.header, &at.field("header"), cx)?, path.into()))
}

fn names(written: &[String], at: &At<'_>, cx: &mut Cx<'_>) -> Vec<Arc<str>> {
    for (i, _) in written.iter().enumerate().filter(|(_, name)| name.is_empty()) {
        cx.error(&at.index(i), L7Problem::Required { what: "a text that is not empty" });
    }
    written.iter().map(|name| name.as_str().into()).collect()
}

#[cfg(test)]
mod tests;
