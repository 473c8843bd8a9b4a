//! What goes into a store one by one, and what comes out of it.

use std::sync::Arc;

use ambit_model::{Authorization, NodePod, PolicyKey, Service, ServiceKey, Workload, WorkloadUid};
use ambit_resources::{ObjectId, Parsed, TargetRef};

use crate::Issue;

/// What was said about an object when it was read.
pub type Read = Vec<ambit_resources::Issue<ambit_resources::Problem>>;

/// One thing that happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// An object came, or changed.
    Put(Box<Parsed>, Read),
    /// An object came or changed, and cannot be read: the version before it stays in force. A policy for waypoints
    /// that has none denies everything to what it is attached to, as far as that could be read.
    Refused(ObjectId, Vec<TargetRef>, Read),
    /// An object went.
    Remove(ObjectId),
    /// A node says whether it captured a pod. Goes before the pod's annotation, until the annotation says
    /// the same, or another pod takes the name.
    Enrolled {
        /// The pod's workload.
        uid: WorkloadUid,
        /// Whether it is captured.
        enrolled: bool,
    },
}

/// What has a name, as it is now; nothing where it is gone.
pub type Changed<K, T> = Vec<(K, Option<Arc<T>>)>;

/// What differs from before: each list by name, each name once, nothing that is as it was.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Delta {
    /// Workloads that have an address, or a host name by which it is to be looked up.
    pub workloads: Changed<WorkloadUid, Workload>,
    /// Services.
    pub services: Changed<ServiceKey, Service>,
    /// Policies: the users', and those that stand for their PeerAuthentications.
    pub authorizations: Changed<PolicyKey, Authorization>,
    /// The pods of each node, from their scheduling to their end; with [`Tunnels::AsReported`](crate::Tunnels),
    /// not before it is known whether they are to be enrolled.
    pub pods: Changed<WorkloadUid, NodePod>,
    /// Namespaces that have pods to be enrolled, by their own wish or a pod's, and those that no longer have.
    pub meshed_namespaces: Vec<(Arc<str>, bool)>,
    /// All there is to be said about an object, also by reason of others; nothing where nothing is any
    /// more.
    pub issues: Vec<(ObjectId, Vec<Issue>)>,
    /// What it took.
    pub cost: Cost,
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Workloads compiled.
    pub workloads: usize,
    /// Groups of replicas that services and policies were held against.
    pub replicas: usize,
    /// Objects whose endpoints were sought, one by one.
    pub endpoints: usize,
}

impl Cost {
    /// All of it.
    #[must_use]
    pub fn total(self) -> usize {
        self.workloads + self.replicas + self.endpoints
    }
}
