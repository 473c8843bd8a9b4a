//! Where a source of configuration publishes, whichever it is: everything behind this is the same for a
//! folder and for a control plane.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use ambit_model::{HostPort, WorkloadUid};
use ambit_state::{Shared, Snapshot};
use ambit_sys::NetNs;
use ambit_telemetry::AgentMetrics;
use tokio::sync::watch;

/// What a publication changes, for whoever acts on it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Published {
    /// Pods of this node.
    pub(crate) pods: Arc<[LocalPod]>,
    /// Why what is in force may not be what was asked for; the node is not ready then.
    pub(crate) problem: Option<String>,
}

/// A pod of this node. What its capture needs beyond this is in its workload.
#[derive(Debug, Clone)]
pub(crate) struct LocalPod {
    /// The workload it is.
    pub(crate) uid: WorkloadUid,
    /// Kubernetes' `metadata.uid`, which tells it from its successor of the same name; empty where there
    /// is none.
    pub(crate) pod_uid: Arc<str>,
    /// Whether it is to be captured.
    pub(crate) enrol: bool,
    /// Whether its network has ended, by the container runtime's word: nothing is left of it to capture.
    pub(crate) ended: bool,
    /// Ports of this node that lead to it.
    pub(crate) host_ports: Box<[HostPort]>,
    /// Its network namespace, where anybody said.
    pub(crate) netns: Option<Place>,
}

/// A network namespace that somebody named.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// A user, by its file.
    File(PathBuf),
    /// The container runtime, when it made the pod; or it was found.
    Open(Arc<NetNs>),
}

/// Where a source publishes.
#[derive(Clone)]
pub(crate) struct Outlet {
    /// The snapshot.
    pub(crate) state: Arc<Shared>,
    /// Its version, for the workers.
    pub(crate) version: watch::Sender<u64>,
    /// The pods, for enrolment.
    pub(crate) published: watch::Sender<Published>,
    /// Counters.
    pub(crate) metrics: AgentMetrics,
}

impl Outlet {
    /// Puts a snapshot in force, and the pods that go with it.
    pub(crate) fn publish(&self, snapshot: Snapshot, pods: Arc<[LocalPod]>) {
        let version = self.state.publish(snapshot);
        self.version.send_replace(version);
        self.published.send_replace(Published { pods, problem: None });
    }

    /// Puts in force what was found for a host name, or that it is no longer looked up.
    pub(crate) fn learn(&self, name: Arc<str>, found: Option<Arc<[IpAddr]>>) {
        let version = self.state.learn(name, found);
        self.version.send_replace(version);
    }

    /// Says why nothing newer, or nothing at all, is in force.
    pub(crate) fn problem(&self, problem: String) {
        self.published.send_modify(|published| published.problem = Some(problem));
    }
}
