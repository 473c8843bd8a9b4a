//! How much of a worker one pod may take up.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

use ambit_model::CloseReason;

/// Most tunnels of one peer address into a pod, on one worker. An agent puts a hundred streams into
/// each, so that these are beyond what an honest peer needs; each may cost us a connection window (50 MiB).
const MAX_TUNNELS_FROM_A_PEER: usize = 64;

/// What is counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Connections out of the pod.
    Outbound,
    /// Connections into the pod: plaintext ones and streams of tunnels.
    Inbound,
    /// Tunnels into the pod, from the first byte of their handshakes on.
    Tunnel,
    /// Tunnels into the pod whose peer, at this address, has proved its identity: nobody else can
    /// take up its places.
    TunnelFrom(IpAddr),
}

/// The places of one pod on this worker.
#[derive(Debug)]
pub(crate) struct Places {
    limit: usize,
    taken: RefCell<HashMap<Kind, usize>>,
}

/// One of them, free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    of: Rc<Places>,
    kind: Kind,
}

impl Places {
    /// At most `limit` of each kind.
    pub(crate) fn new(limit: usize) -> Rc<Self> {
        Rc::new(Self { limit, taken: RefCell::default() })
    }

    /// Takes a place, if there is one left.
    pub(crate) fn take(self: &Rc<Self>, kind: Kind) -> Result<Place, CloseReason> {
        let (what, limit) = match kind {
            Kind::Outbound | Kind::Inbound => ("connections", self.limit),
            Kind::Tunnel => ("tunnels", self.limit),
            Kind::TunnelFrom(_) => ("tunnels from one peer", self.limit.min(MAX_TUNNELS_FROM_A_PEER)),
        };
        let mut taken = self.taken.borrow_mut();
        let count = taken.entry(kind).or_default();
        if *count >= limit {
            return Err(CloseReason::Overloaded { what, limit });
        }
        *count += 1;
        Ok(Place { of: Rc::clone(self), kind })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.of.taken.borrow_mut();
        if let Some(count) = taken.get_mut(&self.kind) {
            *count -= 1;
            // Peers come and go, their counts must go with them.
            if *count == 0 {
                taken.remove(&self.kind);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_own_places_and_gets_them_back() {
        let places = Places::new(2);
        let peer = |last| Kind::TunnelFrom(IpAddr::from([10, 0, 0, last]));
        for kind in [Kind::Outbound, Kind::Inbound, Kind::Tunnel, peer(1), peer(2)] {
            let held = [places.take(kind).unwrap(), places.take(kind).unwrap()];
            assert!(matches!(places.take(kind), Err(CloseReason::Overloaded { limit: 2, .. })), "{kind:?}");
            drop(held);
            drop(places.take(kind).unwrap());
        }
        assert!(places.taken.borrow().is_empty());
    }

    #[test]
    fn one_peer_cannot_have_all_tunnels() {
        let places = Places::new(1000);
        let peer = |last| Kind::TunnelFrom(IpAddr::from([10, 0, 0, last]));
        let held: Vec<_> = std::iter::repeat_with(|| places.take(peer(1))).map_while(Result::ok).take(1000).collect();
        assert_eq!(held.len(), MAX_TUNNELS_FROM_A_PEER);
        places.take(peer(2)).unwrap();
    }
}
