//! What passes on the link between the nodes, recorded by tcpdump and read back.

mod pcap;
mod stream;

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::Signal;

pub use pcap::Packet;
pub use stream::Stream;

use crate::network::LINK;
use crate::{Netns, Process, World, until};

const PATIENCE: Duration = Duration::from_secs(10);

/// The port of the datagram that closes a recording; discard (RFC 863).
const SENTINEL: u16 = 9;

/// A running recording.
#[derive(Debug)]
pub struct Capture {
    tcpdump: Process,
    file: PathBuf,
    from: Netns,
    to: Ipv4Addr,
}

impl Capture {
    pub(crate) fn start(world: &World) -> Result<Self> {
        let [from, to] = world.nodes();
        Self::on_link(from.netns(), LINK, to.ip4(), "", world.directory())
    }

    /// Records on a link of a namespace, over which `to` is reached, what tcpdump's filter lets through
    /// (everything when it is empty); its files are in `directory`.
    ///
    /// # Errors
    /// Fails when tcpdump does not start.
    pub fn on_link(from: Netns, link: &str, to: Ipv4Addr, filter: &str, directory: &Path) -> Result<Self> {
        let file = directory.join("link.pcap");
        fs::remove_file(&file).ok();
        fs::remove_file(directory.join("tcpdump.err")).ok();
        let mut command = from.command("tcpdump");
        command.args(["-i", link, "-s", "0", "-B", "65536", "--immediate-mode", "-U", "-Z", "root", "-w"]).arg(&file);
        if !filter.is_empty() {
            command.arg(format!("({filter}) or udp port {SENTINEL}"));
        }
        let tcpdump = Process::start(command, directory, "tcpdump")?;
        until("tcpdump's start", PATIENCE, || tcpdump.errors().contains("listening on").then_some(()))
            .with_context(|| tcpdump.errors())?;
        Ok(Self { tcpdump, file, from, to })
    }

    /// Ends the recording, with all that has passed until now surely in it.
    ///
    /// # Errors
    /// Fails when tcpdump lost packets or wrote no readable file.
    pub fn stop(mut self) -> Result<Traffic> {
        let sentinel = |packet: &Packet| packet.udp_port() == Some(SENTINEL);
        let to = (self.to, SENTINEL);
        self.from.run(|| UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(b"end", to)))??;
        let recorded = || pcap::parse(&fs::read(&self.file).ok()?).ok();
        until("the end of the recording", PATIENCE, || recorded()?.iter().any(sentinel).then_some(()))?;
        self.tcpdump.signal(Signal::SIGINT)?;
        self.tcpdump.wait(PATIENCE)?;
        let errors = self.tcpdump.errors();
        ensure!(errors.contains("\n0 packets dropped by kernel"), "the recording is not whole: {errors}");
        let mut packets = recorded().context("the recording is not readable")?;
        packets.retain(|packet| !sentinel(packet));
        Ok(Traffic { packets })
    }
}

/// A finished recording.
#[derive(Debug)]
pub struct Traffic {
    packets: Vec<Packet>,
}

impl Traffic {
    /// All packets.
    #[must_use]
    pub fn packets(&self) -> &[Packet] {
        &self.packets
    }

    /// The TCP byte streams, each direction of a connection for itself, by its first packet's order.
    #[must_use]
    pub fn streams(&self) -> Vec<Stream> {
        let mut streams: BTreeMap<_, Stream> = BTreeMap::new();
        for segment in self.packets.iter().filter_map(Packet::tcp) {
            let key = (segment.source, segment.destination);
            streams.entry(key).or_insert_with(|| Stream::new(segment.source, segment.destination)).add(segment);
        }
        streams.into_values().collect()
    }

    /// Whether these bytes passed anywhere, in a packet or across the packets of a stream.
    #[must_use]
    pub fn contains(&self, marker: &[u8]) -> bool {
        let inside = |bytes: &[u8]| bytes.windows(marker.len()).any(|window| window == marker);
        self.packets.iter().any(|packet| inside(packet.bytes())) || self.streams().iter().any(|s| inside(&s.bytes()))
    }

    /// The payload-carrying streams to or from an address and a port.
    #[must_use]
    pub fn streams_of(&self, ip: IpAddr, port: u16) -> Vec<Stream> {
        let of = |stream: &Stream| {
            [stream.source, stream.destination].iter().any(|end| end.ip() == ip && end.port() == port)
        };
        self.streams().into_iter().filter(|stream| of(stream) && !stream.bytes().is_empty()).collect()
    }

    /// Checks that nothing but TLS 1.3 to and from the tunnel port passed, and that it did pass;
    /// gives the number of tunnel connections.
    ///
    /// # Errors
    /// Fails, naming the packet or stream that was something else.
    pub fn only_tunnels(&self) -> Result<usize> {
        for packet in &self.packets {
            ensure!(!packet.is_udp(), "a UDP packet passed: {packet:?}");
            if let Some(segment) = packet.tcp() {
                let ports = [segment.source.port(), segment.destination.port()];
                ensure!(ports.contains(&15008), "TCP {} -> {} passed", segment.source, segment.destination);
            }
        }
        let streams = self.streams();
        let mut servers = 0;
        for stream in &streams {
            stream.check_tls13().with_context(|| format!("{} -> {}", stream.source, stream.destination))?;
            servers += usize::from(stream.source.port() == 15008);
        }
        ensure!(servers > 0, "no tunnel was seen on the link");
        Ok(servers)
    }
}
