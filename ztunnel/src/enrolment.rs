//! Enrolment: brings the pods that the kernel captures in line with the pods that should be, live, in
//! both directions, without touching a workload. One owner, one pass at a time.
//!
//! A pod is captured last and released first: at no moment is its traffic redirected to what is not
//! there, or let into a half-prepared pod. A pod that cannot be enrolled stays out, and readiness and
//! log say why; it is tried again.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;

use ambit_ebpf_loader::{Enrolment as KernelEnrolment, LoadError, MapFault, Node};
use ambit_ebpf_types::Pod as KernelPod;
use ambit_identity::{CertificateStore, CertificateUnavailable, TlsConfigs};
use ambit_model::{Identity, LocalPod, WorkloadUid};
use ambit_state::Snapshot;
use ambit_telemetry::AgentMetrics;

use crate::identities::Identities;
use crate::pod::{Pod, PodError, SharedPod};
use crate::routing::{self, Families};
use crate::tunnel::error_chain;
use crate::worker::{Command, WorkerHandle};

/// A pod that should be captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    netns: Option<PathBuf>,
    addresses: Vec<IpAddr>,
    identity: Identity,
}

/// Why a pod is not captured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnrolError {
    /// The pod's side.
    #[error(transparent)]
    Pod(#[from] PodError),
    /// The kernel's side.
    #[error("the kernel does not capture it")]
    Kernel(#[from] LoadError),
    /// Nothing to show to its peers.
    #[error("there is no certificate for it")]
    Certificate(#[from] CertificateUnavailable),
    /// A listener without an address.
    #[error("a listener has no address")]
    Listener(#[from] io::Error),
}

/// How things stand with one pod, for readiness and the admin page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Status {
    /// Captured.
    Enrolled,
    /// Not captured, and why.
    Failed(String),
}

/// The pods of this node.
pub(crate) struct Enrolment {
    node: Node,
    host_netns: u64,
    workers: Vec<WorkerHandle>,
    certificates: Arc<CertificateStore>,
    tls: Arc<TlsConfigs>,
    metrics: AgentMetrics,
    enrolled: BTreeMap<WorkloadUid, Enrolled>,
    failed: BTreeMap<WorkloadUid, String>,
    /// Pods an earlier agent of this node left captured, until it is known whose they are.
    inherited: BTreeMap<u64, KernelPod>,
    /// The snapshot whose destinations the kernel knows.
    destinations_of: Option<Arc<Snapshot>>,
    /// Whether programs of agents with other map layouts were removed.
    others_retired: bool,
    /// Why it does not take newer ones.
    refused: Option<String>,
}

struct Enrolled {
    pod: SharedPod,
    wanted: Wanted,
}

impl Enrolment {
    /// Takes charge of a node's kernel side and workers.
    pub(crate) fn new(
        node: Node,
        host_netns: u64,
        workers: Vec<WorkerHandle>,
        identity: &Identities,
        metrics: AgentMetrics,
    ) -> Result<Self, MapFault> {
        Ok(Self {
            inherited: node.enrolled()?,
            destinations_of: None,
            others_retired: false,
            refused: None,
            node,
            host_netns,
            workers,
            certificates: Arc::clone(&identity.certificates),
            tls: Arc::clone(&identity.tls),
            metrics,
            enrolled: BTreeMap::new(),
            failed: BTreeMap::new(),
        })
    }

    /// One pass: releases what should not be captured, captures what should be. The kernel's view of
    /// mesh destinations is brought up to date first.
    pub(crate) async fn reconcile(&mut self, snapshot: &Arc<Snapshot>, pods: &[LocalPod]) {
        self.tell_destinations(snapshot);
        let wanted = wanted(snapshot, pods);
        self.release_unwanted(&wanted);
        for (uid, pod) in &wanted {
            if !self.enrolled.contains_key(uid) {
                self.enrol(uid, pod).await;
            }
        }
        self.failed.retain(|uid, _| wanted.contains_key(uid));
        self.release_inherited();
        let identities: Vec<&Identity> = wanted.values().map(|pod| &pod.identity).collect();
        self.tls.retain(|identity| identities.contains(&identity));
        self.metrics.enrolled_pods.set(i64::try_from(self.enrolled.len()).unwrap_or(i64::MAX));
    }

    /// Once for each snapshot; again and again while the kernel refuses.
    fn tell_destinations(&mut self, snapshot: &Arc<Snapshot>) {
        if self.destinations_of.as_ref().is_some_and(|told| Arc::ptr_eq(told, snapshot)) {
            return;
        }
        match self.node.set_destinations(snapshot.mesh_destinations()) {
            Ok(()) => {
                self.destinations_of = Some(Arc::clone(snapshot));
                self.refused = None;
            }
            Err(error) => {
                let reason = error_chain(&error);
                if self.refused.as_ref() != Some(&reason) {
                    tracing::error!(reason, "every connection of enrolled pods is captured, the mesh's or not");
                }
                self.refused = Some(reason);
            }
        }
    }

    fn release_unwanted(&mut self, wanted: &BTreeMap<WorkloadUid, Wanted>) {
        let gone: Vec<WorkloadUid> = self
            .enrolled
            .iter()
            .filter(|(uid, enrolled)| {
                // A new identity needs no new capture; another namespace or address does.
                let same = |pod: &Wanted| {
                    pod.netns == enrolled.wanted.netns
                        && pod.addresses == enrolled.wanted.addresses
                        && enrolled.pod.netns.is_current()
                };
                !wanted.get(uid).is_some_and(same)
            })
            .map(|(uid, _)| uid.clone())
            .collect();
        for uid in gone {
            if let Some(enrolled) = self.enrolled.remove(&uid) {
                self.release(&enrolled.pod);
            }
        }
    }

    fn release(&mut self, pod: &SharedPod) {
        let cookie = pod.netns.cookie();
        if let Err(error) = self.node.release(cookie, pod.for_kernel()) {
            tracing::error!(pod = %pod.uid, error = &error as &dyn std::error::Error, "cannot release the pod");
        }
        for worker in &self.workers {
            worker.tell(Command::Remove(cookie));
        }
        // Its open connections are cut at the same time, so nobody needs the way back any more.
        if let Err(error) = routing::remove(&pod.netns, Families::of(&pod.addresses)) {
            tracing::warn!(pod = %pod.uid, error = &error as &dyn std::error::Error, "cannot remove the routing rule");
        }
        tracing::info!(pod = %pod.uid, "released");
    }

    async fn enrol(&mut self, uid: &WorkloadUid, wanted: &Wanted) {
        match self.capture(uid, wanted).await {
            Ok(pod) => {
                tracing::info!(pod = %uid, identity = %wanted.identity, "enrolled");
                self.failed.remove(uid);
                self.inherited.remove(&pod.netns.cookie());
                self.enrolled.insert(uid.clone(), Enrolled { pod, wanted: wanted.clone() });
            }
            Err(error) => {
                let reason = error_chain(&error);
                if self.failed.get(uid) != Some(&reason) {
                    tracing::error!(pod = %uid, %reason, "not enrolled");
                    self.metrics.enrolment_failures.inc();
                }
                self.failed.insert(uid.clone(), reason);
            }
        }
    }

    async fn capture(&mut self, uid: &WorkloadUid, wanted: &Wanted) -> Result<SharedPod, EnrolError> {
        let pod = Arc::new(Pod::open(uid.clone(), wanted.netns.as_deref(), &wanted.addresses, self.host_netns)?);
        self.certificates.certificate(&wanted.identity).await?;
        let mut all = Vec::with_capacity(self.workers.len());
        for _ in &self.workers {
            all.push(pod.listen()?);
        }
        if let Some(listeners) = all.first() {
            let listeners = listeners.for_kernel()?;
            self.node.enrol(&KernelEnrolment {
                netns: pod.netns.as_fd(),
                cookie: pod.netns.cookie(),
                listeners: &listeners,
            })?;
        }
        for (worker, listeners) in self.workers.iter().zip(all) {
            worker.tell(Command::Add(Arc::clone(&pod), listeners));
        }
        Ok(pod)
    }

    /// Lets go of pods that an earlier agent captured and nobody wants any more; but only once every
    /// wanted pod is enrolled: until then one of them may be one that is wanted.
    fn release_inherited(&mut self) {
        if !self.failed.is_empty() {
            return;
        }
        if !std::mem::replace(&mut self.others_retired, true)
            && let Err(error) = self.node.retire_other_layouts()
        {
            tracing::error!(error = &error as &dyn std::error::Error, "an older agent's programs are still attached");
        }
        for (cookie, pod) in std::mem::take(&mut self.inherited) {
            match self.node.release(cookie, pod) {
                Ok(()) => tracing::info!(cookie, "released a pod that an earlier agent left enrolled"),
                Err(error) => tracing::error!(error = &error as &dyn std::error::Error, cookie, "cannot release a pod"),
            }
        }
    }

    /// How things stand with each pod.
    pub(crate) fn status(&self) -> BTreeMap<WorkloadUid, Status> {
        let enrolled = self.enrolled.keys().map(|uid| (uid.clone(), Status::Enrolled));
        let failed = self.failed.iter().map(|(uid, reason)| (uid.clone(), Status::Failed(reason.clone())));
        enrolled.chain(failed).collect()
    }

    /// Why this node is not ready, though its pods may be enrolled.
    pub(crate) fn problems(&self) -> Vec<String> {
        let destinations =
            self.refused.iter().map(|reason| format!("the kernel lacks the mesh's destinations: {reason}"));
        let pods = self.failed.iter().map(|(uid, reason)| format!("{uid} is not enrolled: {reason}"));
        destinations.chain(pods).collect()
    }

    /// Counters of the kernel programs' faults.
    pub(crate) fn faults(&self) -> Vec<ambit_ebpf_loader::FaultCount> {
        self.node.faults().unwrap_or_default()
    }

    /// Ends the workers, once the drain is over. Pods stay captured: a successor takes over, and until
    /// it does they are refused, never plaintext.
    pub(crate) fn join(self) {
        self.workers.into_iter().for_each(WorkerHandle::join);
    }
}

/// The pods that should be captured, with what their capture depends on.
fn wanted(snapshot: &Snapshot, pods: &[LocalPod]) -> BTreeMap<WorkloadUid, Wanted> {
    pods.iter()
        .filter_map(|pod| {
            let workload = snapshot.workload(&pod.uid)?;
            let wanted = Wanted {
                netns: pod.netns.clone(),
                addresses: workload.addresses.clone(),
                identity: workload.identity.clone(),
            };
            Some((pod.uid.clone(), wanted))
        })
        .collect()
}
