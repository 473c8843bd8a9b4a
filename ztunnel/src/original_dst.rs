//! Step 2: where the application wanted to go. From the kernel's own record of the connection, and
//! only from there: without one the connection did not come through the capture, and there is no
//! fall-back to guess from.

use std::net::SocketAddr;

use ambit_model::{CloseReason, OriginalDst, is_agent_port};

use crate::listener::Accepted;
use crate::worker::Worker;

/// Of a connection captured on its way out.
pub(crate) fn of_captured(worker: &Worker, accepted: &Accepted) -> Result<OriginalDst, CloseReason> {
    if accepted.pod.is_guest() {
        return of_guest(accepted);
    }
    let peer = accepted.peer;
    let cookie = accepted.pod.netns.cookie();
    let Some((ip, port)) = worker.originals.borrow_mut().take(cookie, peer.ip(), peer.port()) else {
        worker.metrics.captured_without_original_destination.inc();
        return Err(CloseReason::NoOriginalDst);
    };
    Ok(OriginalDst::new(SocketAddr::new(ip, port)))
}

/// Of a virtual machine's connection, whose packets the kernel steered: it was accepted on the address that
/// the guest asked for. On any other the connection is not the guest's: one to the listener's own loopback
/// address is of a process in the namespace.
fn of_guest(accepted: &Accepted) -> Result<OriginalDst, CloseReason> {
    let address = accepted.stream.local_addr().map_err(|_unconnected| CloseReason::NoOriginalDst)?;
    let pod = &accepted.pod;
    if address.ip().is_loopback() || pod.owns(address.ip()) || !pod.owns(accepted.peer.ip()) {
        return Err(CloseReason::NoOriginalDst);
    }
    Ok(OriginalDst::new(address))
}

/// Of a plaintext connection that the kernel steered to the agent on its way in: the address it was
/// accepted on is the one the client asked for.
pub(crate) fn of_steered(accepted: &Accepted) -> Result<OriginalDst, CloseReason> {
    let address = accepted.stream.local_addr().map_err(|_unconnected| CloseReason::NoOriginalDst)?;
    let destination = OriginalDst::new(address);
    // Steered connections keep their address; one to the listener's own loopback address is of a process
    // in the pod, and would lead back here.
    if !accepted.pod.owns(destination.ip()) {
        return Err(CloseReason::NoOriginalDst);
    }
    // Who asks for a port of the agent's own would be connected to the agent, as the pod.
    if is_agent_port(destination.port()) {
        return Err(CloseReason::AgentPort { port: destination.port() });
    }
    Ok(destination)
}
