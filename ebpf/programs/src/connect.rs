//! cgroup/connect4 and connect6: bring an enrolled pod's connections to the node agent.
//!
//! Attach:  root of the cgroup v2 hierarchy, once a node.   Context: bpf_sock_addr, before routing.
//! Reads:   CONFIG, PODS (by netns cookie), DESTINATIONS, AGENT_SOCKETS, HOST_PORTS.
//! Writes:  ORIGINAL_BY_SOCKET.
//! Verdict: unchanged when the pod is not enrolled, the socket is the agent's, the address is the
//!          pod's own or loopback, or the destination is not the mesh's. Refused (EPERM) when the
//!          original destination cannot be kept or the pod lacks an address of that family: never
//!          let through. Else rewritten to the pod's own address, port 15001, so that the source
//!          address the application sees stays the pod's.
//!          What the node itself (kubelet's probes) asks a hostPort of an enrolled pod goes to the pod: the
//!          translation on its way would make it anybody's, which STRICT refuses.
//! Kernel:  5.15 (bpf_get_netns_cookie in sock_addr, with v4-mapped addresses in connect6).

use ambit_ebpf_types::{Destination, Fault, Ip, NO_IP, OUTBOUND_PORT, is_loopback, is_v4};
use aya_ebpf::macros::cgroup_sock_addr;
use aya_ebpf::programs::SockAddrContext;

use crate::maps::{AGENT_SOCKETS, CONFIG, DESTINATIONS, HOST_PORTS, ORIGINAL_BY_SOCKET, PODS, count};
use crate::sock_addr::{self, Family};

const REFUSE: i32 = 0;
const PROCEED: i32 = 1;

/// See the file's header.
#[cgroup_sock_addr(connect4)]
pub fn ambit_connect4(context: SockAddrContext) -> i32 {
    verdict(capture(&context, Family::V4))
}

/// See the file's header.
#[cgroup_sock_addr(connect6)]
pub fn ambit_connect6(context: SockAddrContext) -> i32 {
    verdict(capture(&context, Family::V6))
}

#[inline(always)]
fn verdict(result: Result<(), Fault>) -> i32 {
    match result {
        Ok(()) => PROCEED,
        Err(fault) => {
            count(fault);
            REFUSE
        }
    }
}

/// A connection of the node's to a hostPort goes to the pod behind it.
#[inline(always)]
fn lead_to_pod(context: &SockAddrContext, family: Family, ip: Ip) {
    let asked = Destination { ip, port: sock_addr::port(context), pad: [0; 2] };
    // SAFETY: written by the agent only, freed after a grace period.
    if let Some(pod) = unsafe { HOST_PORTS.get(asked) } {
        sock_addr::set(context, family, &pod.ip, pod.port);
    }
}

#[inline(always)]
fn capture(context: &SockAddrContext, family: Family) -> Result<(), Fault> {
    if !sock_addr::is_tcp(context) {
        return Ok(());
    }
    let netns = sock_addr::netns(context);
    // SAFETY: entries are written by the agent only; BPF_F_NO_PREALLOC frees them after a grace period.
    let pod = unsafe { PODS.get(netns) };
    // Missing only before the agent's first start; nothing is enrolled then.
    let Some(config) = CONFIG.get(0) else { return Ok(()) };
    let ip = sock_addr::ip(context, family);
    let Some(pod) = pod else {
        if netns == config.host_netns {
            lead_to_pod(context, family, ip);
        }
        return Ok(());
    };
    if ip == pod.ip4 || ip == pod.ip6 || is_loopback(&ip) {
        return Ok(());
    }
    // SAFETY: as above.
    if config.capture_all == 0 && unsafe { DESTINATIONS.get(ip) }.is_none() {
        return Ok(());
    }
    let socket = sock_addr::socket(context);
    // By socket, not by mark: a process in the pod can set any mark (CAP_NET_RAW is enough).
    // SAFETY: only the presence is asked for.
    if unsafe { AGENT_SOCKETS.get(socket) }.is_some() {
        return Ok(());
    }
    let own: &Ip = if is_v4(&ip) { &pod.ip4 } else { &pod.ip6 };
    if *own == NO_IP {
        return Err(Fault::NoPodAddress);
    }
    let original = Destination { ip, port: sock_addr::port(context), pad: [0; 2] };
    ORIGINAL_BY_SOCKET.insert(socket, original, 0).map_err(|_| Fault::RememberSocket)?;
    sock_addr::set(context, family, own, OUTBOUND_PORT);
    Ok(())
}
