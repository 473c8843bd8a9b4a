//! Typed handles on the maps.

use std::net::{IpAddr, Ipv6Addr};

use ambit_ebpf_types::{Destination, FlowKey, Ip};
use aya::maps::{HashMap as BpfHashMap, MapData, MapError};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A value of `ambit-ebpf-types` as aya wants it.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Wire<T>(pub(crate) T);

// SAFETY: `IntoBytes` says T has no padding and no uninitialised bytes, `FromBytes` that any bytes
// are a T, and `repr(transparent)` that Wire<T> is laid out as T: aya's whole contract.
#[expect(unsafe_code, reason = "the one bridge between zerocopy's checked layouts and aya's marker")]
unsafe impl<T: FromBytes + IntoBytes + Immutable + Copy + 'static> aya::Pod for Wire<T> {}

/// A map operation failed.
#[derive(Debug, thiserror::Error)]
#[error("kernel map {map}: cannot {action}")]
pub struct MapFault {
    /// Its name.
    pub map: &'static str,
    /// What was tried.
    pub action: &'static str,
    /// Why it failed.
    pub source: MapError,
}

/// How often a kernel program met a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultCount {
    /// The fault's word.
    pub name: &'static str,
    /// Since the maps were first loaded, summed over CPUs.
    pub count: u64,
}

/// An address as the maps hold it.
#[must_use]
pub fn ip(address: IpAddr) -> Ip {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// An address of a map as everybody else holds it.
fn mapped_ip(ip: Ip) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from(ip)).to_canonical()
}

/// The agent's own sockets that leave a pod. Each worker has its own handle.
#[derive(Debug)]
pub struct AgentSockets {
    pub(crate) sockets: BpfHashMap<MapData, u64, u8>,
}

impl AgentSockets {
    /// Lets a socket, by its cookie, connect uncaptured.
    pub fn allow(&mut self, cookie: u64) -> Result<(), MapFault> {
        let refused = |source| MapFault { map: "AGENT_SOCKETS", action: "insert", source };
        self.sockets.insert(cookie, 1, 0).map_err(refused)
    }
}

/// Original destinations of captured connections. Each worker has its own handle.
#[derive(Debug)]
pub struct OriginalDestinations {
    pub(crate) flows: BpfHashMap<MapData, Wire<FlowKey>, Wire<Destination>>,
}

impl std::fmt::Debug for Wire<FlowKey> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::fmt::Debug for Wire<Destination> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl OriginalDestinations {
    /// What the connection from `source_port` in the namespace `netns` was meant for; `None` if it
    /// did not come through the capture. The entry is taken: a port used again cannot inherit it.
    pub fn take(&mut self, netns: u64, source: IpAddr, source_port: u16) -> Option<(IpAddr, u16)> {
        let key = Wire(FlowKey { netns, source: ip(source.to_canonical()), source_port, pad: [0; 6] });
        let Wire(original) = self.flows.get(&key, 0).ok()?;
        // Already gone is as good: the kernel evicts by itself.
        let _evicted = self.flows.remove(&key);
        Some((mapped_ip(original.ip), original.port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_map() {
        for text in ["10.1.2.3", "fd00::1", "::1", "0.0.0.0"] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(mapped_ip(ip(address)), address);
        }
    }
}
