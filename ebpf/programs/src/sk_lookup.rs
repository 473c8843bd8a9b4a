//! sk_lookup: every TCP connection that arrives at an enrolled pod goes to the node agent first.
//!
//! Attach:  network namespace of each enrolled pod.   Context: bpf_sk_lookup, a SYN looks for a listener.
//! Reads:   PASS, LISTENERS.                          Writes: nothing.
//! Verdict: passed on to the ordinary look-up when it is not TCP, comes from the pod itself (source
//!          address = destination address: loopback, self-calls, the outbound capture), is for the
//!          tunnel's port, or was recorded in PASS. Else the agent's listener; when there is none
//!          (no agent), dropped: the peer gets a reset.
//! Kernel:  5.9.
//!
//! From outside, a packet whose source is the pod's own address is a martian and never gets here.

use ambit_ebpf_types::{Fault, HBONE_PORT, Tuple, from_words, mapped};
use aya_ebpf::bindings::{bpf_sk_lookup, sk_action};
use aya_ebpf::macros::sk_lookup;
use aya_ebpf::programs::SkLookupContext;

use crate::maps::{LISTENERS, PASS, count};

const AF_INET: u32 = 2;
const IPPROTO_TCP: u32 = 6;

/// See the file's header.
#[sk_lookup]
pub fn ambit_sk_lookup(context: SkLookupContext) -> u32 {
    if steer(&context) { sk_action::SK_PASS } else { sk_action::SK_DROP }
}

#[inline(always)]
fn steer(context: &SkLookupContext) -> bool {
    // SAFETY: the kernel passes a valid context; the verifier checks each field.
    let protocol = unsafe { (*context.lookup).protocol };
    if protocol != IPPROTO_TCP {
        return true;
    }
    let tuple = tuple(context.lookup);
    if tuple.source == tuple.destination || tuple.destination_port == HBONE_PORT {
        return true;
    }
    // SAFETY: only the presence is asked for.
    if unsafe { PASS.get(tuple) }.is_some() {
        return true;
    }
    if LISTENERS.redirect_sk_lookup(context, tuple.destination, 0).is_err() {
        count(Fault::NoListener);
        return false;
    }
    true
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
