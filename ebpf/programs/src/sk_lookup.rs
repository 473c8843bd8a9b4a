//! sk_lookup: every TCP connection that arrives at an enrolled pod goes to the node agent first.
//!
//! Attach:  network namespace of each enrolled pod.   Context: bpf_sk_lookup, a SYN looks for a listener.
//! Reads:   PASS, LISTENERS, POD_ADDRESSES, CONFIG.   Writes: nothing.
//! Verdict: the ports 15001 (from the pod itself), 15006 and 15008 are the agent's listeners, whoever
//!          else is bound to them. Of the rest, what comes from the pod itself (source address =
//!          destination address, or either is loopback) and what was recorded in PASS goes to the ordinary
//!          look-up. Everything else goes to the agent's plaintext listener. Where there is no listener
//!          (no agent), or the address is not the pod's: dropped, the peer gets a reset.
//! Kernel:  5.9.
//!
//! In the namespace of a virtual machine, whose packets tc steers, `guest_lookup` takes the place of this
//! program: for a look-up that comes after that, when a connection begins with the addresses and ports of one
//! that is just over. Whatever else is looked for there is not the machine's.
//!
//! The agent's listeners are bound to loopback and ports of the kernel's choice, and reached only through
//! this program: nobody in the pod can take their place, and nobody's place is taken. From outside, a
//! packet from or to a loopback address is never delivered, and one whose source is the pod's own address
//! gets its answer sent to the pod itself.

use ambit_ebpf_types::{
    Fault, HBONE_PORT, INBOUND_PLAINTEXT_PORT, Ip, OUTBOUND_PORT, Tuple, from_words, is_loopback, mapped,
};
use aya_ebpf::bindings::{BPF_SK_LOOKUP_F_NO_REUSEPORT, bpf_sk_lookup, sk_action};
use aya_ebpf::macros::sk_lookup;
use aya_ebpf::programs::SkLookupContext;

use crate::maps::{LISTENERS, POD_ADDRESSES, count, is_mesh, listener_key, passes};

const AF_INET: u32 = 2;
const IPPROTO_TCP: u32 = 6;

/// See the file's header.
#[sk_lookup]
pub fn ambit_sk_lookup(context: SkLookupContext) -> u32 {
    match steer(&context) {
        Ok(()) => sk_action::SK_PASS,
        Err(fault) => {
            count(fault);
            sk_action::SK_DROP
        }
    }
}

/// See the file's header.
#[sk_lookup]
pub fn ambit_guest_lookup(context: SkLookupContext) -> u32 {
    // Who is not served finds nobody: the packet was the agent's.
    if let Err(fault) = steer_guest(&context) {
        count(fault);
        return sk_action::SK_DROP;
    }
    sk_action::SK_PASS
}

#[inline(always)]
fn steer_guest(context: &SkLookupContext) -> Result<(), Fault> {
    // SAFETY: as in `steer`.
    if unsafe { (*context.lookup).protocol } != IPPROTO_TCP {
        return Ok(());
    }
    let tuple = tuple(context.lookup);
    // SAFETY: only the presence is asked for.
    if unsafe { POD_ADDRESSES.get(tuple.destination) }.is_some() {
        let port = if tuple.destination_port == HBONE_PORT { HBONE_PORT } else { INBOUND_PLAINTEXT_PORT };
        return assign(context, &tuple, tuple.destination, port);
    }
    // SAFETY: as above.
    if is_mesh(&tuple.destination) && unsafe { POD_ADDRESSES.get(tuple.source) }.is_some() {
        return assign(context, &tuple, tuple.source, OUTBOUND_PORT);
    }
    Ok(())
}

#[inline(always)]
fn steer(context: &SkLookupContext) -> Result<(), Fault> {
    // SAFETY: the kernel passes a valid context; the verifier checks each field.
    let protocol = unsafe { (*context.lookup).protocol };
    if protocol != IPPROTO_TCP {
        return Ok(());
    }
    let tuple = tuple(context.lookup);
    if is_loopback(&tuple.destination) || is_loopback(&tuple.source) {
        return Ok(());
    }
    let is_local = tuple.source == tuple.destination;
    match tuple.destination_port {
        HBONE_PORT => return assign(context, &tuple, tuple.destination, HBONE_PORT),
        OUTBOUND_PORT if is_local => return assign(context, &tuple, tuple.destination, OUTBOUND_PORT),
        _ => {}
    }
    if is_local || passes(&tuple) {
        return Ok(());
    }
    // SAFETY: only the presence is asked for.
    if unsafe { POD_ADDRESSES.get(tuple.destination) }.is_none() {
        return Err(Fault::NotPodAddress);
    }
    assign(context, &tuple, tuple.destination, INBOUND_PLAINTEXT_PORT)
}

/// Gives the connection to the listener of one of the workers in the pod `ip`.
#[inline(always)]
fn assign(context: &SkLookupContext, tuple: &Tuple, ip: Ip, port: u16) -> Result<(), Fault> {
    let mut key = listener_key(tuple, ip, port);
    // The agent's own listeners are in no group, and no other socket gets into one with them.
    let flags = u64::from(BPF_SK_LOOKUP_F_NO_REUSEPORT);
    if LISTENERS.redirect_sk_lookup(context, key, flags).is_ok() {
        return Ok(());
    }
    // A successor with another number of workers is about to enrol this pod.
    key.worker = 0;
    LISTENERS.redirect_sk_lookup(context, key, flags).map_err(|_| Fault::NoListener)
}

#[inline(always)]
fn tuple(lookup: *const bpf_sk_lookup) -> Tuple {
    // SAFETY: as in `steer`.
    let family = unsafe { (*lookup).family };
    let (source, destination) = if family == AF_INET {
        // SAFETY: as in `steer`.
        let (remote, local) =
            unsafe { (word!(lookup, bpf_sk_lookup, remote_ip4, 0), word!(lookup, bpf_sk_lookup, local_ip4, 0)) };
        (mapped(remote.to_ne_bytes()), mapped(local.to_ne_bytes()))
    } else {
        // SAFETY: as in `steer`.
        let (remote, local) =
            unsafe { (words!(lookup, bpf_sk_lookup, remote_ip6), words!(lookup, bpf_sk_lookup, local_ip6)) };
        (from_words(remote), from_words(local))
    };
    // SAFETY: as in `steer`. The local port is in host byte order, the remote one is not.
    let (source_port, destination_port) = unsafe { ((*lookup).remote_port, (*lookup).local_port) };
    Tuple { source, destination, source_port: u16::from_be(source_port), destination_port: destination_port as u16 }
}
