//! One direction of a TCP connection, put together from its segments, and TLS in it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};

use super::pcap::Segment;

/// TLS record types (RFC 8446 section 5.1).
const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

/// The extension that alone says "1.3" in a ServerHello: supported_versions, two bytes, 0x0304
/// (RFC 8446 section 4.2.1).
const VERSION_13: [u8; 6] = [0x00, 0x2b, 0x00, 0x02, 0x03, 0x04];

/// One direction of a TCP connection.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Who sends.
    pub source: SocketAddr,
    /// Who receives.
    pub destination: SocketAddr,
    /// The sequence number of the first byte; from the SYN, or the first segment seen.
    start: Option<u32>,
    chunks: BTreeMap<u32, Vec<u8>>,
}

impl Stream {
    pub(super) fn new(source: SocketAddr, destination: SocketAddr) -> Self {
        Self { source, destination, start: None, chunks: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, segment: Segment<'_>) {
        if segment.syn {
            self.start = Some(segment.sequence.wrapping_add(1));
        }
        let start = *self.start.get_or_insert(segment.sequence);
        if !segment.payload.is_empty() {
            let chunk = self.chunks.entry(segment.sequence.wrapping_sub(start)).or_default();
            if segment.payload.len() > chunk.len() {
                *chunk = segment.payload.to_vec();
            }
        }
    }

    /// The bytes from the start on, up to the first gap.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (offset, chunk) in &self.chunks {
            let known = usize::try_from(*offset).ok().and_then(|offset| bytes.len().checked_sub(offset));
            let Some(known) = known else { break };
            bytes.extend(chunk.get(known..).unwrap_or_default());
        }
        bytes
    }

    /// Checks that the stream, if not empty, is a TLS handshake followed by nothing but encrypted
    /// records; the server's side must say that it is version 1.3.
    pub(super) fn check_tls13(&self) -> Result<()> {
        let bytes = self.bytes();
        let mut rest = bytes.as_slice();
        let mut records = Vec::new();
        while let Some((kind, body, after)) = record(rest) {
            records.push((kind, body));
            rest = after;
        }
        for (position, (kind, _)) in records.iter().enumerate() {
            let fits = match *kind {
                // Hello, and one more after a HelloRetryRequest.
                HANDSHAKE => position <= 2,
                CHANGE_CIPHER_SPEC | ALERT => true,
                APPLICATION_DATA => position > 0,
                _ => false,
            };
            ensure!(fits, "record {position} is of type {kind}: not TLS 1.3");
        }
        if self.source.port() == 15008
            && let Some((_, hello)) = records.first().filter(|(kind, _)| *kind == HANDSHAKE)
        {
            let version_13 = hello.windows(VERSION_13.len()).any(|window| window == VERSION_13);
            ensure!(version_13, "the server did not choose TLS 1.3");
        }
        ensure!(bytes.is_empty() || !records.is_empty(), "{} bytes that are no TLS record", bytes.len());
        // A record cut short by the end of the recording is one as far as it goes.
        rest.first().map_or(Ok(()), |kind| {
            (CHANGE_CIPHER_SPEC..=APPLICATION_DATA).contains(kind).then_some(()).context("ends in no TLS record")
        })
    }
}

/// Type, body and what follows of the record at the start of `bytes`.
fn record(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let kind = *bytes.first()?;
    let version = *bytes.get(1)?;
    let length = u16::from_be_bytes(bytes.get(3..5)?.try_into().ok()?);
    let (body, after) = bytes.get(5..)?.split_at_checked(length.into())?;
    (version == 3).then_some((kind, body, after))
}
