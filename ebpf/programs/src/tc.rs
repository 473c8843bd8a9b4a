//! tc: the packets of a workload that is a virtual machine, whose sockets no other program sees.
//!
//! Attach:  interfaces of the VM's network namespace (TCX): where the guest is `from_guest` at ingress and
//!          `arriving` at egress, on all others but loopback `to_guest` and `leaving`.
//!          Context: __sk_buff, before routing, and after it.
//! Reads:   CONFIG, DESTINATIONS, POD_ADDRESSES, PASS, LISTENERS.   Writes: nothing; the packet's socket
//!          and its mark, by which routing delivers it here instead of passing it on.
//! Verdict: a packet of a connection that the agent has is that socket's, and so is an ICMP error about it. Of
//!          the rest,
//!          from the guest: what is for a destination of the mesh is the agent's outbound listener's;
//!          to the guest:   what opens a connection is the agent's tunnel or plaintext listener's, but for
//!                          what PASS holds (the node's probes);
//!          leaving:        what is the workload's, for a destination of the mesh and not the agent's, is
//!                          dropped;
//!          arriving:       what opens a connection and is neither the agent's nor the namespace's own, nor
//!                          in PASS, is dropped. Both came by an interface that the agent does not know yet,
//!                          or are for an address of the guest that is not the workload's.
//!          Everything else goes its way, to the next program. Dropped: what is for the agent while there
//!          is no agent; what cannot be read (fragments, TCP behind IPv6 extension headers); and what says
//!          it is from the guest and comes from elsewhere, or is for the mesh from an address of the guest
//!          that is not the workload's.
//! Kernel:  6.6 (TCX).
//!
//! From the guest to the mesh goes nothing without a socket, not even the rest of a connection: were the
//! agent killed, what the guest goes on sending would be plaintext on the wire. The listener answers such a
//! packet with a reset, so a connection made before the VM's enrolment ends with it.

use core::ffi::c_void;

use ambit_ebpf_types::{Fault, GUEST_MARK, HBONE_PORT, INBOUND_PLAINTEXT_PORT, Ip, OUTBOUND_PORT, Tuple, is_v4};
use aya_ebpf::EbpfContext;
use aya_ebpf::bindings::{__sk_buff, TC_ACT_SHOT, TC_ACT_UNSPEC, bpf_sock};
use aya_ebpf::helpers::generated::{bpf_map_lookup_elem, bpf_sk_assign, bpf_sk_release, bpf_skc_lookup_tcp};
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;

use crate::maps::{CONFIG, LISTENERS, PASS, POD_ADDRESSES, count, is_mesh, listener_key, passes};
use crate::packet::Packet;

const TCP_LISTEN: u32 = 10;
/// The namespace of the packet's interface.
const CURRENT_NETNS: u64 = u64::MAX;

/// See the file's header.
#[classifier]
pub fn ambit_from_guest(context: TcContext) -> i32 {
    verdict(from_guest(&context))
}

/// See the file's header.
#[classifier]
pub fn ambit_to_guest(context: TcContext) -> i32 {
    verdict(to_guest(&context))
}

/// See the file's header.
#[classifier]
pub fn ambit_leaving(context: TcContext) -> i32 {
    verdict(leaving(&context))
}

/// See the file's header.
#[classifier]
pub fn ambit_arriving(context: TcContext) -> i32 {
    verdict(arriving(&context))
}

#[inline(always)]
fn verdict(result: Result<(), Fault>) -> i32 {
    match result {
        // Others may watch the same interface: their programs come next.
        Ok(()) => TC_ACT_UNSPEC,
        Err(fault) => {
            count(fault);
            TC_ACT_SHOT
        }
    }
}

#[inline(always)]
fn from_guest(context: &TcContext) -> Result<(), Fault> {
    let mut packet = Packet::EMPTY;
    if is_steered(context) {
        return Ok(());
    }
    if !packet.read(context) {
        steer_error(context, &mut packet);
        return Ok(());
    }
    if packet.is_readable() && steer_to_connection(context, &packet)? {
        return Ok(());
    }
    let tuple = &packet.tuple;
    if !is_mesh(&tuple.destination) || answers_passed(&packet) {
        return Ok(());
    }
    if !packet.is_readable() {
        return Err(Fault::UnreadablePacket);
    }
    // SAFETY: only the presence is asked for.
    if unsafe { POD_ADDRESSES.get(tuple.source) }.is_none() {
        return Err(Fault::NoPodAddress);
    }
    steer_to_listener(context, tuple, tuple.source, OUTBOUND_PORT)
}

#[inline(always)]
fn to_guest(context: &TcContext) -> Result<(), Fault> {
    let mut packet = Packet::EMPTY;
    if is_steered(context) {
        return Ok(());
    }
    if !packet.read(context) {
        steer_error(context, &mut packet);
        return Ok(());
    }
    let tuple = &packet.tuple;
    // SAFETY: only the presence is asked for.
    if unsafe { POD_ADDRESSES.get(tuple.destination) }.is_none() {
        return Ok(());
    }
    if !packet.is_readable() || tuple.source == tuple.destination {
        return Err(Fault::UnreadablePacket);
    }
    if steer_to_connection(context, &packet)? || passes(tuple) {
        return Ok(());
    }
    let port = if tuple.destination_port == HBONE_PORT { HBONE_PORT } else { INBOUND_PLAINTEXT_PORT };
    if packet.opens() {
        return steer_to_listener(context, tuple, tuple.destination, port);
    }
    finish_handshake(context, &packet, port)
}

#[inline(always)]
fn leaving(context: &TcContext) -> Result<(), Fault> {
    let mut packet = Packet::EMPTY;
    if !packet.read(context) {
        return Ok(());
    }
    // SAFETY: only the presence is asked for.
    let is_guest = unsafe { POD_ADDRESSES.get(packet.tuple.source) }.is_some();
    if is_guest && is_mesh(&packet.tuple.destination) && !is_agent(context) && !answers_passed(&packet) {
        return Err(Fault::Uncaptured);
    }
    Ok(())
}

#[inline(always)]
fn arriving(context: &TcContext) -> Result<(), Fault> {
    let mut packet = Packet::EMPTY;
    if !packet.read(context) {
        return Ok(());
    }
    let may_open = packet.opens() || !packet.is_readable();
    if may_open && !is_agent(context) && !is_own(context) && !passes(&packet.tuple) {
        return Err(Fault::Uncaptured);
    }
    Ok(())
}

/// Whether the packet is of a socket of the agent's, by its mark: what is passed on has none.
#[inline(always)]
fn is_agent(context: &TcContext) -> bool {
    CONFIG.get(0).is_some_and(|config| config.is_agent(mark(context)))
}

/// Whether the packet is of a socket in the namespace.
#[inline(always)]
fn is_own(context: &TcContext) -> bool {
    // SAFETY: the kernel passes a valid context; the verifier checks the field.
    let socket = unsafe { (*context.skb.skb).__bindgen_anon_2.sk };
    !socket.is_null()
}

#[inline(always)]
fn mark(context: &TcContext) -> u32 {
    // SAFETY: as above.
    unsafe { word!(context.skb.skb, __sk_buff, mark, 0) }
}

/// Whether the program of a newer agent, which stands before this one, has given the packet to that already.
#[inline(always)]
fn is_steered(context: &TcContext) -> bool {
    mark(context) == GUEST_MARK
}

/// Whether this is the guest's side of a connection that passed the capture, which PASS holds until the
/// node's side of it closes.
#[inline(always)]
fn answers_passed(packet: &Packet) -> bool {
    let Tuple { source, destination, source_port, destination_port } = packet.tuple;
    let other_way = Tuple {
        source: destination,
        destination: source,
        source_port: destination_port,
        destination_port: source_port,
    };
    // SAFETY: only the presence is asked for.
    packet.is_readable() && !packet.opens() && unsafe { PASS.get(other_way) }.is_some()
}

/// Gives the packet to the agent's connection that it is of, if there is one: established, being set up,
/// or just over.
#[inline(always)]
fn steer_to_connection(context: &TcContext, packet: &Packet) -> Result<bool, Fault> {
    let Some(socket) = connection(context, &packet.tuple) else { return Ok(false) };
    // SAFETY: not null; the verifier checks the field.
    if unsafe { (*socket).state } == TCP_LISTEN {
        // SAFETY: a reference that the look-up took.
        unsafe { bpf_sk_release(socket.cast()) };
        return Ok(false);
    }
    assign(context, socket.cast()).map(|()| true)
}

/// Has an error of the network about a packet of the agent's delivered to the agent, as that a packet was too
/// big for the way.
#[inline(always)]
fn steer_error(context: &TcContext, packet: &mut Packet) {
    if !packet.read_error(context) {
        return;
    }
    let Some(socket) = connection(context, &packet.tuple) else { return };
    // SAFETY: not null; the verifier checks the field.
    let is_listener = unsafe { (*socket).state } == TCP_LISTEN;
    // SAFETY: a reference that the look-up took; who is meant is looked up again when it is delivered.
    unsafe { bpf_sk_release(socket.cast()) };
    if !is_listener {
        context.set_mark(GUEST_MARK);
    }
}

/// A listener that answers with SYN cookies keeps nothing of a connection until the last packet of its
/// handshake. That one is the listener's; any other without a connection is not the agent's business.
#[inline(always)]
fn finish_handshake(context: &TcContext, packet: &Packet, port: u16) -> Result<(), Fault> {
    let key = listener_key(&packet.tuple, packet.tuple.destination, port);
    let socket = listener(&key);
    if socket.is_null() {
        return Ok(());
    }
    if packet.has_cookie_of(context, socket) {
        return assign(context, socket);
    }
    // SAFETY: a reference that the look-up took.
    unsafe { bpf_sk_release(socket) };
    Ok(())
}

#[inline(always)]
fn steer_to_listener(context: &TcContext, tuple: &Tuple, pod: Ip, port: u16) -> Result<(), Fault> {
    let mut key = listener_key(tuple, pod, port);
    let mut socket = listener(&key);
    if socket.is_null() {
        // A successor with another number of workers is about to enrol this pod.
        key.worker = 0;
        socket = listener(&key);
    }
    if socket.is_null() {
        return Err(Fault::NoListener);
    }
    assign(context, socket)
}

/// Takes over the reference to the socket.
#[inline(always)]
fn assign(context: &TcContext, socket: *mut c_void) -> Result<(), Fault> {
    // SAFETY: the context is the program's own, the socket was looked up and is not null.
    let refused = unsafe { bpf_sk_assign(context.as_ptr(), socket, 0) };
    // SAFETY: a reference that the look-up took; the packet has its own.
    unsafe { bpf_sk_release(socket) };
    if refused != 0 {
        return Err(Fault::NoListener);
    }
    context.set_mark(GUEST_MARK);
    Ok(())
}

#[inline(always)]
fn listener(key: &ambit_ebpf_types::ListenerKey) -> *mut c_void {
    // SAFETY: the map is the kernel's own, the key is one of its keys.
    unsafe { bpf_map_lookup_elem((&raw const LISTENERS).cast_mut().cast(), core::ptr::from_ref(key).cast()) }
}

/// The socket whose connection this is, or else a listener, in the namespace of the packet's interface.
#[inline(always)]
fn connection(context: &TcContext, tuple: &Tuple) -> Option<*mut bpf_sock> {
    let socket = if is_v4(&tuple.source) {
        let ([.., a, b, c, d], [.., e, f, g, h]) = (tuple.source, tuple.destination);
        let ([i, j], [k, l]) = (tuple.source_port.to_be_bytes(), tuple.destination_port.to_be_bytes());
        let mut key = [a, b, c, d, e, f, g, h, i, j, k, l];
        // SAFETY: laid out as the IPv4 half of bpf_sock_tuple, whose size tells the kernel which it is.
        unsafe { bpf_skc_lookup_tcp(context.as_ptr(), (&raw mut key).cast(), 12, CURRENT_NETNS, 0) }
    } else {
        let (source_port, destination_port) = (tuple.source_port.to_be(), tuple.destination_port.to_be());
        let mut key = Tuple { source_port, destination_port, ..*tuple };
        // SAFETY: a Tuple with big-endian ports is laid out as the IPv6 half of bpf_sock_tuple.
        unsafe { bpf_skc_lookup_tcp(context.as_ptr(), (&raw mut key).cast(), 36, CURRENT_NETNS, 0) }
    };
    (!socket.is_null()).then_some(socket)
}
