//! What inbound connections are recorded with, tunnelled and plaintext alike.

use std::sync::Arc;

use ambit_model::{Identity, PeerAddr, Workload};
use ambit_state::Snapshot;
use ambit_telemetry::{ConnectionRecord, Party};

use crate::judged::Registered;
use crate::pod::Pod;

/// Puts the pod into the record.
pub(crate) fn describe(record: &mut ConnectionRecord, snapshot: &Snapshot, pod: &Pod) {
    let workload = snapshot.workload(&pod.uid).cloned();
    let identity = workload.as_ref().map(|workload| workload.identity.clone());
    record.flow.destination = Party { workload, identity };
}

/// The workload at a peer's address: for logs and metrics only, never for policy. Where an identity
/// was proved, only a workload that has it.
pub(crate) fn source_workload(
    snapshot: &Snapshot,
    peer: PeerAddr,
    identity: Option<&Identity>,
) -> Option<Arc<Workload>> {
    let workload = snapshot.workload_by_ip(peer.ip())?;
    identity.is_none_or(|identity| workload.identity == *identity).then(|| Arc::clone(workload))
}

/// Logs what dry-run policies would have done.
pub(crate) fn rehearse(registered: &Registered, snapshot: &Snapshot) {
    if let Some(outcome) = registered.subject().rehearse(snapshot) {
        tracing::info!(target: "policy", subject = ?registered.subject(), ?outcome, "dry run");
    }
}
