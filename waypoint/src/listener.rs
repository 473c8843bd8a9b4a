//! Step 1: accept. A worker has a listener of its own; the kernel shares connections out among them.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::Duration;

use ambit_model::PeerAddr;
use socket2::{Domain, Protocol, Socket, Type};

use crate::tunnel;
use crate::worker::Worker;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;
/// How long to pause when the process has no descriptors left: accepting again at once would fail again at once.
const PAUSE_WITHOUT_DESCRIPTORS: Duration = Duration::from_millis(50);

/// Listens on an address that the other workers, and a predecessor, listen on too.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts from when something is in force until the drain begins.
pub(crate) async fn serve(worker: &Rc<Worker>, listener: TcpListener) {
    let stop = worker.drain.begun();
    let mut published = worker.published.clone();
    tokio::select! {
        biased;
        () = stop.cancelled() => return,
        () = published.first() => {}
    }
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "cannot serve the listener"),
    };
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                tokio::task::spawn_local(tunnel::serve(Rc::clone(worker), stream, PeerAddr::new(peer)));
            }
            // The peer may be gone already, which is nothing; or we are out of something, which will pass.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE_WITHOUT_DESCRIPTORS).await;
            }
        }
    }
}
