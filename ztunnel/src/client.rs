//! Inbound, before policy: whose connection a tunnel carries. It is the tunnel's other end's own, unless
//! that is the waypoint which the pod, or this port of it, is behind: then it is the connection of whom that
//! one names.
//!
//! What anybody else says of clients is ignored and counted.

use std::net::IpAddr;

use ambit_hbone::IncomingConnect;
use ambit_identity::VerifiedPeer;
use ambit_model::{CloseReason, Identity, PeerAddr};
use ambit_state::Snapshot;

use crate::failure::error_chain;
use crate::judged::Vouched;
use crate::pod::Pod;
use crate::worker::Worker;

/// Whose connection it is.
pub(crate) struct Client {
    /// What a waypoint says of the client, if one does that may.
    pub(crate) vouched: Option<Vouched>,
    /// The client's address, as the application is to see it.
    pub(crate) address: PeerAddr,
}

impl Client {
    /// Who the client is: as a waypoint says, or else who proved to be at the tunnel's other end.
    pub(crate) fn identity<'a>(&'a self, peer: &'a VerifiedPeer) -> &'a Identity {
        self.vouched.as_ref().map_or(peer.identity(), |vouched| &vouched.client)
    }
}

/// Finds out whose connection it is, of a tunnel from `peer` at `from`, to that port of the pod.
pub(crate) fn identify(
    worker: &Worker,
    snapshot: &Snapshot,
    pod: &Pod,
    (peer, from): (&VerifiedPeer, PeerAddr),
    (request, port): (&IncomingConnect, Option<u16>),
) -> Result<Client, CloseReason> {
    let bad = |error| CloseReason::BadRequest { detail: error_chain(&error) };
    let own = Client { vouched: None, address: from };
    let Some(client) = request.client_principal().map_err(bad)? else { return Ok(own) };
    let workload = snapshot.workload(&pod.uid);
    let believed = port.zip(workload).is_some_and(|(port, it)| snapshot.may_vouch(peer.identity(), it, port));
    if !believed {
        worker.metrics.client_principals_ignored.inc();
        return Ok(own);
    }
    let forwarded = request.forwarded().map(|forwarded| forwarded.client);
    let address = forwarded.filter(|client| is_plausible(client.ip(), &pod.addresses)).unwrap_or(from);
    Ok(Client { vouched: Some(Vouched { client, ip: address.ip() }), address })
}

/// Whether a client of a pod can have the address. One of the pod's own would be taken for the pod itself, by
/// the pod and by the kernel.
fn is_plausible(address: IpAddr, pod: &[IpAddr]) -> bool {
    let odd = match address {
        IpAddr::V4(it) => it.is_broadcast() || it.is_link_local(),
        IpAddr::V6(it) => it.is_unicast_link_local(),
    };
    !(odd || address.is_unspecified() || address.is_loopback() || address.is_multicast() || pod.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_no_client_can_have() {
        let pod = ["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()];
        for (address, expected) in [
            ("10.0.0.2", true),
            ("203.0.113.7", true),
            ("fd00::2", true),
            ("10.0.0.1", false),
            ("fd00::1", false),
            ("127.0.0.1", false),
            ("::1", false),
            ("0.0.0.0", false),
            ("::", false),
            ("224.0.0.1", false),
            ("ff02::1", false),
            ("255.255.255.255", false),
            ("169.254.169.254", false),
            ("fe80::1", false),
        ] {
            assert_eq!(is_plausible(address.parse().unwrap(), &pod), expected, "{address}");
        }
    }
}
