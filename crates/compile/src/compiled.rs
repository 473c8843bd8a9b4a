//! What is in force.

use std::collections::BTreeMap;
use std::sync::Arc;

use ambit_model::{Authorization, LocalPod, Service, Workload};

use crate::Issue;

/// What is in force, each list by namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Compiled {
    /// Workloads.
    pub workloads: Vec<Workload>,
    /// Services.
    pub services: Vec<Service>,
    /// Policies: the users', and those that stand for their PeerAuthentications.
    pub authorizations: Vec<Authorization>,
    /// The pods to enrol, by the node they run on.
    pub local_pods: BTreeMap<Arc<str>, Vec<LocalPod>>,
    /// What is to be said about the objects together. What is to be said about each by itself was
    /// said when its file was given.
    pub issues: Vec<Issue>,
}

impl Compiled {
    /// The pods to enrol on a node.
    #[must_use]
    pub fn local_pods_of(&self, node: &str) -> &[LocalPod] {
        self.local_pods.get(node).map(Vec::as_slice).unwrap_or_default()
    }
}
