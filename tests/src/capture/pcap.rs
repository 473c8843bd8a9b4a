//! The pcap file format and the packet headers, as far as needed.
//! <https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-06.html>

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context as _, Result, ensure};

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;

/// One Ethernet frame.
#[derive(Debug, Clone)]
pub struct Packet {
    bytes: Vec<u8>,
}

/// A TCP segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment<'a> {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) sequence: u32,
    pub(super) syn: bool,
    pub(super) payload: &'a [u8],
}

struct Datagram<'a> {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    payload: &'a [u8],
}

/// Reads all whole packets of a file; one still being written ends early.
pub(super) fn parse(file: &[u8]) -> Result<Vec<Packet>> {
    let header = file.get(..24).context("no pcap header yet")?;
    ensure!(little32(header, 0) == Some(0xa1b2_c3d4), "not a little-endian pcap file");
    ensure!(little32(header, 20) == Some(1), "not Ethernet");
    let mut packets = Vec::new();
    let mut rest = file.get(24..).unwrap_or_default();
    while let Some((bytes, after)) = record(rest) {
        packets.push(Packet { bytes: bytes.to_vec() });
        rest = after;
    }
    Ok(packets)
}

fn record(file: &[u8]) -> Option<(&[u8], &[u8])> {
    let captured = usize::try_from(little32(file, 8)?).ok()?;
    file.get(16..)?.split_at_checked(captured)
}

impl Packet {
    /// The whole frame.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it is a UDP packet.
    #[must_use]
    pub fn is_udp(&self) -> bool {
        self.ip().is_some_and(|datagram| datagram.protocol == PROTOCOL_UDP)
    }

    pub(super) fn udp_port(&self) -> Option<u16> {
        self.ip().filter(|datagram| datagram.protocol == PROTOCOL_UDP).and_then(|datagram| big16(datagram.payload, 2))
    }

    pub(super) fn tcp(&self) -> Option<Segment<'_>> {
        let ip = self.ip().filter(|datagram| datagram.protocol == PROTOCOL_TCP)?;
        let offset = usize::from(ip.payload.get(12)? >> 4) * 4;
        Some(Segment {
            source: SocketAddr::new(ip.source, big16(ip.payload, 0)?),
            destination: SocketAddr::new(ip.destination, big16(ip.payload, 2)?),
            sequence: big32(ip.payload, 4)?,
            syn: ip.payload.get(13)? & 0x02 != 0,
            payload: ip.payload.get(offset..)?,
        })
    }

    fn ip(&self) -> Option<Datagram<'_>> {
        let body = self.bytes.get(14..)?;
        match big16(&self.bytes, 12)? {
            ETHERTYPE_IPV4 => ipv4(body),
            ETHERTYPE_IPV6 => ipv6(body),
            _ => None,
        }
    }
}

fn ipv4(packet: &[u8]) -> Option<Datagram<'_>> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let total = usize::from(big16(packet, 2)?);
    Some(Datagram {
        source: Ipv4Addr::from(big32(packet, 12)?).into(),
        destination: Ipv4Addr::from(big32(packet, 16)?).into(),
        protocol: *packet.get(9)?,
        // Beyond the total length is Ethernet's padding; 0 is a segment too long to say.
        payload: packet.get(header..if total == 0 { packet.len() } else { total })?,
    })
}

/// Extension headers do not occur on TCP and UDP here.
fn ipv6(packet: &[u8]) -> Option<Datagram<'_>> {
    let length = usize::from(big16(packet, 4)?);
    let address = |at: usize| {
        let bytes: [u8; 16] = packet.get(at..at + 16)?.try_into().ok()?;
        Some(IpAddr::V6(Ipv6Addr::from(bytes)))
    };
    Some(Datagram {
        source: address(8)?,
        destination: address(24)?,
        protocol: *packet.get(6)?,
        payload: packet.get(40..if length == 0 { packet.len() } else { 40 + length })?,
    })
}

fn big16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn big32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn little32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
