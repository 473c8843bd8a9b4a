//! What a request says of those it came from and through: `X-Forwarded-For`, `X-Forwarded-Client-Cert`.

use std::net::{IpAddr, SocketAddr};

use ambit_model::canonical_ip;
use http::{HeaderMap, HeaderName, HeaderValue};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const CLIENT_CERTIFICATE: HeaderName = HeaderName::from_static("x-forwarded-client-cert");

/// What stands before the waypoint, and what the backend is told of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Topology {
    /// Proxies that requests come through before, and whose word counts. Whoever reaches the waypoint without them
    /// can say what they would.
    pub trusted_proxies: u32,
    /// What becomes of `X-Forwarded-Client-Cert`.
    pub certificate: ForwardedCertificate,
}

/// What becomes of `X-Forwarded-Client-Cert`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForwardedCertificate {
    /// It is taken out.
    #[default]
    Sanitized,
    /// It goes on as it came.
    Forwarded,
    /// The client is added.
    Appended,
    /// It says the client and nobody else.
    Set,
}

/// Who asks cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the address in X-Forwarded-For that counts is none")]
pub struct BadForwardedFor;

impl Topology {
    /// The address of the client before all trusted proxies: of `X-Forwarded-For`, the one that the first of them
    /// added. Nothing where there is no proxy, or where the request came through fewer than all: then it is the peer's.
    ///
    /// # Errors
    /// Where there should be an address, and is something else. Policies that go by it could not be kept.
    pub fn client(&self, headers: &HeaderMap) -> Result<Option<IpAddr>, BadForwardedFor> {
        let Some(before) = self.trusted_proxies.checked_sub(1).and_then(|before| usize::try_from(before).ok()) else {
            return Ok(None);
        };
        let values = headers.get_all(FORWARDED_FOR).iter().rev();
        let mut hops = values.flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
        hops.nth(before).map(|hop| address(hop).ok_or(BadForwardedFor)).transpose()
    }
}

/// An address, with or without a port.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?.trim();
    let bare = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let found = hop.parse().ok().or_else(bare).or_else(|| hop.parse().ok().map(|address: SocketAddr| address.ip()));
    found.map(canonical_ip)
}

/// Adds who sent a request to whom it came through before.
pub fn append_hop(headers: &mut HeaderMap, peer: IpAddr) {
    append(headers, FORWARDED_FOR, peer.to_string().as_bytes());
}

impl ForwardedCertificate {
    /// Does that. `client` is asked for the client's own element, where it is needed.
    pub fn apply(self, headers: &mut HeaderMap, client: impl FnOnce() -> Option<HeaderValue>) {
        match self {
            Self::Forwarded => {}
            Self::Sanitized => drop(headers.remove(CLIENT_CERTIFICATE)),
            Self::Set => {
                headers.remove(CLIENT_CERTIFICATE);
                headers.extend(client().map(|client| (CLIENT_CERTIFICATE, client)));
            }
            Self::Appended => {
                if let Some(client) = client() {
                    append(headers, CLIENT_CERTIFICATE, client.as_bytes());
                }
            }
        }
    }
}

/// Adds to the end of a list, in one line: there are readers that look at the first alone.
fn append(headers: &mut HeaderMap, name: HeaderName, last: &[u8]) {
    let all: Vec<_> = headers.get_all(&name).iter().map(HeaderValue::as_bytes).chain([last]).collect();
    if let Ok(list) = HeaderValue::from_bytes(&all.join(&b", "[..])) {
        headers.insert(name, list);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_who_came_to_the_first_trusted_proxy() {
        for (trusted, lines, expected) in [
            (0, &["1.1.1.1"][..], Ok(None)),
            (1, &[], Ok(None)),
            (1, &["1.1.1.1"], Ok(Some("1.1.1.1"))),
            (1, &["1.1.1.1, 2.2.2.2"], Ok(Some("2.2.2.2"))),
            (2, &["1.1.1.1, 2.2.2.2"], Ok(Some("1.1.1.1"))),
            (2, &["0.0.0.9,1.1.1.1", "2.2.2.2"], Ok(Some("1.1.1.1"))),
            (3, &["1.1.1.1, 2.2.2.2"], Ok(None)),
            (1, &["1.1.1.1:80"], Ok(Some("1.1.1.1"))),
            (1, &["2001:db8::1"], Ok(Some("2001:db8::1"))),
            (1, &["[2001:db8::1]"], Ok(Some("2001:db8::1"))),
            (1, &["[2001:db8::1]:443"], Ok(Some("2001:db8::1"))),
            (1, &["::ffff:1.1.1.1"], Ok(Some("1.1.1.1"))),
            (1, &["1.1.1.1, unknown"], Err(BadForwardedFor)),
            (1, &["1.1.1.1,"], Err(BadForwardedFor)),
            (1, &[""], Err(BadForwardedFor)),
            (2, &["unknown, 1.1.1.1"], Err(BadForwardedFor)),
            (1, &["unknown, 1.1.1.1"], Ok(Some("1.1.1.1"))),
        ] {
            let value = |line: &&'static str| (FORWARDED_FOR, HeaderValue::from_static(line));
            let headers = lines.iter().map(value).collect();
            let topology = Topology { trusted_proxies: trusted, ..Topology::default() };
            let expected = expected.map(|ip| ip.map(|ip: &str| ip.parse().unwrap()));
            assert_eq!(topology.client(&headers), expected, "{trusted} {lines:?}");
        }
    }

    #[test]
    fn what_is_said_of_clients_is_what_the_option_says() {
        use ForwardedCertificate::{Appended, Forwarded, Sanitized, Set};
        for (how, came, expected) in [
            (Sanitized, Some("By=a"), &[][..]),
            (Forwarded, Some("By=a"), &["By=a"]),
            (Forwarded, None, &[]),
            (Appended, Some("By=a"), &["By=a, By=w"]),
            (Appended, None, &["By=w"]),
            (Set, Some("By=a"), &["By=w"]),
            (Set, None, &["By=w"]),
        ] {
            let came = came.map(|came| (CLIENT_CERTIFICATE, HeaderValue::from_static(came)));
            let mut headers: HeaderMap = came.into_iter().collect();
            how.apply(&mut headers, || Some(HeaderValue::from_static("By=w")));
            assert_eq!(headers.get_all(CLIENT_CERTIFICATE).iter().collect::<Vec<_>>(), expected, "{how:?} {headers:?}");
        }
    }
}
