//! The values of a policy's fields. A value that could never match is an error: in a DENY it would
//! silently allow.

use std::net::IpAddr;
use std::num::NonZeroU16;
use std::sync::Arc;

use ambit_model::{SPIFFE_SCHEME, ServiceAccountMatch, StringMatch, canonical_ip};
use ambit_resources::{FieldPath, is_name};
use ipnet::{IpNet, Ipv6Net};

use crate::Problem;
use crate::findings::Findings;

/// Texts with the users' stars.
pub(crate) fn patterns(values: &[String], at: &FieldPath, findings: &mut Findings<'_>) -> Vec<StringMatch> {
    all(values, at, findings, pattern)
}

/// A text with a star, or none: one, and that at one end; any other would be taken for a letter.
pub(crate) fn pattern(value: &str) -> Result<StringMatch, Problem> {
    let inner = value.strip_suffix('*').or_else(|| value.strip_prefix('*')).unwrap_or(value);
    match inner.contains('*') {
        _ if value.is_empty() => Err(Problem::EmptyValue),
        true => Err(Problem::Pattern { value: value.to_owned() }),
        false => Ok(StringMatch::parse(value)),
    }
}

/// Principals: as [`patterns`], and with or without the scheme.
pub(crate) fn principals(values: &[String], at: &FieldPath, findings: &mut Findings<'_>) -> Vec<StringMatch> {
    let bare: Vec<String> =
        values.iter().map(|value| value.strip_prefix(SPIFFE_SCHEME).unwrap_or(value).to_owned()).collect();
    patterns(&bare, at, findings)
}

/// `<service account>` of the policy's namespace, or `<namespace>/<service account>`.
pub(crate) fn service_accounts(
    values: &[String],
    namespace: &str,
    at: &FieldPath,
    findings: &mut Findings<'_>,
) -> Vec<ServiceAccountMatch> {
    all(values, at, findings, |value| {
        let (namespace, account) = value.split_once('/').unwrap_or((namespace, value));
        if !is_name(namespace, false) || !is_name(account, true) {
            return Err(Problem::ServiceAccount { value: value.to_owned() });
        }
        Ok(ServiceAccountMatch { namespace: Arc::from(namespace), service_account: Arc::from(account) })
    })
}

/// Addresses and address blocks.
pub(crate) fn blocks(values: &[String], at: &FieldPath, findings: &mut Findings<'_>) -> Vec<IpNet> {
    all(values, at, findings, |value| {
        let block = value.parse::<IpNet>().ok().or_else(|| value.parse::<IpAddr>().ok().map(IpNet::from));
        block.map(canonical).ok_or_else(|| Problem::Cidr { value: value.to_owned() })
    })
}

/// Ports.
pub(crate) fn ports(values: &[String], at: &FieldPath, findings: &mut Findings<'_>) -> Vec<u16> {
    all(values, at, findings, |value| port(value).ok_or_else(|| Problem::Port { value: value.to_owned() }))
}

/// A port by its digits.
pub(crate) fn port(text: &str) -> Option<u16> {
    let digits = Some(text).filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?;
    digits.parse().ok().map(NonZeroU16::get)
}

/// Connections come with canonical addresses, so a block of v4-mapped ones must be the v4 block.
fn canonical(block: IpNet) -> IpNet {
    let mapped = |block: Ipv6Net| {
        let length = block.prefix_len().checked_sub(96)?;
        let address = canonical_ip(block.network().into());
        address.is_ipv4().then(|| IpNet::new(address, length).ok()).flatten()
    };
    match block {
        IpNet::V6(v6) => mapped(v6).unwrap_or_else(|| block.trunc()),
        IpNet::V4(_) => block.trunc(),
    }
}

/// Reads every value, pointing out those that cannot be.
fn all<T>(
    values: &[String],
    at: &FieldPath,
    findings: &mut Findings<'_>,
    read: impl Fn(&str) -> Result<T, Problem>,
) -> Vec<T> {
    let mut found = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        let result = if value.is_empty() { Err(Problem::EmptyValue) } else { read(value) };
        match result {
            Ok(value) => found.push(value),
            Err(problem) => findings.error(at.index(index), problem),
        }
    }
    found
}
