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

    /// Whether a capture made for `before` is as it should be. Another identity needs no other capture.
    pub(super) fn is_met_by(&self, before: &Self, pod: &SharedPod) -> bool {
        let place = match (&self.netns, &before.netns) {
            (Some(Place::File(path)), Some(Place::File(before))) => path == before && !pod.netns.is_replaced(),
            (Some(Place::Open(netns)), _) => netns.cookie() == pod.netns.cookie(),
            // One that was found stays found until another is.
            (None, Some(Place::Open(_))) => true,
            (Some(Place::File(_)) | None, _) => false,
        };
        place && self.pod_uid == before.pod_uid && self.addresses == before.addresses
    }
}

/// The pods that should be captured. Where a namespace was not named, it is looked for.
pub(super) async fn wanted(
    snapshot: &Snapshot,
    pods: &[LocalPod],
    finder: Option<&mut NetnsFinder>,
) -> BTreeMap<WorkloadUid, Wanted> {
    let mut wanted: BTreeMap<_, _> = pods.iter().filter(|pod| pod.enrol).filter_map(|pod| of(snapshot, pod)).collect();
    if let Some(finder) = finder {
        locate(&mut wanted, finder).await;
    }
    wanted
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

async fn locate(wanted: &mut BTreeMap<WorkloadUid, Wanted>, finder: &mut NetnsFinder) {
    let sought: Vec<_> = wanted
        .values()
        .filter(|pod| pod.netns.is_none() && !pod.is_without_address())
        .map(|pod| Sought { pod_uid: Arc::clone(&pod.pod_uid), addresses: pod.addresses.clone() })
        .collect();
    let taken: Vec<Arc<NetNs>> = wanted
        .values()
        .filter_map(|pod| match &pod.netns {
            Some(Place::Open(netns)) => Some(Arc::clone(netns)),
            Some(Place::File(_)) | None => None,
        })
        .collect();
    finder.find(&sought, &taken).await;
    for pod in wanted.values_mut().filter(|pod| pod.netns.is_none()) {
        pod.netns = finder.netns_of(&pod.pod_uid).map(|netns| Place::Open(Arc::clone(netns)));
    }
}
