//! What rules and policies may look at: views of a request, its connection and its client, borrowed from
//! whoever holds them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ambit_model::Identity;
use http::{HeaderMap, HeaderName, Method, header};

/// What is known of a connection before anything of it is read. Addresses are canonical
/// ([`ambit_model::canonical_ip`]).
#[derive(Debug, Clone, Copy)]
pub struct ConnectionView<'a> {
    /// The address the client asked for.
    pub destination_ip: IpAddr,
    /// The port of the service the client asked for.
    pub port: u16,
    /// The name in the client's TLS hello, in lower case; none where there was none.
    pub server_name: Option<&'a str>,
}

/// A request, its headers complete and its path normalised.
#[derive(Debug, Clone, Copy)]
pub struct RequestView<'a> {
    /// The method.
    pub method: &'a Method,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// The `:authority`, or HTTP/1's `Host`, as the client sent it. It stands for the header `host` everywhere,
    /// so that there cannot be two of them.
    pub authority: &'a str,
    /// The path, normalised ([`crate::normalise`]), without query. Never what the client sent: a policy that
    /// sees another path than the backend is none.
    pub path: &'a str,
    /// The query, without its `?`; as it was sent.
    pub query: Option<&'a str>,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// How it came.
    pub connection: ConnectionView<'a>,
}

/// Who asks: the client itself, never a proxy on the way.
#[derive(Debug, Clone, Copy)]
pub struct ClientView<'a> {
    /// Who it is, as a certificate or the kernel proves it. Without one nothing that names an identity matches,
    /// and everything that excludes one does.
    pub identity: Option<&'a Identity>,
    /// Its address, canonical.
    pub ip: IpAddr,
    /// The original client's address, canonical: `ip`, unless proxies before the waypoint are trusted
    /// ([`crate::Topology`]).
    pub remote_ip: IpAddr,
    /// Labels of its workload; empty where it is none of the mesh.
    pub labels: &'a BTreeMap<Arc<str>, Arc<str>>,
    /// The namespace of its workload.
    pub namespace: Option<&'a str>,
}

impl<'a> RequestView<'a> {
    /// The value of a header. Several values count as one, joined by commas; bytes that are no UTF-8 are
    /// replaced, so that they can hide nothing around them from a policy.
    #[must_use]
    pub fn header(&self, name: &HeaderName) -> Option<Cow<'a, str>> {
        if name == header::HOST {
            return (!self.authority.is_empty()).then_some(Cow::Borrowed(self.authority));
        }
        let mut values = self.headers.get_all(name).iter();
        let first = String::from_utf8_lossy(values.next()?.as_bytes());
        values.next().map_or(Some(first.clone()), |second| {
            let mut joined = first.into_owned();
            for value in std::iter::once(second).chain(values) {
                joined.push(',');
                joined.push_str(&String::from_utf8_lossy(value.as_bytes()));
            }
            Some(Cow::Owned(joined))
        })
    }

    /// The first value of a parameter of the query, both percent-decoded. A parameter without `=` has an empty
    /// value.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<Cow<'a, str>> {
        self.query?.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decoded(key) == name).then(|| percent_decoded(value))
        })
    }
}

/// A text with its percent escapes read. What is none is left as it stands.
fn percent_decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        match (first, escaped(tail)) {
            (b'%', Some(byte)) => {
                out.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

/// The byte that two hexadecimal digits at the beginning of `text` stand for.
pub(crate) fn escaped(text: &[u8]) -> Option<u8> {
    let [high, low, ..] = text else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(*high)? << 4 | digit(*low)?)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::fixtures::Asked;

    #[test]
    fn values_of_one_header_are_one() {
        let mut asked = Asked::default().with("x-a", "1").with("x-b", "2").with("x-a", "3").with("x-empty", "");
        asked.headers.append("x-bytes", HeaderValue::from_bytes(b"admin\xff").unwrap());
        let request = asked.view();
        for (name, expected) in [
            ("x-a", Some("1,3")),
            ("x-b", Some("2")),
            ("x-empty", Some("")),
            ("x-none", None),
            ("x-bytes", Some("admin\u{fffd}")),
        ] {
            assert_eq!(request.header(&HeaderName::from_static(name)).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn the_authority_stands_for_host() {
        let asked = Asked::default().with("host", "evil");
        assert_eq!(asked.view().header(&header::HOST).as_deref(), Some("reviews"));
        let without = Asked { authority: String::new(), ..asked };
        assert_eq!(without.view().header(&header::HOST), None);
    }

    #[test]
    fn the_first_parameter_of_a_name_counts() {
        for (query, name, expected) in [
            (Some("a=1&b=2&a=3"), "a", Some("1")),
            (Some("a=1&b=2&a=3"), "b", Some("2")),
            (Some("a=1&b=2"), "c", None),
            (Some("a"), "a", Some("")),
            (Some("a="), "a", Some("")),
            (Some("a=b=c"), "a", Some("b=c")),
            (Some("%61=%31%2b"), "a", Some("1+")),
            (Some("a=1+2"), "a", Some("1+2")),
            (Some("a=%zz%4"), "a", Some("%zz%4")),
            (Some("a=%ff"), "a", Some("\u{fffd}")),
            (Some("A=1"), "a", None),
            (Some(""), "a", None),
            (None, "a", None),
        ] {
            let asked = Asked { query: query.map(str::to_owned), ..Asked::default() };
            assert_eq!(asked.view().parameter(name).as_deref(), expected, "{query:?} {name}");
        }
    }
}
