//! cgroup sock_ops: at connect, hand the agent what it needs and record what may pass the capture.
//!
//! Attach:  root of the cgroup v2 hierarchy, once a node.   Context: bpf_sock_ops.
//! Reads:   CONFIG, PODS, POD_ADDRESSES, ORIGINAL_BY_SOCKET.
//! Writes:  ORIGINAL_BY_FLOW (a captured connection's original destination, for the agent's accept);
//!          PASS (a handshake that the destination pod's sk_lookup lets through: the agent's own last
//!          hop inside the pod, and the node's own connections to its pods, as kubelet's probes).
//! Verdict: none is possible here. What cannot be recorded is counted, and the connection then is
//!          refused by the agent (no original destination) or captured (no pass).
//! Kernel:  5.15 (bpf_get_netns_cookie in sock_ops).
//!
//! A pass is bound to the pod: only a marked socket in an enrolled pod's own namespace, connecting to
//! that pod's own address, or a socket of the node's namespace. A neighbour's plain connection is
//! neither. It lasts for the handshake: while it is under way, and for a moment after, since with SYN
//! cookies the look-up comes with the last packet. It is taken back when the socket closes.
//!
//! Other programs may watch the same sockets: their callback flags are left as they are.

use ambit_ebpf_types::{Fault, FlowKey, Ip, OUTBOUND_PORT, Pod, Tuple, from_words, is_v4, mapped};
use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::{
    BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_STATE_CB, BPF_SOCK_OPS_STATE_CB_FLAG, BPF_SOCK_OPS_TCP_CONNECT_CB,
    bpf_sock_ops,
};
use aya_ebpf::helpers::generated::{bpf_get_netns_cookie, bpf_get_socket_cookie, bpf_ktime_get_ns};
use aya_ebpf::macros::sock_ops;
use aya_ebpf::programs::SockOpsContext;

use crate::maps::{CONFIG, ORIGINAL_BY_FLOW, ORIGINAL_BY_SOCKET, PASS, POD_ADDRESSES, PODS, count};

const AF_INET: u32 = 2;
const TCP_CLOSE: u32 = 7;
/// How long a handshake may take: a little longer than the agent waits for one.
const HANDSHAKE_NS: u64 = 12_000_000_000;
/// How long after it the last packet of it may still be looked up.
const LAST_ACK_NS: u64 = 1_000_000_000;

/// See the file's header. (Not named like its ELF section: the linker refuses that.)
#[sock_ops]
pub fn ambit_sock_ops(context: SockOpsContext) -> u32 {
    match context.op() {
        BPF_SOCK_OPS_TCP_CONNECT_CB => {
            if let Err(fault) = connecting(&context) {
                count(fault);
            }
        }
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB => established(&context),
        BPF_SOCK_OPS_STATE_CB if context.arg(1) == TCP_CLOSE => closed(&context),
        _ => {}
    }
    1
}

#[inline(always)]
fn connecting(context: &SockOpsContext) -> Result<(), Fault> {
    // SAFETY: the helper takes the program's own context.
    let netns = unsafe { bpf_get_netns_cookie(context.as_ptr()) };
    // SAFETY: written by the agent only, freed after a grace period.
    let pod = unsafe { PODS.get(netns) };
    let Some(config) = CONFIG.get(0) else { return Ok(()) };
    let tuple = tuple(context);
    let passes = match pod {
        Some(pod) => config.is_agent(mark(context)) && is_own(pod, &tuple.destination),
        // SAFETY: as above.
        None => netns == config.host_netns && unsafe { POD_ADDRESSES.get(tuple.destination) }.is_some(),
    };
    if passes {
        PASS.insert(tuple, now() + HANDSHAKE_NS, 0).map_err(|_| Fault::RecordPass)?;
        // To be told when the socket closes.
        let flags = context.cb_flags() | BPF_SOCK_OPS_STATE_CB_FLAG;
        return context.set_cb_flags(flags as i32).map_err(|_| Fault::RecordPass);
    }
    if pod.is_some() && tuple.destination_port == OUTBOUND_PORT {
        return publish(context, netns, &tuple);
    }
    Ok(())
}

/// Tells the agent what a connection to its capture port was meant for. A connection that an
/// application made to that port itself has no original destination and stays unpublished.
#[inline(always)]
fn publish(context: &SockOpsContext, netns: u64, tuple: &Tuple) -> Result<(), Fault> {
    // SAFETY: the helper takes the program's own context.
    let socket = unsafe { bpf_get_socket_cookie(context.as_ptr()) };
    // SAFETY: written by this socket's own connect; copied at once.
    let Some(original) = (unsafe { ORIGINAL_BY_SOCKET.get(socket) }) else { return Ok(()) };
    let original = *original;
    let key = FlowKey { netns, source: tuple.source, source_port: tuple.source_port, pad: [0; 6] };
    ORIGINAL_BY_FLOW.insert(key, original, 0).map_err(|_| Fault::PublishFlow)
}

/// Nearly every socket of the machine comes by here: the cheapest test first.
#[inline(always)]
fn established(context: &SockOpsContext) {
    if context.cb_flags() & BPF_SOCK_OPS_STATE_CB_FLAG == 0 {
        return;
    }
    let tuple = tuple(context);
    // SAFETY: only the presence is asked for.
    if unsafe { PASS.get(tuple) }.is_some() {
        // An update of what is there cannot fail; if it were evicted meanwhile, all the better.
        let _evicted = PASS.insert(tuple, now() + LAST_ACK_NS, 0);
    }
}

#[inline(always)]
fn closed(context: &SockOpsContext) {
    // Missing means that it was evicted, or never one of ours.
    let _missing = PASS.remove(tuple(context));
}

#[inline(always)]
fn now() -> u64 {
    // SAFETY: the helper takes nothing.
    unsafe { bpf_ktime_get_ns() }
}

#[inline(always)]
fn is_own(pod: &Pod, ip: &Ip) -> bool {
    *ip == pod.ip4 || *ip == pod.ip6
}

#[inline(always)]
fn mark(context: &SockOpsContext) -> u32 {
    // SAFETY: the verifier checks the field and wants the null check that follows.
    let socket = unsafe { (*context.ops).__bindgen_anon_2.sk };
    if socket.is_null() {
        return 0;
    }
    // SAFETY: not null, just checked; a bpf_sock of the verifier.
    unsafe { (*socket).mark }
}

/// The connection's addresses, as it will be on the wire.
#[inline(always)]
fn tuple(context: &SockOpsContext) -> Tuple {
    let ops = context.ops;
    // SAFETY: the kernel passes a valid context; the verifier checks each field.
    let (local4, remote4) =
        unsafe { (word!(ops, bpf_sock_ops, local_ip4, 0), word!(ops, bpf_sock_ops, remote_ip4, 0)) };
    let mut source = mapped(local4.to_ne_bytes());
    let mut destination = mapped(remote4.to_ne_bytes());
    if context.family() != AF_INET {
        // SAFETY: as above.
        let remote = from_words(unsafe { words!(ops, bpf_sock_ops, remote_ip6) });
        // The IPv4 fields of a v4-mapped socket are good; its IPv6 source is not yet on older kernels.
        if !is_v4(&remote) {
            destination = remote;
            // SAFETY: as above.
            source = from_words(unsafe { words!(ops, bpf_sock_ops, local_ip6) });
        }
    }
    Tuple {
        source,
        destination,
        source_port: context.local_port() as u16,
        // A u32 in network byte order: the port is in its upper half.
        destination_port: u16::from_be((context.remote_port() >> 16) as u16),
    }
}
