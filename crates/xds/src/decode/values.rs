//! The values fields hold.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ambit_model::{AppProtocol, CidrMatch, PolicyKey, ServiceKey, canonical_ip};
use ipnet::IpNet;

use super::Fault;
use crate::proto::workload as message;

pub(super) fn invalid(field: &'static str, value: impl std::fmt::Debug) -> Fault {
    Fault::Invalid { field, value: format!("{value:?}") }
}

pub(super) fn required(field: &'static str, text: String) -> Result<String, Fault> {
    if text.is_empty() { Err(Fault::Missing { field }) } else { Ok(text) }
}

/// An enum's value, refused if this version does not know it.
pub(super) fn known<T: TryFrom<i32>>(field: &'static str, value: i32) -> Result<T, Fault> {
    T::try_from(value).map_err(|_| invalid(field, value))
}

/// Four or sixteen bytes; an IPv6 address that means an IPv4 one is that one.
pub(super) fn ip(field: &'static str, bytes: &[u8]) -> Result<IpAddr, Fault> {
    Ok(canonical_ip(plain_ip(field, bytes)?))
}

fn plain_ip(field: &'static str, bytes: &[u8]) -> Result<IpAddr, Fault> {
    let v4 = <[u8; 4]>::try_from(bytes).map(Ipv4Addr::from).map(IpAddr::V4);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(Ipv6Addr::from).map(IpAddr::V6)).map_err(|_| invalid(field, bytes))
}

/// A block of addresses. One that is wider than the IPv4 addresses within IPv6 and holds them is refused:
/// it would not hold them here, where they are IPv4.
pub(super) fn block(field: &'static str, address: &[u8], length: u32) -> Result<CidrMatch, Fault> {
    let plain = plain_ip(field, address)?;
    let ip = canonical_ip(plain);
    let mapped = if ip == plain { 0 } else { 96 };
    let length = length.checked_sub(mapped).and_then(|it| u8::try_from(it).ok());
    length.and_then(|length| IpNet::new(ip, length).ok()).ok_or_else(|| invalid(field, (address, mapped)))
}

pub(super) fn port(field: &'static str, port: u32) -> Result<u16, Fault> {
    u16::try_from(port).map_err(|_| invalid(field, port))
}

/// A port something can listen on.
pub(super) fn open_port(field: &'static str, number: u32) -> Result<u16, Fault> {
    match port(field, number)? {
        0 => Err(invalid(field, 0)),
        number => Ok(number),
    }
}

/// A hint, which may be one of a later version.
pub(super) fn app_protocol(value: i32) -> AppProtocol {
    match message::AppProtocol::try_from(value) {
        Ok(message::AppProtocol::Unknown) | Err(_) => AppProtocol::Unknown,
        Ok(message::AppProtocol::Http11) => AppProtocol::Http11,
        Ok(message::AppProtocol::Http2) => AppProtocol::Http2,
        Ok(message::AppProtocol::Grpc) => AppProtocol::Grpc,
        Ok(message::AppProtocol::Tcp) => AppProtocol::Tcp,
        Ok(message::AppProtocol::Tls) => AppProtocol::Tls,
    }
}

pub(super) fn service_key(field: &'static str, text: &str) -> Result<ServiceKey, Fault> {
    let (namespace, hostname) = pair(field, text)?;
    Ok(ServiceKey { namespace: namespace.into(), hostname: hostname.into() })
}

pub(super) fn policy_key(field: &'static str, text: &str) -> Result<PolicyKey, Fault> {
    let (namespace, name) = pair(field, text)?;
    Ok(PolicyKey { namespace: namespace.into(), name: name.into() })
}

/// Two words and one slash.
fn pair<'a>(field: &'static str, text: &'a str) -> Result<(&'a str, &'a str), Fault> {
    let pair = text.split_once('/').filter(|(namespace, name)| !namespace.is_empty() && is_word(name));
    pair.ok_or_else(|| invalid(field, text))
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains('/')
}
