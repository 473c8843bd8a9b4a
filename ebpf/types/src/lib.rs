//! What kernel programs and the node agent both see: keys and values of maps, names, ports.
//!
//! Only fixed-width integers and byte arrays, no padding the compiler adds on its own (`IntoBytes`
//! refuses it), byte order in the type or field name. Every address is 16 bytes: an IPv4 address in
//! its v4-mapped IPv6 form, so that one map serves both families and a v4-mapped IPv6 socket (Java's
//! default) is the same destination as the plain IPv4 one.
#![no_std]

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Version of the layouts below. Part of the pin path: an agent never touches the maps of another
/// layout.
pub const LAYOUT_VERSION: u32 = 4;

/// In every enrolled pod: where its captured outbound connections arrive.
pub const OUTBOUND_PORT: u16 = 15001;
/// In every enrolled pod: where captured plaintext inbound connections arrive.
pub const INBOUND_PLAINTEXT_PORT: u16 = 15006;
/// In every enrolled pod: the tunnel.
pub const HBONE_PORT: u16 = 15008;

/// Mark of a VM's packets that are for the agent: they are delivered here instead of being passed on. A bit
/// more than the mark of the agent's sockets, and not the one of those that connect as somebody else.
pub const GUEST_MARK: u32 = 0x2539;

/// An IP address; IPv4 in v4-mapped form.
pub type Ip = [u8; 16];

/// No address: the pod has none of that family.
pub const NO_IP: Ip = [0; 16];

/// `a.b.c.d` as `::ffff:a.b.c.d`.
#[must_use]
pub const fn mapped(v4: [u8; 4]) -> Ip {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, v4[0], v4[1], v4[2], v4[3]]
}

/// Whether the address is IPv4 on the wire.
#[must_use]
pub const fn is_v4(ip: &Ip) -> bool {
    matches!(ip, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ..])
}

/// Whether the address is the machine's own by definition: loopback, or unspecified, which connects to
/// loopback.
#[must_use]
pub const fn is_loopback(ip: &Ip) -> bool {
    matches!(
        ip,
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, ..]
            | [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0]
            | [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 | 1]
    )
}

/// An IPv6 address as the kernel's contexts hold it: four words in network byte order.
#[must_use]
pub const fn from_words(words: [u32; 4]) -> Ip {
    let [a, b, c, d] = [words[0].to_ne_bytes(), words[1].to_ne_bytes(), words[2].to_ne_bytes(), words[3].to_ne_bytes()];
    [a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3], c[0], c[1], c[2], c[3], d[0], d[1], d[2], d[3]]
}

/// What holds for the whole node. The only entry of `CONFIG`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct NodeConfig {
    /// Cookie of the node's own network namespace: its connections to pods are probes.
    pub host_netns: u64,
    /// `SO_MARK` of the agent's own sockets, as far as `agent_mark_mask` goes.
    pub agent_mark: u32,
    /// The bits of it that count.
    pub agent_mark_mask: u32,
    /// 1: every destination is the mesh's, because `DESTINATIONS` could not be filled; else 0.
    pub capture_all: u32,
    /// How many workers the agent has: each has listeners of its own.
    pub workers: u32,
}

impl NodeConfig {
    /// Whether a socket with this mark is the agent's.
    #[must_use]
    pub const fn is_agent(&self, mark: u32) -> bool {
        mark & self.agent_mark_mask == self.agent_mark
    }
}

/// An enrolled pod. Key of `PODS`: the cookie of its network namespace.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Pod {
    /// Its IPv4 address, v4-mapped; [`NO_IP`] if it has none.
    pub ip4: Ip,
    /// Its IPv6 address; [`NO_IP`] if it has none.
    pub ip6: Ip,
}

/// An address and port an application asked for.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Destination {
    /// The address.
    pub ip: Ip,
    /// The port, host byte order.
    pub port: u16,
    /// Always zero.
    pub pad: [u8; 2],
}

/// A captured connection as the agent sees it at accept. Key of `ORIGINAL_BY_FLOW`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct FlowKey {
    /// Cookie of the pod's network namespace.
    pub netns: u64,
    /// Its source address, as on the wire.
    pub source: Ip,
    /// Its source port, host byte order.
    pub source_port: u16,
    /// Always zero.
    pub pad: [u8; 6],
}

/// One of the agent's listeners in a pod. Key of `LISTENERS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct ListenerKey {
    /// The pod's address.
    pub ip: Ip,
    /// 15001, 15006 or 15008: what the listener is for. The port it is bound to is another.
    pub port: u16,
    /// Whose listener it is.
    pub worker: u16,
}

/// A TCP connection on its way. Key of `PASS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Tuple {
    /// Who connects.
    pub source: Ip,
    /// To whom.
    pub destination: Ip,
    /// Host byte order.
    pub source_port: u16,
    /// Host byte order.
    pub destination_port: u16,
}

/// What can go wrong in a kernel program; index into `FAULTS`. Each is counted, and each ends the
/// connection rather than letting it go uncaptured.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The socket's original destination could not be kept.
    RememberSocket = 0,
    /// The flow's original destination could not be published to the agent.
    PublishFlow = 1,
    /// The agent's own last hop could not be recorded: it will be captured and refused.
    RecordPass = 2,
    /// The pod has no address of the family its application asks for.
    NoPodAddress = 3,
    /// A connection found no listener of the agent.
    NoListener = 4,
    /// An inbound connection was for an address that is not the pod's.
    NotPodAddress = 5,
    /// A VM's packet that cannot be told to be harmless: a fragment, or one that says it is from the guest and
    /// comes from elsewhere.
    UnreadablePacket = 6,
    /// A VM's packet would have left for the mesh past the agent.
    Uncaptured = 7,
}

/// All of them, with the word used in metrics.
pub const FAULTS: [(Fault, &str); 8] = [
    (Fault::RememberSocket, "remember_socket"),
    (Fault::PublishFlow, "publish_flow"),
    (Fault::RecordPass, "record_pass"),
    (Fault::NoPodAddress, "no_pod_address"),
    (Fault::NoListener, "no_listener"),
    (Fault::NotPodAddress, "not_pod_address"),
    (Fault::UnreadablePacket, "unreadable_packet"),
    (Fault::Uncaptured, "uncaptured"),
];

const _: () = assert!(size_of::<NodeConfig>() == 24);
const _: () = assert!(size_of::<Pod>() == 32);
const _: () = assert!(size_of::<Destination>() == 20);
const _: () = assert!(size_of::<FlowKey>() == 32);
const _: () = assert!(size_of::<ListenerKey>() == 20);
const _: () = assert!(size_of::<Tuple>() == 36);
