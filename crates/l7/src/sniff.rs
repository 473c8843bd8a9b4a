//! What a connection speaks, by its first bytes.

mod client_hello;

use client_hello::Hello;

/// What a client of HTTP/2 says first (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Longest line that may be one of HTTP/1.
const MAX_REQUEST_LINE: usize = 8 << 10;

/// What a connection speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.x.
    Http1,
    /// HTTP/2.
    Http2,
    /// TLS, for this server.
    Tls(Option<String>),
    /// Anything.
    Tcp,
}

/// Which HTTP; whatever is neither is answered as HTTP/1 answers it.
#[must_use]
pub fn http(bytes: &[u8]) -> Option<Protocol> {
    match preface(bytes) {
        Some(true) => Some(Protocol::Http2),
        Some(false) => Some(Protocol::Http1),
        None => None,
    }
}

/// TLS, or anything; `None` as long as it may be TLS.
#[must_use]
pub fn tls(bytes: &[u8]) -> Option<Protocol> {
    match client_hello::read(bytes) {
        Hello::Incomplete => None,
        Hello::Tls(name) => Some(Protocol::Tls(name)),
        Hello::NotTls => Some(Protocol::Tcp),
    }
}

/// Any protocol, where nothing is said of it; `None` as long as it cannot be known.
#[must_use]
pub fn unsaid(bytes: &[u8]) -> Option<Protocol> {
    match tls(bytes) {
        None => return None,
        Some(Protocol::Tcp) => {}
        Some(protocol) => return Some(protocol),
    }
    match preface(bytes) {
        Some(true) => Some(Protocol::Http2),
        Some(false) => request_line(bytes).map(|is_one| if is_one { Protocol::Http1 } else { Protocol::Tcp }),
        None => None,
    }
}

/// Whether HTTP/2 begins so; `None` as long as it may.
fn preface(bytes: &[u8]) -> Option<bool> {
    let length = bytes.len().min(PREFACE.len());
    if bytes.get(..length) != PREFACE.get(..length) {
        return Some(false);
    }
    (length == PREFACE.len()).then_some(true)
}

/// Whether the first line is one that some server takes for HTTP/1; `None` as long as it may be. They pass over empty
/// lines in front of it (RFC 9112 §2.2), and there are those that take any word for a method and any number for a
/// version: what is passed on as mere bytes must be HTTP to nobody.
fn request_line(bytes: &[u8]) -> Option<bool> {
    let begin = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len());
    if begin > MAX_REQUEST_LINE {
        return Some(true);
    }
    let bytes = bytes.get(begin..).unwrap_or_default();
    // No byte behind these has a say, or what was found would be taken back.
    let bytes = bytes.get(..=MAX_REQUEST_LINE).unwrap_or(bytes);
    // A token (RFC 9110 §5.6.2).
    let is_method = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let method = bytes.iter().position(|byte| !is_method(byte)).unwrap_or(bytes.len());
    if method < bytes.len() && (method == 0 || !matches!(bytes.get(method), Some(b' ' | b'\t' | b'\r' | b'\n'))) {
        return Some(false);
    }
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) => {
            let line = bytes.get(..end).unwrap_or_default().trim_ascii_end();
            let last = line.rsplit(u8::is_ascii_whitespace).next().unwrap_or_default();
            Some(last.len() < line.len() && last.starts_with(b"HTTP/"))
        }
        None if bytes.len() > MAX_REQUEST_LINE => Some(true),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn protocols_are_known_by_their_first_bytes() {
        use Protocol::{Http1, Http2, Tcp};
        for (bytes, expected) in [
            (&b""[..], None),
            (b"P", None),
            (b"PRI * HTTP/2", None),
            (PREFACE, Some(Http2)),
            (b"PRI * HTTP/2.0\r\n\r\nSX", Some(Http1)),
            (b"POST /x HTTP/1.1\r\n", Some(Http1)),
            (b"M-SEARCH * HTTP/1.0\n", Some(Http1)),
            (b"GET /x", None),
            (b"\r\n", None),
            (b"\r\n\nGET /x", None),
            (b"\r\n\nGET /x HTTP/1.1\r\n", Some(Http1)),
            (b"\r\nhello\r\n", Some(Tcp)),
            (b"GET x\r\n", Some(Tcp)),
            (b"*1\r\n$4\r\nPING\r\n", Some(Tcp)),
            (b"get / HTTP/1.1\r\n", Some(Http1)),
            (b"G3T / HTTP/1.2 \r\n", Some(Http1)),
            (b"GET\t/\tHTTP/1.1\n", Some(Http1)),
            (b"HTTP/1.1\r\n", Some(Tcp)),
            (b"get foo\r\n", Some(Tcp)),
            (&[b'G'; MAX_REQUEST_LINE], None),
            (&[[b'G'; MAX_REQUEST_LINE + 1].as_slice(), b"\0\n"].concat(), Some(Http1)),
            (b" / HTTP/1.1\r\n", Some(Tcp)),
            (&[0x16], None),
            (&[0x16, 9], Some(Tcp)),
        ] {
            assert_eq!(unsaid(bytes), expected, "{}", bytes.escape_ascii());
        }
        assert_eq!(http(b"hello"), Some(Http1));
    }

    proptest! {
        #[test]
        fn never_panics(bytes: Vec<u8>, text in "[A-Z]{0,40}( /[a-z]{0,9})?( HTTP/1\\.[01])?\r?\n?") {
            let _first = unsaid(&bytes);
            let _second = unsaid(text.as_bytes());
        }
    }
}
