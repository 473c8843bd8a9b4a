//! The outbound half: a connection of an enrolled pod, captured on its way out. Read top to bottom.
//!
//! | step | file | gives |
//! | --- | --- | --- |
//! | 1 accept | `listener.rs` | `Accepted` |
//! | 2 original destination | `original_dst.rs` | `OriginalDst` |
//! | 3 source | `source.rs` | the pod's own workload |
//! | 4 route | `ambit_state::Snapshot::route` | candidates |
//! | 5 policy | `judged.rs` | its place among the open connections |
//! | 6 tunnel | `tunnel.rs`, `upstream.rs` | a stream to the destination |
//! | 7 splice | `carry.rs`, `ambit_hbone::splice` | bytes |
//! | 8 record | `ambit_telemetry` | one log line, one set of counters |
//!
//! L4 authorization is judged at the other end, where this pod's identity is proved; here the pod is
//! only held to its own: a connection ends when the pod leaves the mesh or its identity changes.

use std::rc::Rc;
use std::sync::Arc;

use ambit_model::{CloseReason, UpstreamAddr};
use ambit_state::{Candidate, Route, Via};
use ambit_telemetry::{ConnectionRecord, Direction, Party, SecurityPolicy};

use crate::carry::{carry, must_end};
use crate::judged::Subject;
use crate::listener::Accepted;
use crate::places::Kind;
use crate::source::Source;
use crate::upstream::Upstream;
use crate::worker::Worker;
use crate::{original_dst, source, tunnel, upstream};

/// Serves one captured connection.
pub(crate) async fn serve(worker: Rc<Worker>, accepted: Accepted) {
    let _open = worker.drain.hold();
    let mut record = worker.recorder.open(Direction::Outbound, accepted.peer);
    let result = relay(&worker, accepted, &mut record).await;
    record.close(result.as_ref().copied());
}

async fn relay(worker: &Rc<Worker>, accepted: Accepted, record: &mut ConnectionRecord) -> Result<(), CloseReason> {
    let _place = accepted.places.take(Kind::Outbound)?;
    let destination = original_dst::of_captured(worker, &accepted)?;
    record.addresses.destination = Some(destination.socket());

    let snapshot = worker.snapshot();
    let source = source::identify(&snapshot, &accepted.pod)?;
    let identity = source.workload.identity.clone();
    let subject = Subject::Outbound { pod: accepted.pod.uid.clone(), netns: accepted.pod.netns.cookie(), identity };
    let registered = worker.connections.register(subject);
    let permit = registered.judge(&snapshot).map_err(CloseReason::Denied)?;
    debug_assert!(permit.is_none(), "an outbound connection is not judged by policy here");
    record.flow.source = source.party();
    record.flow.service = snapshot.service_seen_from(&source.workload.namespace, destination.ip()).cloned();
    let route = snapshot.route(&source.workload, destination, &mut *worker.rng.borrow_mut())?;
    drop(snapshot);

    let upstream = tokio::select! {
        upstream = open(worker, &accepted, &source, &route, record) => upstream?,
        reason = must_end(worker, &registered) => return Err(reason),
    };
    record.established();
    let bytes = record.bytes();
    let splice = upstream.splice(accepted.stream.take(), &bytes);
    carry(worker, &registered, record, splice).await
}

/// Opens the way to the first candidate that can be reached. Only an endpoint that refuses the
/// connection is passed over: nothing has been sent to it yet.
async fn open(
    worker: &Rc<Worker>,
    accepted: &Accepted,
    source: &Source,
    route: &Route,
    record: &mut ConnectionRecord,
) -> Result<Upstream, CloseReason> {
    let mut last = CloseReason::UnknownWorkload;
    for candidate in &route.candidates {
        describe(record, candidate);
        let opened = match &candidate.via {
            Via::Tunnel { peer, expected } => {
                let tunnel = tunnel::Wanted { peer: *peer, expected, target: candidate.target, route };
                tunnel::open(worker, accepted, source, &tunnel).await.map(Upstream::Tunnel)
            }
            Via::Plain => {
                let to = UpstreamAddr::new(candidate.target.socket());
                upstream::connect(worker, &accepted.pod, to).await.map(Upstream::Plain)
            }
        };
        match opened {
            Ok(upstream) => {
                // Only now is it proved.
                if let Via::Tunnel { expected, .. } = &candidate.via {
                    record.flow.destination.identity = expected.first().cloned();
                }
                return Ok(upstream);
            }
            Err(reason) if may_try_another(&reason) => last = reason,
            Err(reason) => return Err(reason),
        }
    }
    Err(last)
}

/// Whether another endpoint may do better: not when the mesh itself said no.
fn may_try_another(reason: &CloseReason) -> bool {
    match reason {
        CloseReason::Connect { .. } | CloseReason::Http2 { .. } | CloseReason::Tls { .. } => true,
        CloseReason::TunnelRefused { status } => *status != 401,
        CloseReason::Overloaded { .. }
        | CloseReason::NoOriginalDst
        | CloseReason::AgentPort { .. }
        | CloseReason::UnknownWorkload
        | CloseReason::UnknownDestination { .. }
        | CloseReason::NoHealthyUpstream { .. }
        | CloseReason::NoSuchName { .. }
        | CloseReason::Aliased { .. }
        | CloseReason::WaypointUnavailable { .. }
        | CloseReason::NoSuchPort { .. }
        | CloseReason::NotExported { .. }
        | CloseReason::Denied(_)
        | CloseReason::PolicyChanged(_)
        | CloseReason::BadRequest { .. }
        | CloseReason::NoCertificate { .. }
        | CloseReason::Reset { .. }
        | CloseReason::Drained
        | CloseReason::Aborted => false,
    }
}

fn describe(record: &mut ConnectionRecord, candidate: &Candidate) {
    record.flow.destination = Party { workload: Some(Arc::clone(&candidate.workload)), identity: None };
    match &candidate.via {
        Via::Tunnel { peer, .. } => {
            record.flow.security = SecurityPolicy::MutualTls;
            record.addresses.destination = Some(*peer);
            record.addresses.tunnel_target = Some(candidate.target);
        }
        Via::Plain => {
            record.flow.security = SecurityPolicy::None;
            record.addresses.destination = Some(candidate.target.socket());
            record.addresses.tunnel_target = None;
        }
    }
}
