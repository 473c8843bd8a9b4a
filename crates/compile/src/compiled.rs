//! What is in force.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use ambit_model::{Authorization, Service, TunnelProtocol, Workload, WorkloadUid};

use crate::Issue;

/// What is in force, each list by namespace and name. What is as it was when the store was last
/// compiled is the same allocation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Compiled {
    /// Workloads.
    pub workloads: Vec<Arc<Workload>>,
    /// Services.
    pub services: Vec<Arc<Service>>,
    /// Policies: the users', and those that stand for their PeerAuthentications.
    pub authorizations: Vec<Arc<Authorization>>,
    /// The files of network namespaces that users named.
    pub netns: BTreeMap<WorkloadUid, Box<Path>>,
    /// What is to be said about the objects together. What is to be said about each by itself was
    /// said when its file was given.
    pub issues: Vec<Issue>,
}

impl Compiled {
    /// The workloads to enrol, each on the node it runs on.
    pub fn enrolled(&self) -> impl Iterator<Item = &Arc<Workload>> {
        let known = |workload: &&Arc<Workload>| !workload.node.is_empty() && !workload.native_tunnel;
        self.workloads.iter().filter(|workload| workload.tunnel_protocol == TunnelProtocol::Hbone).filter(known)
    }
}
