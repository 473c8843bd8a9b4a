//! How things stand with the pods of this node: for readiness, the admin page, the CNI plugin and the
//! control plane.

use std::collections::BTreeMap;
use std::sync::Arc;

use ambit_model::WorkloadUid;

/// How things stand with each pod.
pub(crate) type Standings = BTreeMap<WorkloadUid, Standing>;

/// How things stand with one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Kubernetes' `metadata.uid`; empty where there is none.
    pub(crate) pod_uid: Arc<str>,
    /// Whether it is captured.
    pub(crate) state: State,
}

/// Whether a pod is captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// It is.
    Enrolled {
        /// The cookie of its network namespace.
        netns: u64,
    },
    /// It should be and is not, and why.
    Failed(String),
    /// It should not be and is not.
    Released,
}
