//! What of a request is the key of consistent hashing.

use std::fmt::Write as _;
use std::net::IpAddr;

use ambit_balance::hash_key;
use ambit_l7::{Cookie, HashKey, LoadBalancing};
use http::header::COOKIE;
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use rand::{Rng, RngExt};

use crate::plan::Client;

/// The key of a request or a connection, and a cookie to be set where the key is one just made.
#[derive(Debug, Default)]
pub(super) struct Hashed {
    pub(super) hash: Option<u64>,
    pub(super) set_cookie: Option<HeaderValue>,
}

/// The key of a request.
pub(super) fn of_request(balancing: &LoadBalancing, request: &Parts, client: &Client, rng: &mut impl Rng) -> Hashed {
    let LoadBalancing::ConsistentHash(consistent) = balancing else { return Hashed::default() };
    let hash = match &consistent.key {
        HashKey::SourceIp => Some(of_ip(client.address.ip())),
        HashKey::Header(name) => request.headers.get(name).map(|value| hash_key(value.as_bytes())),
        HashKey::Query(name) => query(request.uri.query(), name).map(|value| hash_key(value.as_bytes())),
        HashKey::Cookie(cookie) => return of_cookie(cookie, &request.headers, rng),
    };
    Hashed { hash, set_cookie: None }
}

/// The key of a connection of which nothing else is known.
pub(super) fn of_connection(balancing: &LoadBalancing, client: &Client) -> Option<u64> {
    let LoadBalancing::ConsistentHash(consistent) = balancing else { return None };
    (consistent.key == HashKey::SourceIp).then(|| of_ip(client.address.ip()))
}

fn of_ip(ip: IpAddr) -> u64 {
    match ip {
        IpAddr::V4(ip) => hash_key(&ip.octets()),
        IpAddr::V6(ip) => hash_key(&ip.octets()),
    }
}

fn query<'a>(query: Option<&'a str>, name: &str) -> Option<&'a str> {
    query?.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then_some(value)
    })
}

fn of_cookie(cookie: &Cookie, headers: &HeaderMap, rng: &mut impl Rng) -> Hashed {
    let sent = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .find_map(|pair| pair.trim().split_once('=').filter(|(name, _)| *name == &*cookie.name));
    if let Some((_, value)) = sent {
        return Hashed { hash: Some(hash_key(value.trim_matches('"').as_bytes())), set_cookie: None };
    }
    if cookie.ttl.is_none() {
        return Hashed::default();
    }
    let value = format!("{:016x}", rng.random::<u64>());
    Hashed { hash: Some(hash_key(value.as_bytes())), set_cookie: set_cookie(cookie, &value) }
}

/// As the field's proxies write it.
fn set_cookie(cookie: &Cookie, value: &str) -> Option<HeaderValue> {
    let mut text = format!("{}=\"{value}\"", cookie.name);
    if let Some(ttl) = cookie.ttl.filter(|ttl| !ttl.is_zero()) {
        write!(text, "; Max-Age={}", ttl.as_secs()).ok()?;
    }
    if let Some(path) = &cookie.path {
        write!(text, "; Path={path}").ok()?;
    }
    for (name, value) in &cookie.attributes {
        if value.is_empty() {
            write!(text, "; {name}").ok()?;
        } else {
            write!(text, "; {name}={value}").ok()?;
        }
    }
    text.push_str("; HttpOnly");
    text.try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ambit_l7::{ConsistentHash, HashRing};
    use ambit_model::{Identity, PeerAddr};
    use http::{HeaderName, Request};
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    fn client(address: &str) -> Client {
        Client {
            identity: Identity::new("td", "shop", "web"),
            address: PeerAddr::new(address.parse().unwrap()),
            workload: None,
        }
    }

    fn hashed(key: HashKey, request: &Parts, client: &Client) -> Hashed {
        let ring = HashRing::Ring { minimum_size: 1024 };
        let balancing = LoadBalancing::ConsistentHash(ConsistentHash { key, ring });
        of_request(&balancing, request, client, &mut SmallRng::seed_from_u64(7))
    }

    fn request(uri: &str, headers: &[(&'static str, &'static str)]) -> Parts {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn equal_keys_are_equal() {
        let header = || HashKey::Header(HeaderName::from_static("x-user"));
        let query = || HashKey::Query("user".into());
        let anna = hash_key(b"anna");
        for (key, request, expected) in [
            (header(), request("/", &[("x-user", "anna")]), Some(anna)),
            (header(), request("/", &[]), None),
            (query(), request("/?a=b&user=anna", &[]), Some(anna)),
            (query(), request("/?users=anna", &[]), None),
            (query(), request("/", &[]), None),
        ] {
            assert_eq!(hashed(key.clone(), &request, &client("10.0.0.1:1")).hash, expected, "{key:?}");
        }
        let of = |address| hashed(HashKey::SourceIp, &request("/", &[]), &client(address)).hash;
        assert_eq!(of("10.0.0.1:1"), of("10.0.0.1:2"));
        assert_ne!(of("10.0.0.1:1"), of("10.0.0.2:1"));
    }

    #[test]
    fn a_cookie_is_made_once() {
        let cookie = |ttl: Option<u64>| Cookie {
            name: "sticky".into(),
            path: Some("/a".into()),
            ttl: ttl.map(Duration::from_secs),
            attributes: vec![("SameSite".into(), "Strict".into())],
        };
        let first = hashed(HashKey::Cookie(cookie(Some(60))), &request("/", &[]), &client("10.0.0.1:1"));
        let set = first.set_cookie.unwrap().to_str().unwrap().to_owned();
        let (pair, rest) = set.split_once("; ").unwrap();
        assert_eq!(rest, "Max-Age=60; Path=/a; SameSite=Strict; HttpOnly");
        let pair: &'static str = format!("other=1; {}", pair.replace('"', "")).leak();
        let second =
            hashed(HashKey::Cookie(cookie(Some(60))), &request("/", &[("cookie", pair)]), &client("10.0.0.1:1"));
        assert_eq!((second.hash, second.set_cookie), (first.hash, None));
        let session = hashed(HashKey::Cookie(cookie(Some(0))), &request("/", &[]), &client("10.0.0.1:1"));
        assert!(!session.set_cookie.unwrap().to_str().unwrap().contains("Max-Age"));
        let none = hashed(HashKey::Cookie(cookie(None)), &request("/", &[]), &client("10.0.0.1:1"));
        assert!(none.hash.is_none() && none.set_cookie.is_none());
    }
}
