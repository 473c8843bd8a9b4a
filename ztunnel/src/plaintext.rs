//! Plaintext into an enrolled pod: a connection that came without a tunnel, steered to the agent by
//! the kernel. Without a tunnel there is no proof of who connects, so policy sees an address and no
//! identity; under STRICT that is a denial.

use std::rc::Rc;

use ambit_model::{CloseReason, UpstreamAddr};
use ambit_telemetry::{ConnectionRecord, Direction, Party, SecurityPolicy};

use crate::carry::{carry, must_end};
use crate::judged::{Inbound, Subject};
use crate::listener::Accepted;
use crate::places::Kind;
use crate::upstream::{connect_as, splice_plain_streams};
use crate::worker::Worker;
use crate::{destination, original_dst};

/// Serves one plaintext connection.
pub(crate) async fn serve(worker: Rc<Worker>, accepted: Accepted) {
    let _open = worker.drain.hold();
    let mut record = worker.recorder.open(Direction::Inbound, accepted.peer);
    let result = relay(&worker, accepted, &mut record).await;
    record.close(result.as_ref().copied());
}

async fn relay(worker: &Rc<Worker>, accepted: Accepted, record: &mut ConnectionRecord) -> Result<(), CloseReason> {
    let _place = accepted.places.take(Kind::Inbound)?;
    let snapshot = worker.snapshot();
    destination::describe(record, &snapshot, &accepted.pod);
    record.flow.security = SecurityPolicy::None;
    let workload = destination::source_workload(&snapshot, accepted.peer, None);
    record.flow.source = Party { workload, identity: None };
    let destination = original_dst::of_steered(&accepted)?;
    record.addresses.destination = Some(destination.socket());
    record.flow.service = destination::service(&snapshot, &accepted.pod, None, Some(destination.socket().port()));

    let registered = worker.connections.register(Subject::Inbound(Inbound {
        pod: accepted.pod.uid.clone(),
        netns: accepted.pod.netns.cookie(),
        peer: None,
        vouched: None,
        peer_ip: accepted.peer.ip(),
        destination: destination.socket(),
    }));
    destination::rehearse(worker, &registered, &snapshot);
    let permit = registered.judge(&snapshot).map_err(CloseReason::Denied)?.ok_or(CloseReason::UnknownWorkload)?;
    drop(snapshot);

    let upstream = UpstreamAddr::new(destination.socket());
    let application = tokio::select! {
        application = connect_as(&accepted.pod, accepted.peer, upstream, permit) => application?,
        reason = must_end(worker, &registered) => return Err(reason),
    };
    record.established();
    let bytes = record.bytes();
    let splice = splice_plain_streams(accepted.stream.take(), application, &bytes);
    carry(worker, &registered, record, splice).await
}
