//! What inbound connections are recorded with, tunnelled and plaintext alike.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ambit_model::{Identity, PeerAddr, PortMapping, Service, Workload};
use ambit_policy::Rehearsal;
use ambit_state::Snapshot;
use ambit_telemetry::{ConnectionRecord, Party};

use crate::judged::Registered;
use crate::pod::Pod;
use crate::worker::Worker;

/// How often a worker logs what dry-run policies would have denied.
const LOG_DRY_RUN_EVERY: Duration = Duration::from_secs(1);

/// Puts the pod into the record.
pub(crate) fn describe(record: &mut ConnectionRecord, snapshot: &Snapshot, pod: &Pod) {
    let workload = snapshot.workload(&pod.uid).cloned();
    let identity = workload.as_ref().map(|workload| workload.identity.clone());
    record.flow.destination = Party { workload, identity };
}

/// The service of which a connection to that port of the pod is, for logs and metrics only: the one the client says
/// if it is one of the pod's, else the first that leads there.
pub(crate) fn service(snapshot: &Snapshot, pod: &Pod, said: Option<&str>, port: Option<u16>) -> Option<Arc<Service>> {
    let services = &snapshot.workload(&pod.uid)?.services;
    let named = said.and_then(|host| services.keys().find(|key| *key.hostname == *host));
    let leads = |ports: &[PortMapping]| ports.iter().any(|mapping| Some(mapping.target_port) == port);
    let first = || services.iter().find(|(_, ports)| leads(ports)).map(|(key, _)| key);
    snapshot.service(named.or_else(first)?).cloned()
}

/// The pod's own port behind that port of a service, if it is one of the service's.
pub(crate) fn port_of(snapshot: &Snapshot, pod: &Pod, host: &str, port: u16) -> Option<u16> {
    let services = &snapshot.workload(&pod.uid)?.services;
    let (_, ports) = services.iter().find(|(key, _)| *key.hostname == *host)?;
    ports.iter().find(|mapping| mapping.service_port == port).map(|mapping| mapping.target_port)
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

/// Counts what dry-run policies would have denied, and logs it: all connections may be of that kind, so
/// one line a second.
pub(crate) fn rehearse(worker: &Worker, registered: &Registered, snapshot: &Snapshot) {
    let Some(Rehearsal::Deny(reason)) = registered.subject().rehearse(snapshot) else { return };
    worker.metrics.dry_run_denials.inc();
    let now = Instant::now();
    if worker.dry_run_logged.get().is_none_or(|last| now.duration_since(last) >= LOG_DRY_RUN_EVERY) {
        worker.dry_run_logged.set(Some(now));
        tracing::info!(target: "policy", subject = ?registered.subject(), %reason, "dry run: would be denied");
    }
}
