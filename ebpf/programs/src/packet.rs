//! Reading a packet at an interface: its addresses, its ports, and whether it opens a connection.

use core::ffi::c_void;
use core::mem::MaybeUninit;

use ambit_ebpf_types::{Ip, Tuple, is_v4, mapped};
use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::bindings::bpf_hdr_start_off::BPF_HDR_START_NET;
use aya_ebpf::helpers::generated::{bpf_skb_load_bytes_relative, bpf_tcp_check_syncookie};
use aya_ebpf::programs::TcContext;

const ETH_P_IP: u16 = 0x0800;
const ETH_P_IPV6: u16 = 0x86dd;
const IPPROTO_TCP: u8 = 6;
const IPPROTO_FRAGMENT: u8 = 44;
const IPPROTO_ICMP: u8 = 1;
const IPPROTO_ICMPV6: u8 = 58;
const IPV6_HEADER: u32 = 40;
const ICMP_HEADER: u32 = 8;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// A TCP packet, or one of which that cannot be ruled out.
///
/// It is read in place, by the helper that copies packets' bytes: what is passed around by value the compiler
/// keeps in registers, a byte each, and there are not enough.
pub struct Packet {
    /// Its addresses, and its ports if it is readable.
    pub tuple: Tuple,
    /// Its TCP flags. None of a fragment and of one whose TCP header is not where it ought to be: then it
    /// cannot be told what it would do to a connection.
    flags: Option<u8>,
    /// Where its TCP header is.
    tcp: u32,
}

impl Packet {
    /// Of no connection yet.
    pub const EMPTY: Self = Self {
        tuple: Tuple { source: [0; 16], destination: [0; 16], source_port: 0, destination_port: 0 },
        flags: None,
        tcp: 0,
    };

    /// Reads a packet. Whether it is TCP.
    #[inline(always)]
    pub fn read(&mut self, context: &TcContext) -> bool {
        match ether_type(context) {
            ETH_P_IP => self.read4(context, 0),
            ETH_P_IPV6 => self.read6(context, 0),
            _ => false,
        }
    }

    /// Reads an error of the network about a TCP packet. Whether it is one; the tuple is then that of an answer
    /// to the packet.
    #[inline(always)]
    pub fn read_error(&mut self, context: &TcContext) -> bool {
        let is_error = match ether_type(context) {
            ETH_P_IP => match error4(context) {
                Some(at) => self.read4(context, at),
                None => false,
            },
            ETH_P_IPV6 => is_error6(context) && self.read6(context, IPV6_HEADER + ICMP_HEADER),
            _ => false,
        };
        let Tuple { source, destination, source_port, destination_port } = self.tuple;
        self.tuple = Tuple {
            source: destination,
            destination: source,
            source_port: destination_port,
            destination_port: source_port,
        };
        is_error
    }

    /// Whether the ports are known.
    #[inline(always)]
    pub fn is_readable(&self) -> bool {
        self.flags.is_some()
    }

    /// Whether it opens a connection.
    #[inline(always)]
    pub fn opens(&self) -> bool {
        self.flags.is_some_and(|flags| flags & (SYN | ACK) == SYN)
    }

    /// Whether it ends a handshake that a listener answered with a SYN cookie.
    #[inline(always)]
    pub fn has_cookie_of(&self, context: &TcContext, listener: *mut c_void) -> bool {
        let v4 = is_v4(&self.tuple.source);
        let length = if v4 { 20 } else { IPV6_HEADER };
        let Some(mut ip) = load::<{ IPV6_HEADER as usize }>(context, 0) else { return false };
        let Some(mut tcp) = load::<20>(context, self.tcp) else { return false };
        // SAFETY: the socket is a listener that the caller holds, both headers are live locals.
        unsafe { bpf_tcp_check_syncookie(listener, ip.as_mut_ptr().cast(), length, tcp.as_mut_ptr().cast(), 20) == 0 }
    }

    /// What is shorter than its header is delivered to nobody.
    #[inline(always)]
    fn read4(&mut self, context: &TcContext, at: u32) -> bool {
        let Some([version, _, _, _, _, _, fragment, offset, _, protocol]) = load::<10>(context, at) else {
            return false;
        };
        if protocol != IPPROTO_TCP {
            return false;
        }
        (self.tuple.source, self.tuple.destination) = (mapped([0; 4]), mapped([0; 4]));
        if !load_into(context, at + 12, &mut self.tuple.source, 12, 4)
            || !load_into(context, at + 16, &mut self.tuple.destination, 12, 4)
        {
            return false;
        }
        // Neither "more fragments" nor an offset.
        if u16::from_be_bytes([fragment, offset]) & 0x3fff == 0 {
            self.read_tcp(context, at + u32::from(version & 0xf) * 4);
        }
        true
    }

    #[inline(always)]
    fn read6(&mut self, context: &TcContext, at: u32) -> bool {
        let Some([protocol]) = load::<1>(context, at + 6) else { return false };
        let is_tcp = match protocol {
            IPPROTO_TCP => true,
            // Large datagrams are fragmented, and nothing of ours.
            IPPROTO_FRAGMENT => match load::<1>(context, at + IPV6_HEADER) {
                Some([inner]) if inner == IPPROTO_TCP || is_extension(inner) => false,
                _ => return false,
            },
            other if is_extension(other) => false,
            _ => return false,
        };
        if !load_into(context, at + 8, &mut self.tuple.source, 0, 16)
            || !load_into(context, at + 24, &mut self.tuple.destination, 0, 16)
        {
            return false;
        }
        if is_tcp {
            self.read_tcp(context, at + IPV6_HEADER);
        }
        true
    }

    #[inline(always)]
    fn read_tcp(&mut self, context: &TcContext, at: u32) {
        if let Some([s0, s1, d0, d1]) = load::<4>(context, at) {
            self.tuple.source_port = u16::from_be_bytes([s0, s1]);
            self.tuple.destination_port = u16::from_be_bytes([d0, d1]);
        }
        // Missing in what errors quote.
        self.flags = load::<1>(context, at + 13).map(|[flags]| flags);
        self.tcp = at;
    }
}

#[inline(always)]
fn ether_type(context: &TcContext) -> u16 {
    // SAFETY: the kernel passes a valid context; the verifier checks the field.
    u16::from_be(unsafe { word!(context.skb.skb, __sk_buff, protocol, 0) } as u16)
}

/// Where the packet is that an ICMP error is about: unreachable (too big among it), out of time, malformed.
#[inline(always)]
fn error4(context: &TcContext) -> Option<u32> {
    let [version, _, _, _, _, _, _, _, _, protocol] = load::<10>(context, 0)?;
    let length = u32::from(version & 0xf) * 4;
    let [kind] = load::<1>(context, length)?;
    (protocol == IPPROTO_ICMP && matches!(kind, 3 | 11 | 12)).then_some(length + ICMP_HEADER)
}

/// Errors are the types below 128; those in use are these.
#[inline(always)]
fn is_error6(context: &TcContext) -> bool {
    let (Some([protocol]), Some([kind])) = (load::<1>(context, 6), load::<1>(context, IPV6_HEADER)) else {
        return false;
    };
    protocol == IPPROTO_ICMPV6 && matches!(kind, 1..=4)
}

/// Whether TCP may follow this header: hop-by-hop, routing, fragment, authentication, destination
/// options, mobility, HIP, shim6 and the two of experiments.
#[inline(always)]
fn is_extension(protocol: u8) -> bool {
    matches!(protocol, 0 | 43 | 44 | 51 | 60 | 135 | 139 | 140 | 253 | 254)
}

#[inline(always)]
fn load<const N: usize>(context: &TcContext, at: u32) -> Option<[u8; N]> {
    let mut bytes = MaybeUninit::<[u8; N]>::uninit();
    // SAFETY: the pointer is to a live local of the size given.
    let loaded = unsafe { load_raw(context, at, bytes.as_mut_ptr().cast(), N as u32) };
    // SAFETY: the helper has written all of it.
    loaded.then(|| unsafe { bytes.assume_init() })
}

/// Into `address`, from its `start`th byte on.
#[inline(always)]
fn load_into(context: &TcContext, at: u32, address: &mut Ip, start: usize, length: u32) -> bool {
    // SAFETY: the callers stay within the sixteen bytes.
    unsafe { load_raw(context, at, address.as_mut_ptr().add(start), length) }
}

/// Counted from the start of the IP header: whether a link header comes before it differs from interface to
/// interface.
#[inline(always)]
unsafe fn load_raw(context: &TcContext, at: u32, to: *mut u8, length: u32) -> bool {
    // SAFETY: the caller's promise.
    unsafe { bpf_skb_load_bytes_relative(context.as_ptr(), at, to.cast(), length, BPF_HDR_START_NET) == 0 }
}
