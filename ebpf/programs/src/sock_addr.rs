//! Reading and writing the context of the sock_addr programs. All raw field access is here.

use ambit_ebpf_types::{Ip, from_words, mapped};
use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::bpf_sock_addr;
use aya_ebpf::helpers::generated::{bpf_get_netns_cookie, bpf_get_socket_cookie};
use aya_ebpf::programs::SockAddrContext;

const SOCK_STREAM: u32 = 1;
const IPPROTO_TCP: u32 = 6;
const IPPROTO_MPTCP: u32 = 262;

/// An address family of the hook, not of the wire: a v4-mapped address comes through `V6`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// connect4, getpeername4.
    V4,
    /// connect6, getpeername6.
    V6,
}

fn raw(context: &SockAddrContext) -> *mut bpf_sock_addr {
    context.sock_addr
}

/// Whether this is a TCP (or multipath TCP) socket.
#[inline(always)]
pub fn is_tcp(context: &SockAddrContext) -> bool {
    // SAFETY: the kernel passes a valid context; the verifier checks the field.
    let (kind, protocol) = unsafe { ((*raw(context)).type_, (*raw(context)).protocol) };
    kind == SOCK_STREAM && (protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP)
}

/// The network namespace of the socket.
#[inline(always)]
pub fn netns(context: &SockAddrContext) -> u64 {
    // SAFETY: the helper takes the program's own context.
    unsafe { bpf_get_netns_cookie(context.as_ptr()) }
}

/// The socket's cookie, unique for the life of the kernel.
#[inline(always)]
pub fn socket(context: &SockAddrContext) -> u64 {
    // SAFETY: the helper takes the program's own context.
    unsafe { bpf_get_socket_cookie(context.as_ptr()) }
}

/// The address in the context: what the application asks for, or is about to be told.
#[inline(always)]
pub fn ip(context: &SockAddrContext, family: Family) -> Ip {
    match family {
        Family::V4 => {
            // SAFETY: as in `is_tcp`.
            let ip4 = unsafe { (*raw(context)).user_ip4 };
            mapped(ip4.to_ne_bytes())
        }
        Family::V6 => {
            // SAFETY: as in `is_tcp`.
            let words = unsafe { words!(raw(context), bpf_sock_addr, user_ip6) };
            from_words(words)
        }
    }
}

/// The port in the context, host byte order.
#[inline(always)]
pub fn port(context: &SockAddrContext) -> u16 {
    // SAFETY: as in `is_tcp`. The field is a big-endian u16 in a u32.
    u16::from_be(unsafe { (*raw(context)).user_port } as u16)
}

/// Replaces address and port.
#[inline(always)]
pub fn set(context: &SockAddrContext, family: Family, ip: &Ip, port: u16) {
    let word = |at: usize| u32::from_ne_bytes([ip[at], ip[at + 1], ip[at + 2], ip[at + 3]]);
    match family {
        // SAFETY: as in `is_tcp`; the kernel allows writing this field from these hooks.
        Family::V4 => unsafe { (*raw(context)).user_ip4 = word(12) },
        // SAFETY: as above.
        Family::V6 => unsafe {
            core::ptr::write_volatile(&raw mut (*raw(context)).user_ip6[0], word(0));
            core::ptr::write_volatile(&raw mut (*raw(context)).user_ip6[1], word(4));
            core::ptr::write_volatile(&raw mut (*raw(context)).user_ip6[2], word(8));
            core::ptr::write_volatile(&raw mut (*raw(context)).user_ip6[3], word(12));
        },
    }
    // SAFETY: as above.
    unsafe { (*raw(context)).user_port = u32::from(port.to_be()) };
}
