//! Step 3, outbound: who the connection is from. The agent accepted it inside the pod's own network
//! namespace, which nobody else can connect from: that is the proof.

use std::sync::Arc;

use ambit_model::{CloseReason, Workload};
use ambit_state::Snapshot;
use ambit_telemetry::Party;

use crate::pod::Pod;

/// The pod a connection is from.
pub(crate) struct Source {
    /// Its workload.
    pub(crate) workload: Arc<Workload>,
}

impl Source {
    /// For the record.
    pub(crate) fn party(&self) -> Party {
        Party { workload: Some(Arc::clone(&self.workload)), identity: Some(self.workload.identity.clone()) }
    }
}

/// Finds the pod's workload.
pub(crate) fn identify(snapshot: &Snapshot, pod: &Pod) -> Result<Source, CloseReason> {
    let workload = snapshot.workload(&pod.uid).ok_or(CloseReason::UnknownWorkload)?;
    Ok(Source { workload: Arc::clone(workload) })
}
