//! cgroup/getpeername4 and getpeername6: a captured application sees the peer it asked for.
//!
//! Attach:  root of the cgroup v2 hierarchy, once a node.   Context: bpf_sock_addr.
//! Reads:   ORIGINAL_BY_SOCKET.                             Writes: nothing.
//! Verdict: always proceeds; an unknown socket is answered as the kernel would.
//! Kernel:  5.8.

use ambit_ebpf_types::OUTBOUND_PORT;
use aya_ebpf::macros::cgroup_sock_addr;
use aya_ebpf::programs::SockAddrContext;

use crate::maps::ORIGINAL_BY_SOCKET;
use crate::sock_addr::{self, Family};

const PROCEED: i32 = 1;

/// See the file's header.
#[cgroup_sock_addr(getpeername4)]
pub fn ambit_getpeername4(context: SockAddrContext) -> i32 {
    answer(&context, Family::V4);
    PROCEED
}

/// See the file's header.
#[cgroup_sock_addr(getpeername6)]
pub fn ambit_getpeername6(context: SockAddrContext) -> i32 {
    answer(&context, Family::V6);
    PROCEED
}

#[inline(always)]
fn answer(context: &SockAddrContext, family: Family) {
    // A socket may be connected again elsewhere: only one that is at the agent has a stand-in.
    if sock_addr::port(context) != OUTBOUND_PORT {
        return;
    }
    // SAFETY: written once, before the socket connects; a copy is taken at once.
    if let Some(original) = unsafe { ORIGINAL_BY_SOCKET.get(sock_addr::socket(context)) } {
        sock_addr::set(context, family, &original.ip, original.port);
    }
}
