//! An enrolled pod: its namespace, the agent's sockets in it, and the routing that brings replies
//! back to the agent.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use ambit_ebpf_loader::ip as mapped;
use ambit_ebpf_types::{ListenerKey, NO_IP};
use ambit_model::{HBONE_PORT, INBOUND_PLAINTEXT_PORT, OUTBOUND_PORT, WorkloadUid};
use ambit_sys::{NetNs, NetNsError, agent_listener, guest_listener};

use crate::guest::{Seat, SeatError};

use crate::outlet::Place;

/// An enrolled pod, shared by enrolment and workers.
#[derive(Debug)]
pub(crate) struct Pod {
    /// The workload it is.
    pub(crate) uid: WorkloadUid,
    /// Its network namespace.
    pub(crate) netns: Arc<NetNs>,
    /// Its addresses.
    pub(crate) addresses: Vec<IpAddr>,
    /// Where in the namespace it is.
    pub(crate) seat: Seat,
}

/// Why a pod is not enrolled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PodError {
    /// Nothing says where its namespace is.
    #[error("no network namespace is named: set the annotation ambit.io/netns")]
    NoNetNs,
    /// It was looked for.
    #[error("no network namespace with its addresses was found on this node")]
    NetNsNotFound,
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
    /// Where in it the workload is cannot be told.
    #[error(transparent)]
    Seat(#[from] SeatError),
    /// One of the agent's listeners.
    #[error("cannot listen in the pod")]
    Listen(#[source] io::Error),
    /// Whoever may write a pod's annotations could name another's namespace.
    #[error("its network namespace is that of {by}")]
    NetNsTaken {
        /// The pod that has it.
        by: WorkloadUid,
    },
}

/// One worker's listeners in a pod.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    /// Captured outbound connections.
    pub(crate) outbound: Vec<std::net::TcpListener>,
    /// Captured plaintext inbound connections.
    pub(crate) plaintext: Vec<std::net::TcpListener>,
    /// Tunnels.
    pub(crate) hbone: Vec<std::net::TcpListener>,
}

impl Pod {
    /// Opens a pod's namespace.
    pub(crate) fn open(uid: WorkloadUid, place: &Place, addresses: &[IpAddr], host: u64) -> Result<Self, PodError> {
        if addresses.is_empty() {
            return Err(PodError::NoAddress);
        }
        if addresses.iter().filter(|address| address.is_ipv4()).count() > 1 {
            return Err(PodError::TwoOfAFamily("IPv4"));
        }
        if addresses.iter().filter(|address| address.is_ipv6()).count() > 1 {
            return Err(PodError::TwoOfAFamily("IPv6"));
        }
        let netns = match place {
            Place::File(path) => Arc::new(NetNs::open(path)?),
            Place::Open(netns) => Arc::clone(netns),
        };
        if netns.cookie() == host {
            return Err(PodError::HostNetwork);
        }
        let seat = Seat::find(&netns, addresses)?;
        Ok(Self { uid, netns, addresses: addresses.to_vec(), seat })
    }

    /// Opens one worker's listeners, and says by which keys the kernel finds each.
    pub(crate) fn listen(&self, worker: u16) -> Result<(Listeners, Vec<(ListenerKey, RawFd)>), PodError> {
        let mut listeners = Listeners::default();
        let mut keys = Vec::new();
        self.netns.run(|| {
            for address in &self.addresses {
                let mut listen = |port| {
                    let open = if self.is_guest() { guest_listener } else { agent_listener };
                    let listener = open(*address).map_err(PodError::Listen)?;
                    keys.push((ListenerKey { ip: mapped(*address), port, worker }, listener.as_raw_fd()));
                    Ok::<_, PodError>(listener)
                };
                listeners.outbound.push(listen(OUTBOUND_PORT)?);
                listeners.plaintext.push(listen(INBOUND_PLAINTEXT_PORT)?);
                listeners.hbone.push(listen(HBONE_PORT)?);
            }
            Ok::<_, PodError>(())
        })??;
        Ok((listeners, keys))
    }

    /// Its addresses as the kernel programs hold them.
    pub(crate) fn for_kernel(&self) -> ambit_ebpf_types::Pod {
        let of = |v4| self.addresses.iter().find(|address| address.is_ipv4() == v4).map_or(NO_IP, |ip| mapped(*ip));
        ambit_ebpf_types::Pod { ip4: of(true), ip6: of(false) }
    }

    /// Whether it is a virtual machine behind an interface of its namespace.
    pub(crate) fn is_guest(&self) -> bool {
        matches!(self.seat, Seat::Guest(_))
    }

    /// Whether it still is where it was. A workload inside its namespace stays there; one that was not to
    /// be found may turn out to be a guest, and a guest may get another interface.
    pub(crate) fn is_where_it_was(&self) -> bool {
        match self.seat {
            Seat::Inside => true,
            Seat::Guest(_) | Seat::Unknown => {
                Seat::find(&self.netns, &self.addresses).is_ok_and(|now| now == self.seat)
            }
        }
    }

    /// Whether `address` is one of the pod's.
    #[must_use]
    pub(crate) fn owns(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address)
    }
}

/// A pod as everybody holds it.
pub(crate) type SharedPod = Arc<Pod>;
