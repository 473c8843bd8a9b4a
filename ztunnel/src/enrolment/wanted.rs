//! The pods that should be captured, with what their capture depends on.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ambit_model::{Identity, WorkloadUid};
use ambit_state::Snapshot;
use ambit_sys::NetNs;

use crate::netns_finder::{NetnsFinder, Sought};
use crate::outlet::{LocalPod, Place};
use crate::pod::SharedPod;

/// A pod that should be captured.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(super) pod_uid: Arc<str>,
    pub(super) netns: Option<Place>,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) identity: Identity,
}

impl Wanted {
    /// Whether nobody knows its address yet.
    pub(super) fn is_without_address(&self) -> bool {
        self.addresses.is_empty()
    }

    /// A pod that another object took the addresses from, as a stale or a hostile one may, is what it was
    /// when it was captured: without an address it would be let go, and go on in plaintext.
    pub(super) fn keep_addresses_of(&mut self, before: &Self) {
        if self.is_without_address() && self.pod_uid == before.pod_uid {
            self.addresses.clone_from(&before.addresses);
        }
    }

    /// Whether a capture made for `before` is as it should be. Another identity needs no other capture.
    pub(super) fn is_met_by(&self, before: &Self, pod: &SharedPod) -> bool {
        let place = match (&self.netns, &before.netns) {
            (Some(Place::File(path)), Some(Place::File(before))) => path == before && !pod.netns.is_replaced(),
            (Some(Place::Open(netns)), _) => netns.cookie() == pod.netns.cookie(),
            // One that was found stays found until another is.
            (None, Some(Place::Open(_))) => true,
            (Some(Place::File(_)) | None, _) => false,
        };
        place && pod.is_where_it_was() && self.pod_uid == before.pod_uid && self.addresses == before.addresses
    }
}

/// The pods that should be captured.
pub(super) fn wanted(snapshot: &Snapshot, pods: &[LocalPod]) -> BTreeMap<WorkloadUid, Wanted> {
    pods.iter().filter(|pod| pod.enrol).filter_map(|pod| of(snapshot, pod)).collect()
}

fn of(snapshot: &Snapshot, pod: &LocalPod) -> Option<(WorkloadUid, Wanted)> {
    let workload = snapshot.workload(&pod.uid)?;
    let wanted = Wanted {
        pod_uid: Arc::clone(&pod.pod_uid),
        netns: pod.netns.clone(),
        addresses: workload.addresses.to_vec(),
        identity: workload.identity.clone(),
    };
    Some((pod.uid.clone(), wanted))
}

/// Looks for the namespaces that were not named; none of those `taken`.
pub(super) async fn locate(
    wanted: &mut BTreeMap<WorkloadUid, Wanted>,
    finder: &mut NetnsFinder,
    mut taken: Vec<Arc<NetNs>>,
) {
    let sought: Vec<_> = wanted
        .values()
        .filter(|pod| pod.netns.is_none() && !pod.is_without_address())
        .map(|pod| Sought { pod_uid: Arc::clone(&pod.pod_uid), addresses: pod.addresses.clone() })
        .collect();
    taken.extend(wanted.values().filter_map(|pod| match &pod.netns {
        Some(Place::Open(netns)) => Some(Arc::clone(netns)),
        Some(Place::File(_)) | None => None,
    }));
    finder.find(&sought, &taken).await;
    for pod in wanted.values_mut().filter(|pod| pod.netns.is_none()) {
        pod.netns = finder.netns_of(&pod.pod_uid).map(|netns| Place::Open(Arc::clone(netns)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(pod_uid: &str, addresses: &[&str]) -> Wanted {
        Wanted {
            pod_uid: pod_uid.into(),
            netns: None,
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
            identity: Identity::new("cluster.local", "shop", "web"),
        }
    }

    #[test]
    fn a_captured_pod_that_lost_its_addresses_keeps_them_and_its_successor_does_not() {
        let before = pod("u1", &["10.0.0.1"]);
        for (what, mut now, expected) in [
            ("lost", pod("u1", &[]), pod("u1", &["10.0.0.1"])),
            ("changed", pod("u1", &["10.0.0.2"]), pod("u1", &["10.0.0.2"])),
            ("its successor's have not come", pod("u2", &[]), pod("u2", &[])),
        ] {
            now.keep_addresses_of(&before);
            assert_eq!(now.addresses, expected.addresses, "{what}");
        }
    }
}
