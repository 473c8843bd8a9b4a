//! The PROXY protocol header, version 2: who a connection is from and for, ahead of its bytes, for
//! targets that ask for it. The source's identity travels in a TLV of type 0xD0.
//! Specification: <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>, §2.2.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ambit_model::{Identity, IdentityError, PeerAddr, TunnelTarget};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, command PROXY.
const PROXY: u8 = 0x21;
/// TCP over IPv4 and over IPv6.
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
/// Type of the TLV that holds the source's SPIFFE id.
const IDENTITY_TLV: u8 = 0xD0;
/// Longest accepted header after its first 16 bytes: the addresses and one identity of 2048 bytes,
/// with room for TLVs we do not know.
const MAX_BODY: usize = 4096;

/// Who a connection is from and for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyHeader {
    /// The client.
    pub source: PeerAddr,
    /// What the client asked for.
    pub destination: TunnelTarget,
    /// Who the client is, if it proved it.
    pub identity: Option<Identity>,
}

/// Why bytes are not such a header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProxyHeaderError {
    /// Not all of it is there yet.
    #[error("the PROXY header is incomplete")]
    Incomplete,
    /// The bytes do not begin with the signature.
    #[error("no PROXY header of version 2")]
    Signature,
    /// Another version or command than 2 and PROXY.
    #[error("PROXY version and command {0:#04x} are not supported")]
    Command(u8),
    /// Neither TCP over IPv4 nor over IPv6.
    #[error("PROXY address family {0:#04x} is not supported")]
    Family(u8),
    /// Longer than the limit.
    #[error("a PROXY header of {0} bytes is longer than {MAX_BODY}")]
    TooLong(usize),
    /// Addresses or a TLV do not fit in the length given.
    #[error("the PROXY header's fields do not fit its length")]
    Length,
    /// The identity is none.
    #[error("the PROXY header's identity is malformed")]
    Identity(#[source] Option<IdentityError>),
}

/// Reads a header from the beginning of `bytes`; gives it and its length.
///
/// # Errors
/// [`ProxyHeaderError::Incomplete`] when more bytes are needed, else what is wrong with it.
pub fn parse(bytes: &[u8]) -> Result<(ProxyHeader, usize), ProxyHeaderError> {
    let mut rest = Reader(bytes);
    let seen = bytes.len().min(SIGNATURE.len());
    if bytes.get(..seen) != SIGNATURE.get(..seen) {
        return Err(ProxyHeaderError::Signature);
    }
    let (Some(_), Some([command, family]), Some(length)) =
        (rest.take::<12>(), rest.take::<2>(), rest.take().map(u16::from_be_bytes).map(usize::from))
    else {
        return Err(ProxyHeaderError::Incomplete);
    };
    match (command, family) {
        (PROXY, TCP4 | TCP6) => {}
        (PROXY, other) => return Err(ProxyHeaderError::Family(other)),
        (other, _) => return Err(ProxyHeaderError::Command(other)),
    }
    if length > MAX_BODY {
        return Err(ProxyHeaderError::TooLong(length));
    }
    let mut body = Reader(rest.take_slice(length).ok_or(ProxyHeaderError::Incomplete)?);
    let (source, destination) = body.addresses(family).ok_or(ProxyHeaderError::Length)?;
    let identity = body.identity()?;
    let header = ProxyHeader { source: PeerAddr::new(source), destination: TunnelTarget::new(destination), identity };
    Ok((header, bytes.len() - rest.0.len()))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn take_slice(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn ip(&mut self, family: u8) -> Option<IpAddr> {
        if family == TCP4 {
            self.take::<4>().map(|octets| Ipv4Addr::from(octets).into())
        } else {
            self.take::<16>().map(|octets| Ipv6Addr::from(octets).into())
        }
    }

    fn addresses(&mut self, family: u8) -> Option<(SocketAddr, SocketAddr)> {
        let (source, destination) = (self.ip(family)?, self.ip(family)?);
        let (source_port, destination_port) = (u16::from_be_bytes(self.take()?), u16::from_be_bytes(self.take()?));
        Some((SocketAddr::new(source, source_port), SocketAddr::new(destination, destination_port)))
    }

    fn identity(&mut self) -> Result<Option<Identity>, ProxyHeaderError> {
        let mut identity = None;
        while !self.0.is_empty() {
            let (kind, value) = self.tlv().ok_or(ProxyHeaderError::Length)?;
            if kind == IDENTITY_TLV {
                let text = str::from_utf8(value).map_err(|_| ProxyHeaderError::Identity(None))?;
                identity = Some(text.parse().map_err(|error| ProxyHeaderError::Identity(Some(error)))?);
            }
        }
        Ok(identity)
    }

    fn tlv(&mut self) -> Option<(u8, &'a [u8])> {
        let [kind] = self.take()?;
        let length = u16::from_be_bytes(self.take()?);
        Some((kind, self.take_slice(length.into())?))
    }
}

impl ProxyHeader {
    /// The header's bytes. An identity too long for a header (one no peer could have proved) is left out.
    #[must_use]
    pub fn render(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(128);
        let family = match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                body.extend(source.octets().into_iter().chain(destination.octets()));
                TCP4
            }
            (source, destination) => {
                body.extend(v6(source).octets().into_iter().chain(v6(destination).octets()));
                TCP6
            }
        };
        body.extend(self.source.port().to_be_bytes().into_iter().chain(self.destination.port().to_be_bytes()));
        if let Some(identity) = self.identity.as_ref().map(ToString::to_string)
            && let Some(length) =
                u16::try_from(identity.len()).ok().filter(|length| usize::from(*length) <= MAX_BODY / 2)
        {
            body.push(IDENTITY_TLV);
            body.extend(length.to_be_bytes());
            body.extend(identity.into_bytes());
        }
        let mut header = SIGNATURE.to_vec();
        header.extend([PROXY, family]);
        header.extend(u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes());
        header.extend(body);
        header
    }
}

fn v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(source: &str, destination: &str, identity: Option<&str>) -> ProxyHeader {
        ProxyHeader {
            source: PeerAddr::new(source.parse().unwrap()),
            destination: TunnelTarget::new(destination.parse().unwrap()),
            identity: identity.map(|text| text.parse().unwrap()),
        }
    }

    #[test]
    fn writes_the_specified_bytes() {
        let bytes = header("10.0.0.1:258", "10.0.0.2:80", Some("spiffe://t/ns/a/sa/b")).render();
        let mut expected =
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x23\x0a\0\0\x01\x0a\0\0\x02\x01\x02\0\x50\xd0\0\x14".to_vec();
        expected.extend(b"spiffe://t/ns/a/sa/b");
        assert_eq!(bytes, expected);
    }

    #[test]
    fn every_prefix_is_incomplete() {
        let bytes = header("[fd00::1]:1", "10.0.0.2:80", Some("spiffe://t/ns/a/sa/b")).render();
        for end in 0..bytes.len() {
            assert_eq!(parse(&bytes[..end]), Err(ProxyHeaderError::Incomplete), "{end}");
        }
    }

    #[test]
    fn refuses_bad_headers() {
        let good = header("10.0.0.1:1", "10.0.0.2:80", Some("spiffe://t/ns/a/sa/b")).render();
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            parse(&bytes).unwrap_err()
        };
        assert_eq!(with(0, b'G'), ProxyHeaderError::Signature);
        assert_eq!(with(12, 0x20), ProxyHeaderError::Command(0x20));
        assert_eq!(with(13, 0x31), ProxyHeaderError::Family(0x31));
        assert_eq!(with(14, 0xff), ProxyHeaderError::TooLong(0xff23));
        assert_eq!(with(15, 11), ProxyHeaderError::Length);
        assert_eq!(with(15, 13), ProxyHeaderError::Length);
        assert_eq!(with(31, 0xff), ProxyHeaderError::Identity(None));
        assert!(matches!(with(31, b'S'), ProxyHeaderError::Identity(Some(_))));
    }

    proptest! {
        #[test]
        fn never_panics(mut tail: Vec<u8>, signed: bool) {
            if signed {
                tail.splice(..0, SIGNATURE.into_iter().chain([PROXY, TCP4, 0]));
            }
            drop(parse(&tail));
        }

        #[test]
        fn reads_what_it_writes(source: (IpAddr, u16), destination: (IpAddr, u16), account in "[a-z]{1,9}", more: Vec<u8>) {
            let header = ProxyHeader {
                source: PeerAddr::new(source.into()),
                destination: TunnelTarget::new(destination.into()),
                identity: Some(Identity::new("t", "n", account)),
            };
            let mut bytes = header.render();
            let length = bytes.len();
            bytes.extend(more);
            prop_assert_eq!(parse(&bytes), Ok((header, length)));
        }
    }
}
