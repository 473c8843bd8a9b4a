//! An enrolled pod: its namespace, the agent's sockets in it, and the routing that brings replies
//! back to the agent.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;
use std::sync::Arc;

use ambit_ebpf_loader::ip as mapped;
use ambit_ebpf_types::NO_IP;
use ambit_model::{HBONE_PORT, INBOUND_PLAINTEXT_PORT, OUTBOUND_PORT, WorkloadUid};
use ambit_sys::{NetNs, NetNsError, agent_listener};

use crate::routing::{self, Families, RoutingError};

/// An enrolled pod, shared by enrolment and workers.
#[derive(Debug)]
pub(crate) struct Pod {
    /// The workload it is.
    pub(crate) uid: WorkloadUid,
    /// Its network namespace.
    pub(crate) netns: NetNs,
    /// Its addresses.
    pub(crate) addresses: Vec<IpAddr>,
}

/// Why a pod is not enrolled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PodError {
    /// Nothing says where its namespace is.
    #[error("no network namespace is named: set the annotation ambit.io/netns")]
    NoNetNs,
    /// It has no address yet.
    #[error("it has no address: set status.podIP")]
    NoAddress,
    /// Two addresses of one family: the kernel programs know one of each.
    #[error("it has more than one {0} address")]
    TwoOfAFamily(&'static str),
    /// Its namespace is that of the node: a host-network pod cannot be captured.
    #[error("its network namespace is the node's own")]
    HostNetwork,
    /// Its namespace cannot be used.
    #[error(transparent)]
    NetNs(#[from] NetNsError),
    /// The way back for replies.
    #[error(transparent)]
    Routing(#[from] RoutingError),
    /// One of the agent's listeners.
    #[error("cannot listen on {address} in the pod")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// One worker's listeners in a pod.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    /// Captured outbound connections.
    pub(crate) outbound: Vec<std::net::TcpListener>,
    /// Captured plaintext inbound connections, with the kernel's help.
    pub(crate) plaintext: Vec<std::net::TcpListener>,
    /// Tunnels.
    pub(crate) hbone: Vec<std::net::TcpListener>,
}

impl Pod {
    /// Opens a pod's namespace and prepares its routing.
    pub(crate) fn open(
        uid: WorkloadUid,
        netns: Option<&Path>,
        addresses: &[IpAddr],
        host: u64,
    ) -> Result<Self, PodError> {
        let path = netns.ok_or(PodError::NoNetNs)?;
        if addresses.is_empty() {
            return Err(PodError::NoAddress);
        }
        if addresses.iter().filter(|address| address.is_ipv4()).count() > 1 {
            return Err(PodError::TwoOfAFamily("IPv4"));
        }
        if addresses.iter().filter(|address| address.is_ipv6()).count() > 1 {
            return Err(PodError::TwoOfAFamily("IPv6"));
        }
        let netns = NetNs::open(path)?;
        if netns.cookie() == host {
            return Err(PodError::HostNetwork);
        }
        routing::install(&netns, Families::of(addresses))?;
        Ok(Self { uid, netns, addresses: addresses.to_vec() })
    }

    /// Opens one worker's listeners.
    pub(crate) fn listen(&self) -> Result<Listeners, PodError> {
        self.netns.run(|| {
            let listen = |address: IpAddr, port| {
                let address = SocketAddr::new(address, port);
                agent_listener(address).map_err(|source| PodError::Listen { address, source })
            };
            let mut listeners = Listeners::default();
            for address in &self.addresses {
                listeners.outbound.push(listen(*address, OUTBOUND_PORT)?);
                listeners.plaintext.push(listen(*address, INBOUND_PLAINTEXT_PORT)?);
                listeners.hbone.push(listen(*address, HBONE_PORT)?);
            }
            Ok(listeners)
        })?
    }

    /// Its addresses as the kernel programs hold them.
    pub(crate) fn for_kernel(&self) -> ambit_ebpf_types::Pod {
        let of = |v4| self.addresses.iter().find(|address| address.is_ipv4() == v4).map_or(NO_IP, |ip| mapped(*ip));
        ambit_ebpf_types::Pod { ip4: of(true), ip6: of(false) }
    }

    /// Whether `address` is one of the pod's.
    #[must_use]
    pub(crate) fn owns(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address)
    }
}

impl Listeners {
    /// What the kernel must know of these listeners: for each address, the one that plaintext inbound
    /// connections go to. Of several workers' one is enough: the kernel spreads among its group.
    pub(crate) fn for_kernel(&self) -> io::Result<Vec<(IpAddr, RawFd)>> {
        self.plaintext.iter().map(|listener| Ok((listener.local_addr()?.ip(), listener.as_raw_fd()))).collect()
    }
}

/// A pod as everybody holds it.
pub(crate) type SharedPod = Arc<Pod>;
