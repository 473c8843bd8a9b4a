//! Step 6, the last metre: TCP connections the agent makes inside a pod's namespace, and the two
//! kinds of upstream a connection is joined to.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use ambit_hbone::{PlainSpliceError, Progress, SpliceError, TunnelStream, splice, splice_plain};
use ambit_model::{CloseReason, PeerAddr, UpstreamAddr};
use ambit_policy::Permit;
use ambit_sys::{NetNsError, agent_socket, guest_socket, transparent_socket};
use ambit_telemetry::Bytes;
use socket2::Socket;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::failure::error_chain;
use crate::pod::Pod;
use crate::worker::Worker;

/// Longest wait for a TCP connection, as the field's node proxies wait.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects from a pod's own address: a tunnel, or a workload without one. The kernel is told
/// the socket, or it would be captured like the pod's own.
pub(crate) async fn connect(worker: &Worker, pod: &Pod, to: UpstreamAddr) -> Result<TcpStream, CloseReason> {
    establish(pod, to, || {
        let socket = own_socket(pod, to.ip())?;
        worker.agent_sockets.borrow_mut().allow(socket.cookie()?).map_err(io::Error::other)?;
        Ok(socket)
    })
    .await
}

/// A socket with the pod's address. The kernel finds it for a workload in the namespace; a virtual machine's
/// is not there, and what is sent to it from its own is lost.
fn own_socket(pod: &Pod, to: IpAddr) -> io::Result<Socket> {
    if !pod.is_guest() {
        return agent_socket(to);
    }
    if pod.owns(to) {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "a virtual machine cannot be reached from itself"));
    }
    let own = pod.addresses.iter().find(|own| own.is_ipv4() == to.is_ipv4());
    guest_socket(*own.ok_or(io::ErrorKind::AddrNotAvailable)?)
}

/// Connects to the application in a pod as its client: the application sees the client's address. Only
/// with a permit.
pub(crate) async fn connect_as(
    pod: &Pod,
    client: PeerAddr,
    to: UpstreamAddr,
    _permit: Permit,
) -> Result<TcpStream, CloseReason> {
    let source = source_for(client.ip(), to.ip());
    establish(pod, to, || match source {
        Some(source) if pod.is_guest() => guest_socket(source),
        Some(source) => transparent_socket(source),
        None => agent_socket(to.ip()),
    })
    .await
}

/// The client's address where it can be shown: not across address families, where the pod's own
/// stands in.
fn source_for(client: IpAddr, to: IpAddr) -> Option<IpAddr> {
    (client.is_ipv4() == to.is_ipv4()).then_some(client)
}

async fn establish(
    pod: &Pod,
    to: UpstreamAddr,
    socket: impl FnOnce() -> io::Result<Socket>,
) -> Result<TcpStream, CloseReason> {
    let failed = |detail: String| CloseReason::Connect { upstream: to.to_string(), detail };
    let socket = pod
        .netns
        .run(socket)
        .map_err(|error: NetNsError| failed(error_chain(&error)))?
        .map_err(|error| failed(error.to_string()))?;
    let socket = TcpSocket::from_std_stream(socket.into());
    match timeout(CONNECT_TIMEOUT, socket.connect(to.socket())).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_elapsed) => Err(failed(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()))),
    }
}

/// What a captured connection is joined to.
pub(crate) enum Upstream {
    /// A stream of a tunnel.
    Tunnel(TunnelStream),
    /// A workload that takes no tunnels.
    Plain(TcpStream),
}

impl Upstream {
    /// Joins `client` to it until both ends are done.
    pub(crate) async fn splice(self, client: TcpStream, bytes: &Bytes) -> Result<(), CloseReason> {
        match self {
            Self::Tunnel(stream) => {
                splice(client, stream, &progress(bytes)).await.map_err(|error| broken(&error, "client"))
            }
            Self::Plain(server) => splice_plain_streams(client, server, bytes).await,
        }
    }
}

/// Joins two TCP connections.
pub(crate) async fn splice_plain_streams(
    client: TcpStream,
    server: TcpStream,
    bytes: &Bytes,
) -> Result<(), CloseReason> {
    splice_plain(client, server, &progress(bytes)).await.map_err(|error| plain(&error))
}

/// How a joined connection broke; `tcp` says whose end the TCP connection is.
pub(crate) fn broken(error: &SpliceError, tcp: &'static str) -> CloseReason {
    let other = if tcp == "client" { "server" } else { "client" };
    let side = match error {
        SpliceError::Tcp(_) => tcp,
        SpliceError::Tunnel(_) => other,
    };
    CloseReason::Reset { side, detail: error_chain(error) }
}

fn plain(error: &PlainSpliceError) -> CloseReason {
    CloseReason::Reset { side: "peer", detail: error_chain(error) }
}

/// The client's side first.
fn progress(bytes: &Bytes) -> Progress<'_> {
    Progress { sent: &bytes.sent, received: &bytes.received }
}
