//! The maps, all pinned under the node's own directory, so that they outlive the agent: while it is
//! away, enrolled pods stay captured (and refused), never plaintext.

use ambit_ebpf_types::{Destination, Fault, FlowKey, Ip, ListenerKey, NodeConfig, Pod, Tuple};
use aya_ebpf::bindings::BPF_F_NO_PREALLOC;
use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, LruHashMap, PerCpuArray, SockHash};

/// One entry: the node.
#[map]
pub static CONFIG: Array<NodeConfig> = Array::pinned(1, 0);

/// Enrolled pods of this node, by network-namespace cookie. Written by the agent.
#[map]
pub static PODS: HashMap<u64, Pod> = HashMap::pinned(4096, BPF_F_NO_PREALLOC);

/// Addresses of enrolled pods of this node -> netns cookie. Written by the agent.
#[map]
pub static POD_ADDRESSES: HashMap<Ip, u64> = HashMap::pinned(8192, BPF_F_NO_PREALLOC);

/// Addresses whose connections are the mesh's: services, and enrolled workloads of the whole mesh.
/// Written by the agent. What is not here costs nothing beyond this look-up.
#[map]
pub static DESTINATIONS: HashMap<Ip, u32> = HashMap::pinned(1_048_576, BPF_F_NO_PREALLOC);

/// hostPorts of enrolled pods, by each address of the node, loopback included -> the pod. Written by the agent.
#[map]
pub static HOST_PORTS: HashMap<Destination, Destination> = HashMap::pinned(16_384, BPF_F_NO_PREALLOC);

/// Socket cookie -> what the application asked for. Least recently used entries give way: a socket
/// that loses its entry after connecting shows the agent's address in getpeername, one that loses
/// it before is refused by the agent.
#[map]
pub static ORIGINAL_BY_SOCKET: LruHashMap<u64, Destination> = LruHashMap::pinned(65_536, 0);

/// The same, by what the agent sees at accept.
#[map]
pub static ORIGINAL_BY_FLOW: LruHashMap<FlowKey, Destination> = LruHashMap::pinned(16_384, 0);

/// Cookies of the agent's own sockets that leave a pod: its tunnels, and what it passes on in plain.
/// Written by the agent before each connects; a cookie is never used again, so old ones may just fade.
#[map]
pub static AGENT_SOCKETS: LruHashMap<u64, u8> = LruHashMap::pinned(16_384, 0);

/// Handshakes that pass a pod's inbound capture, the agent's own last hop and the node's probes, each
/// with the time (nanoseconds since boot) until which it does: no longer than a handshake takes, so
/// that it can never be borrowed by a later connection of the same tuple.
#[map]
pub static PASS: LruHashMap<Tuple, u64> = LruHashMap::pinned(16_384, 0);

/// The agent's listeners in its pods. Sockets leave it by themselves when they close.
#[map]
pub static LISTENERS: SockHash<ListenerKey> = SockHash::pinned(65_536, 0);

/// Counters by [`Fault`].
#[map]
pub static FAULTS: PerCpuArray<u64> = PerCpuArray::pinned(8, 0);

/// Counts a fault.
#[inline(always)]
pub fn count(fault: Fault) {
    if let Some(counter) = FAULTS.get_ptr_mut(fault as u32) {
        // SAFETY: a per-CPU slot, and a program is not preempted by another on its CPU.
        unsafe { *counter += 1 };
    }
}

/// Whether connections to an address are the mesh's.
#[inline(always)]
pub fn is_mesh(destination: &Ip) -> bool {
    // Missing only before the agent's first start; nothing is enrolled then.
    let Some(config) = CONFIG.get(0) else { return false };
    // SAFETY: only the presence is asked for.
    config.capture_all != 0 || unsafe { DESTINATIONS.get(destination) }.is_some()
}

/// Whether a handshake passes a pod's inbound capture.
#[inline(always)]
pub fn passes(tuple: &Tuple) -> bool {
    // SAFETY: copied at once.
    let Some(until) = (unsafe { PASS.get(tuple) }) else { return false };
    // SAFETY: the helper takes nothing.
    *until > unsafe { bpf_ktime_get_ns() }
}

/// The listener of one of the workers in the pod `ip`: the connection's ports choose which, so that the
/// load is spread, and a packet sent again comes to the same.
#[inline(always)]
pub fn listener_key(tuple: &Tuple, ip: Ip, port: u16) -> ListenerKey {
    let workers = CONFIG.get(0).map_or(1, |config| config.workers).max(1);
    // Source ports of one client are even or odd in runs: mix before dividing.
    let mixed = u32::from(tuple.source_port ^ tuple.destination_port).wrapping_mul(0x9e37_79b1) >> 16;
    ListenerKey { ip, port, worker: (mixed % workers) as u16 }
}
