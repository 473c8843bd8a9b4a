//! Texts of users, as the types of a waypoint hold them.

use std::collections::BTreeMap;
use std::sync::Arc;

use ambit_l7::Pattern;
use ambit_resources::StringMatch;
use http::{HeaderName, HeaderValue, StatusCode};
use ipnet::IpNet;

use super::L7Problem;
use super::at::At;
use super::cx::Cx;
use crate::authorization::values;

/// A condition as it is written; nothing for one that means nothing, which is said.
pub(crate) fn pattern(condition: &StringMatch, at: &At<'_>, cx: &mut Cx<'_>) -> Option<Pattern> {
    Some(match condition {
        StringMatch::Present => Pattern::Present,
        StringMatch::Exact(text) => Pattern::Exact(text.as_str().into()),
        StringMatch::Prefix(text) => Pattern::Prefix(text.as_str().into()),
        StringMatch::Regex(text) => Pattern::Regex(cx.regex(text, &at.field("regex"))?),
    })
}

/// As [`pattern`], where an empty text and the expression `*` ask only that there is a value, as in the field.
pub(crate) fn pattern_or_present(condition: &StringMatch, at: &At<'_>, cx: &mut Cx<'_>) -> Option<Pattern> {
    match condition {
        StringMatch::Exact(text) | StringMatch::Prefix(text) if text.is_empty() => Some(Pattern::Present),
        StringMatch::Regex(text) if text.is_empty() || text == "*" => Some(Pattern::Present),
        StringMatch::Present | StringMatch::Exact(_) | StringMatch::Prefix(_) | StringMatch::Regex(_) => {
            pattern(condition, at, cx)
        }
    }
}

/// The same pattern for texts in lower case; expressions are left as they are.
pub(crate) fn lower(pattern: Pattern) -> Pattern {
    match pattern {
        Pattern::Exact(text) => Pattern::Exact(text.to_lowercase().into()),
        Pattern::Prefix(text) => Pattern::Prefix(text.to_lowercase().into()),
        Pattern::Suffix(text) => Pattern::Suffix(text.to_lowercase().into()),
        same @ (Pattern::Regex(_) | Pattern::Present) => same,
    }
}

pub(crate) fn header_name(name: &str, at: &At<'_>, cx: &mut Cx<'_>) -> Option<HeaderName> {
    let found = HeaderName::from_bytes(name.as_bytes()).ok();
    if found.is_none() {
        cx.error(at, L7Problem::HeaderName { value: name.to_owned() });
    }
    found
}

/// A value of a header. What the field would put something into (`%DOWNSTREAM_…%`) is refused rather than sent
/// as it stands; `%%` is one percent sign.
pub(crate) fn header_value(value: &str, at: &At<'_>, cx: &mut Cx<'_>) -> Option<HeaderValue> {
    if let Some(command) = substitution(value) {
        cx.error(at, L7Problem::Substitution { command: format!("%{command}%") });
        return None;
    }
    let found = HeaderValue::from_str(&value.replace("%%", "%")).ok();
    if found.is_none() {
        cx.error(at, L7Problem::HeaderValue { value: value.to_owned() });
    }
    found
}

/// The first `%COMMAND%` or `%COMMAND(…)%` of a text.
fn substitution(value: &str) -> Option<&str> {
    let mut rest = value;
    loop {
        let (_, after) = rest.split_once('%')?;
        if let Some(literal) = after.strip_prefix('%') {
            rest = literal;
            continue;
        }
        if let Some((command, _)) = after.split_once('%')
            && command.starts_with(|c: char| c.is_ascii_uppercase())
        {
            return Some(command);
        }
        rest = after;
    }
}

/// A status within a range.
pub(crate) fn status(code: u32, least: u16, at: &At<'_>, cx: &mut Cx<'_>) -> Option<StatusCode> {
    let found = u16::try_from(code).ok().filter(|code| (least..=599).contains(code));
    let found = found.and_then(|code| StatusCode::from_u16(code).ok());
    if found.is_none() {
        cx.error(at, L7Problem::Range { value: code.into(), least: least.into(), most: 599 });
    }
    found
}

pub(crate) fn labels(labels: &BTreeMap<String, String>) -> BTreeMap<Arc<str>, Arc<str>> {
    labels.iter().map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect()
}

/// Addresses and address blocks.
pub(crate) fn subnets(subnets: &[String], at: &At<'_>, cx: &mut Cx<'_>) -> Vec<IpNet> {
    if subnets.is_empty() { Vec::new() } else { values::blocks(subnets, &at.path(), &mut cx.findings) }
}

/// A port of a field that may be absent; 0 is none.
pub(crate) fn port(port: Option<u16>, at: &At<'_>, cx: &mut Cx<'_>) -> Option<u16> {
    if port == Some(0) {
        cx.error(at, L7Problem::Range { value: 0, least: 1, most: 65_535 });
    }
    port.filter(|port| *port != 0)
}

/// A text that is there.
pub(crate) fn text(text: &str) -> Option<Arc<str>> {
    (!text.is_empty()).then(|| text.into())
}
