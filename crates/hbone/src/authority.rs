//! The `:authority` of a CONNECT request: where the connection is for.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ambit_model::TunnelTarget;

/// Longest host name (RFC 1035 §2.3.4, without the final dot).
const MAX_HOST: usize = 253;
/// Longest authority: a host name, a colon and five digits.
const MAX_LEN: usize = MAX_HOST + 6;

/// Where a tunnelled connection is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Authority {
    /// An address: `10.0.0.1:80` or `[fd00::1]:80`.
    Address(TunnelTarget),
    /// A host name, resolved by the peer: `web.shop.svc.cluster.local:80`. In lower case.
    Host {
        /// The name.
        name: Box<str>,
        /// The port.
        port: u16,
    },
}

/// Why a text is not an authority.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// Longer than any authority may be.
    #[error("an authority of {0} bytes is longer than {MAX_LEN}")]
    TooLong(usize),
    /// No port, or not a number from 1 to 65535.
    #[error("the authority has no valid port")]
    Port,
    /// Neither an address nor a host name.
    #[error("the authority names neither an address nor a host")]
    Host,
}

/// Reads `ip:port`, `[v6]:port` or `hostname:port`.
///
/// # Errors
/// When the text is none of these.
pub fn parse(text: &str) -> Result<Authority, AuthorityError> {
    if text.len() > MAX_LEN {
        return Err(AuthorityError::TooLong(text.len()));
    }
    let (host, port) = text.rsplit_once(':').ok_or(AuthorityError::Port)?;
    let port = parse_port(port)?;
    if let Some(bracketed) = host.strip_prefix('[') {
        let inner = bracketed.strip_suffix(']').ok_or(AuthorityError::Host)?;
        let ip: Ipv6Addr = inner.parse().map_err(|_| AuthorityError::Host)?;
        return Ok(address(ip.into(), port));
    }
    if let Ok(ip) = host.parse::<Ipv4Addr>() {
        return Ok(address(ip.into(), port));
    }
    if !is_host(host) {
        return Err(AuthorityError::Host);
    }
    Ok(Authority::Host { name: host.to_ascii_lowercase().into(), port })
}

fn address(ip: IpAddr, port: u16) -> Authority {
    Authority::Address(TunnelTarget::new(SocketAddr::new(ip, port)))
}

/// Digits only: `u16::from_str` alone would take a plus sign and leading zeros.
fn parse_port(text: &str) -> Result<u16, AuthorityError> {
    if text.starts_with('0') || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(AuthorityError::Port);
    }
    text.parse().map_err(|_| AuthorityError::Port)
}

/// Whether `name` is a host name. One whose last label is a number would be a misspelt address
/// (`10.0.0.300`), which no resolver should ever see.
fn is_host(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= MAX_HOST && name.split('.').all(is_label) && !last.bytes().all(|b| b.is_ascii_digit())
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(target) => target.fmt(f),
            Self::Host { name, port } => write!(f, "{name}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_addresses_and_names() {
        for (text, written) in [
            ("10.0.0.1:80", "10.0.0.1:80"),
            ("[fd00::1]:15008", "[fd00::1]:15008"),
            ("[::ffff:10.0.0.1]:80", "10.0.0.1:80"),
            ("Web.shop.svc.cluster.local:1", "web.shop.svc.cluster.local:1"),
            ("a_b-c:65535", "a_b-c:65535"),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), written);
        }
    }

    #[test]
    fn refuses_everything_else() {
        use AuthorityError::{Host, Port};
        for (text, error) in [
            ("", Port),
            ("10.0.0.1", Port),
            ("10.0.0.1:", Port),
            ("10.0.0.1:0", Port),
            ("10.0.0.1:+80", Port),
            ("10.0.0.1:080", Port),
            ("10.0.0.1:65536", Port),
            (":80", Host),
            ("10.0.0.300:80", Host),
            ("10.1:80", Host),
            ("fd00::1:80", Host),
            ("[fd00::1:80", Host),
            ("[fe80::1%eth0]:80", Host),
            ("[10.0.0.1]:80", Host),
            ("a..b:80", Host),
            ("a.b.:80", Host),
            ("user@host:80", Host),
            ("h\u{f6}st:80", Host),
        ] {
            assert_eq!(parse(text), Err(error), "{text:?}");
        }
        assert_eq!(parse(&"a".repeat(300)), Err(AuthorityError::TooLong(300)));
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC*") {
            drop(parse(&text));
        }

        #[test]
        fn reads_what_it_writes(text in "(\\[[0-9a-f:]{2,20}\\]|[a-z0-9.-]{1,20}):[0-9]{1,5}") {
            if let Ok(authority) = parse(&text) {
                prop_assert_eq!(parse(&authority.to_string()), Ok(authority));
            }
        }

        #[test]
        fn every_address_round_trips(ip: IpAddr, port in 1..=u16::MAX) {
            let authority = address(ip, port);
            prop_assert_eq!(parse(&authority.to_string()), Ok(authority));
        }
    }
}
