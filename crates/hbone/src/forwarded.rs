//! The `forwarded` header (RFC 7239): whose connection a tunnel carries, and what host they asked for.

use std::fmt;
use std::net::SocketAddr;

use ambit_model::PeerAddr;

/// Longest accepted header in bytes: an address and a host name, with room for extensions.
const MAX_LEN: usize = 2048;

/// The client of a forwarded connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forwarded {
    /// The client's address (`for`).
    pub client: PeerAddr,
    /// The service the client asked for (`host`).
    pub host: Option<String>,
}

/// Why a header is not such a `forwarded`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ForwardedError {
    /// Longer than the limit.
    #[error("a forwarded header of {0} bytes is longer than {MAX_LEN}")]
    TooLong(usize),
    /// Not `name=value` pairs parted by semicolons.
    #[error("the forwarded header is malformed")]
    Form,
    /// No `for`, or one that is not `ip:port`.
    #[error("the forwarded header names no client address and port")]
    Client,
}

/// Reads the first element of a `forwarded` header: the client as the first proxy saw it.
///
/// # Errors
/// When the header breaks the format or names no client address.
pub fn parse(header: &[u8]) -> Result<Forwarded, ForwardedError> {
    if header.len() > MAX_LEN {
        return Err(ForwardedError::TooLong(header.len()));
    }
    let mut rest = str::from_utf8(header).map_err(|_| ForwardedError::Form)?;
    let (mut client, mut host) = (None, None);
    loop {
        let (name, after) = rest.split_once('=').ok_or(ForwardedError::Form)?;
        let (value, after) = value(after)?;
        match name.trim_matches([' ', '\t']) {
            name if name.eq_ignore_ascii_case("for") => client = Some(value),
            name if name.eq_ignore_ascii_case("host") => host = Some(value),
            name if !name.is_empty() && name.bytes().all(is_token) => {}
            _ => return Err(ForwardedError::Form),
        }
        let after = after.trim_start_matches([' ', '\t']);
        match after.strip_prefix(';') {
            Some(next) => rest = next,
            None if after.is_empty() || after.starts_with(',') => break,
            None => return Err(ForwardedError::Form),
        }
    }
    let client: SocketAddr = client.and_then(|text| text.parse().ok()).ok_or(ForwardedError::Client)?;
    Ok(Forwarded { client: PeerAddr::new(client), host })
}

/// A token or a quoted string, and what follows it.
fn value(text: &str) -> Result<(String, &str), ForwardedError> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.bytes().position(|byte| !is_token(byte)).unwrap_or(text.len());
        return match text.split_at_checked(end) {
            Some((token, after)) if !token.is_empty() => Ok((token.to_owned(), after)),
            _ => Err(ForwardedError::Form),
        };
    };
    let mut value = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next().ok_or(ForwardedError::Form)? {
            '"' => return Ok((value, chars.as_str())),
            '\\' => value.push(chars.next().ok_or(ForwardedError::Form)?),
            other => value.push(other),
        }
    }
}

/// RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

impl fmt::Display for Forwarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "for=\"{}\"", self.client)?;
        match &self.host {
            None => Ok(()),
            Some(host) if !host.is_empty() && host.bytes().all(is_token) => write!(f, ";host={host}"),
            Some(host) => write!(f, ";host=\"{}\"", host.replace('\\', "\\\\").replace('"', "\\\"")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_good_headers() {
        for (header, client, host) in [
            (r#"for="10.0.0.1:4711";host=web.shop"#, "10.0.0.1:4711", Some("web.shop")),
            (r#"For="[fd00::1]:80""#, "[fd00::1]:80", None),
            (r#"by=x; FOR="10.0.0.1:1" ; Host="web:80", for="10.0.0.2:2""#, "10.0.0.1:1", Some("web:80")),
            (r#"for="10.0.0.1:1";host="a\"b""#, "10.0.0.1:1", Some("a\"b")),
        ] {
            let read = parse(header.as_bytes()).unwrap();
            assert_eq!((read.client.to_string().as_str(), read.host.as_deref()), (client, host), "{header}");
        }
    }

    #[test]
    fn refuses_bad_headers() {
        use ForwardedError::{Client, Form, TooLong};
        for (header, error) in [
            ("", Form),
            ("for", Form),
            ("for=", Form),
            ("=x", Form),
            (r#"for="10.0.0.1:1"#, Form),
            (r#"for="10.0.0.1:1\"#, Form),
            (r#"for="10.0.0.1:1" x"#, Form),
            (r#"for="10.0.0.1:1";"#, Form),
            ("host=web", Client),
            ("for=10.0.0.1", Client),
            ("for=unknown", Client),
            ("for=\u{f6}", Form),
        ] {
            assert_eq!(parse(header.as_bytes()), Err(error), "{header}");
        }
        assert_eq!(parse(&[b'a'; 2049]), Err(TooLong(2049)));
    }

    proptest! {
        #[test]
        fn never_panics(header: Vec<u8>, text in "(for|host)?=?\"?\\PC*") {
            drop(parse(&header));
            drop(parse(text.as_bytes()));
        }

        #[test]
        fn reads_what_it_writes(client: SocketAddr, host: Option<String>) {
            let forwarded = Forwarded { client: PeerAddr::new(client), host };
            prop_assume!(forwarded.to_string().len() <= MAX_LEN);
            prop_assert_eq!(parse(forwarded.to_string().as_bytes()), Ok(forwarded));
        }
    }
}
