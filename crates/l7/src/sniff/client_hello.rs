//! The server name in a TLS ClientHello (RFC 8446 §4.1.2, RFC 6066 §3). Nothing of the hello is believed: all is
//! bounded, and nothing is kept but the name.

/// Most bytes of a hello that are looked at. One with post-quantum keys has under 2 KiB.
pub(super) const MAX_HELLO: usize = 16 << 10;

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;
/// Largest payload of a record in plaintext.
const MAX_RECORD: usize = 1 << 14;
const MAX_NAME: usize = 253;

/// What is in the first bytes of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hello {
    /// More is needed to say.
    Incomplete,
    /// A ClientHello, with this server name in lower case, if any.
    Tls(Option<String>),
    /// Something else, or a hello that is malformed.
    NotTls,
}

/// Reads the first bytes of a connection.
pub(super) fn read(bytes: &[u8]) -> Hello {
    let (hello, complete) = match handshake(bytes) {
        Some(gathered) => gathered,
        None => return Hello::NotTls,
    };
    let mut reader = Reader(&hello);
    let more = |enough: bool| if enough || bytes.len() >= MAX_HELLO { Hello::NotTls } else { Hello::Incomplete };
    let Some([kind]) = reader.array() else { return more(false) };
    if kind != CLIENT_HELLO {
        return Hello::NotTls;
    }
    let Some(length) = reader.length(3) else { return more(false) };
    if length > MAX_HELLO {
        return Hello::NotTls;
    }
    let Some(body) = reader.take(length) else { return more(complete) };
    client_hello(body).map_or(Hello::NotTls, Hello::Tls)
}

/// The handshake bytes in the records at the beginning, and whether another type of record follows them. `None`
/// where the first one is no record of a handshake.
fn handshake(bytes: &[u8]) -> Option<(Vec<u8>, bool)> {
    let mut gathered = Vec::new();
    let mut reader = Reader(bytes);
    loop {
        match reader.0 {
            [] => return Some((gathered, false)),
            [HANDSHAKE] | [HANDSHAKE, 3] => return Some((gathered, false)),
            [HANDSHAKE, 3, ..] => {}
            _ if gathered.is_empty() => return None,
            _ => return Some((gathered, true)),
        }
        reader.take(3)?;
        let Some(length) = reader.length(2) else { return Some((gathered, false)) };
        if length == 0 || length > MAX_RECORD {
            // What came before it may be a whole hello, as it was before this came.
            return (!gathered.is_empty()).then_some((gathered, true));
        }
        let there = reader.0.len().min(length);
        gathered.extend_from_slice(reader.take(there)?);
        if there < length || gathered.len() > MAX_HELLO {
            return Some((gathered, false));
        }
    }
}

/// The server name in a hello's body; `None` where it is malformed.
fn client_hello(body: &[u8]) -> Option<Option<String>> {
    let mut reader = Reader(body);
    reader.take(2 + 32)?; // version, random
    reader.vector(1)?; // session
    reader.vector(2)?; // suites
    reader.vector(1)?; // compressions
    if reader.0.is_empty() {
        return Some(None);
    }
    let mut extensions = Reader(reader.vector(2)?);
    while !extensions.0.is_empty() {
        let kind = u16::from_be_bytes(extensions.array()?);
        let data = extensions.vector(2)?;
        if kind == SERVER_NAME {
            return server_name(data);
        }
    }
    Some(None)
}

fn server_name(data: &[u8]) -> Option<Option<String>> {
    let mut names = Reader(Reader(data).vector(2)?);
    while !names.0.is_empty() {
        let [kind] = names.array()?;
        let name = names.vector(2)?;
        if kind == HOST_NAME {
            return Some(Some(host(name)?));
        }
    }
    Some(None)
}

/// A host name of letters, digits, `-`, `_` and `.`.
fn host(name: &[u8]) -> Option<String> {
    let is_good = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > MAX_NAME || !name.iter().all(is_good) {
        return None;
    }
    Some(str::from_utf8(name).ok()?.to_ascii_lowercase())
}

/// Bytes, taken from their beginning.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// A number of so many bytes, at most three.
    fn length(&mut self, bytes: usize) -> Option<usize> {
        Some(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// Bytes after their number.
    fn vector(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let length = self.length(bytes)?;
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A hello with this server name, if any, among extensions of no interest.
    fn hello(name: Option<&str>) -> Vec<u8> {
        let vector = |bytes: &[u8]| [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
        let extension = |kind: u16, data: &[u8]| [&kind.to_be_bytes()[..], &vector(data)].concat();
        let names = name.map(|name| vector(&[&[HOST_NAME][..], &vector(name.as_bytes())].concat()));
        let names = names.map(|names| extension(SERVER_NAME, &names)).unwrap_or_default();
        let extensions = vector(&[extension(43, &[2, 3, 4]), names, extension(16, b"")].concat());
        let suites = vector(&[0x13, 1]);
        let body = [&[3, 3][..], &[7; 32], &[0], &suites, &[1, 0], &extensions].concat();
        let message = [&[CLIENT_HELLO, 0][..], &vector(&body)].concat();
        [&[HANDSHAKE, 3, 1][..], &vector(&message)].concat()
    }

    #[test]
    fn names_are_found_however_the_bytes_come() {
        for (name, expected) in [(Some("Shop.Example.com"), Some("shop.example.com")), (None, None)] {
            let bytes = hello(name);
            for end in 1..bytes.len() {
                assert_eq!(read(&bytes[..end]), Hello::Incomplete, "{name:?} {end}");
            }
            assert_eq!(read(&bytes), Hello::Tls(expected.map(str::to_owned)), "{name:?}");
        }
        // The same in records of seven bytes.
        let bytes = hello(Some("a.example"));
        let mut split = Vec::new();
        for part in bytes[5..].chunks(7) {
            split.extend([HANDSHAKE, 3, 1, 0, u8::try_from(part.len()).unwrap()]);
            split.extend(part);
        }
        assert_eq!(read(&split), Hello::Tls(Some("a.example".to_owned())));
    }

    #[test]
    fn what_follows_a_hello_changes_nothing() {
        for after in [&[HANDSHAKE, 3, 1, 0, 0][..], &[HANDSHAKE, 3, 1, 0xff, 0xff, 1], &[20, 3, 3, 0, 1, 1], b"x"] {
            assert_eq!(read(&[&hello(Some("a.example")), after].concat()), Hello::Tls(Some("a.example".to_owned())));
        }
    }

    #[test]
    fn everything_else_is_not_tls() {
        let broken = hello(Some("a example"));
        for bytes in [&b"GET / HTTP/1.1\r\n"[..], &[22, 2, 0], &[22, 3, 1, 0, 0], &[22, 3, 1, 0, 1, 2], &broken] {
            assert_eq!(read(bytes), Hello::NotTls, "{bytes:?}");
        }
        assert_eq!(read(b""), Hello::Incomplete);
    }

    proptest! {
        #[test]
        fn never_panics(mut bytes: Vec<u8>, plausible: bool) {
            if plausible && bytes.len() > 6 {
                bytes[..3].copy_from_slice(&[22, 3, 1]);
                bytes[5] = 1;
            }
            read(&bytes);
        }
    }
}
