//! The TLS handshake between two agents, read from the link.

use std::net::IpAddr;

use anyhow::{Context as _, Result};

use crate::shop::{Shop, seen};

/// Handshake messages (RFC 8446 section 4).
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;

/// Extensions (RFC 8446 section 4.2, RFC 6066 section 3).
const SERVER_NAME: u16 = 0;
const SUPPORTED_VERSIONS: u16 = 43;
const KEY_SHARE: u16 = 51;

/// draft-ietf-tls-ecdhe-mlkem.
const X25519_MLKEM768: [u8; 2] = [0x11, 0xec];
const TLS_13: [u8; 2] = [0x03, 0x04];

#[test]
fn agents_agree_on_tls_13_with_a_post_quantum_key_and_name_nobody() -> Result<()> {
    let shop = Shop::open()?;
    let capture = shop.mesh.world.capture()?;
    seen(&shop.client.netns(), shop.service)?;
    let traffic = capture.stop()?;
    traffic.only_tunnels()?;
    let streams = traffic.streams_of(IpAddr::V4(shop.web.ip4()), 15008);
    let [offer, choice] = [false, true].map(|server| streams.iter().find(|it| (it.source.port() == 15008) == server));

    let offer = offer.context("no client's side")?.bytes();
    let hello = Hello::parse(&offer, CLIENT_HELLO).context("no ClientHello")?;
    assert_eq!(hello.extension(SERVER_NAME), None, "the client names whom it wants");
    // One byte of length, then the versions.
    assert_eq!(hello.extension(SUPPORTED_VERSIONS), Some(&[2, TLS_13[0], TLS_13[1]][..]), "another version is offered");
    let shares = hello.extension(KEY_SHARE).context("no key share")?;
    assert_eq!(shares.get(2..4), Some(&X25519_MLKEM768[..]), "the first key offered");

    let choice = choice.context("no server's side")?.bytes();
    let hello = Hello::parse(&choice, SERVER_HELLO).context("no ServerHello")?;
    assert_eq!(hello.extension(SUPPORTED_VERSIONS), Some(&TLS_13[..]));
    assert_eq!(hello.extension(KEY_SHARE).and_then(|share| share.get(..2)), Some(&X25519_MLKEM768[..]));
    Ok(())
}

/// The extensions of a hello, which for one of ours are all in the stream's first record.
struct Hello<'a>(Vec<(u16, &'a [u8])>);

impl<'a> Hello<'a> {
    fn parse(stream: &'a [u8], kind: u8) -> Option<Self> {
        let record = sized16(stream.get(3..)?)?.0;
        let message = record.strip_prefix(&[kind])?.get(3..)?;
        // Version and random.
        let (_session, rest) = sized8(message.get(34..)?)?;
        // A client sends lists of suites and compressions, a server one of each.
        let rest = if kind == CLIENT_HELLO { sized8(sized16(rest)?.1)?.1 } else { rest.get(3..)? };
        let (mut rest, _) = sized16(rest)?;
        let mut extensions = Vec::new();
        while let Some((name, after)) = rest.split_first_chunk() {
            let (body, after) = sized16(after)?;
            extensions.push((u16::from_be_bytes(*name), body));
            rest = after;
        }
        Some(Self(extensions))
    }

    fn extension(&self, name: u16) -> Option<&'a [u8]> {
        self.0.iter().find(|(own, _)| *own == name).map(|(_, body)| *body)
    }
}

/// What one byte of length announces, and what follows.
fn sized8(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    rest.split_at_checked((*length).into())
}

/// What two bytes of length announce, and what follows.
fn sized16(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(u16::from_be_bytes(*length).into())
}
