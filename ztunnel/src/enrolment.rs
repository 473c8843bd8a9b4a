//! Enrolment: brings the pods that the kernel captures in line with the pods that should be, live, in
//! both directions, without touching a workload. One owner, one pass at a time.
//!
//! A pod is captured last and released first: at no moment is its traffic redirected to what is not
//! there, or let into a half-prepared pod. A pod that cannot be enrolled stays out, and readiness and
//! log say why; it is tried again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ambit_ebpf_loader::{Enrolment as KernelEnrolment, LoadError, MapFault, Node};
use ambit_ebpf_types::Pod as KernelPod;
use ambit_identity::{CertificateStore, TlsConfigs};
use ambit_model::{Identity, LocalPod, WorkloadUid};
use ambit_state::Snapshot;
use ambit_telemetry::AgentMetrics;
use tokio::task::JoinSet;

use crate::failure::error_chain;
use crate::identities::Identities;
use crate::pod::{Pod, PodError, SharedPod};
use crate::routing::{self, Families, RoutingError};
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
    /// The way back for replies.
    #[error(transparent)]
    Routing(#[from] RoutingError),
    /// Nothing to show to its peers.
    #[error("there is no certificate for {identity} yet")]
    NoCertificateYet {
        /// Its identity.
        identity: Identity,
    },
}

/// How things stand with one pod, for readiness and the admin page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Status {
    /// Captured.
    Enrolled,
    /// Not captured, and why.
    Failed(String),
}

/// How long a pass waits for certificates.
const CERTIFICATE_PATIENCE: Duration = Duration::from_millis(500);

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
    /// What an earlier agent left and cannot be removed.
    problem: Option<String>,
}

struct Enrolled {
    pod: SharedPod,
    wanted: Wanted,
}

impl Enrolled {
    /// Whether the capture is as it should be. Another identity needs no other capture.
    fn is_as(&self, wanted: &Wanted) -> bool {
        self.wanted.netns == wanted.netns && self.wanted.addresses == wanted.addresses && !self.pod.netns.is_replaced()
    }
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
            problem: None,
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
        let gone: Vec<_> = self.enrolled.keys().filter(|uid| !wanted.contains_key(*uid)).cloned().collect();
        for uid in gone {
            if let Some(enrolled) = self.enrolled.remove(&uid) {
                self.release(&enrolled.pod);
            }
        }
        self.prefetch_certificates(&wanted).await;
        for (uid, pod) in &wanted {
            if !self.enrolled.get(uid).is_some_and(|enrolled| enrolled.is_as(pod)) {
                self.enrol(uid, pod);
            }
        }
        self.failed.retain(|uid, _| wanted.contains_key(uid));
        self.release_inherited();
        let identities: Vec<&Identity> = wanted.values().map(|pod| &pod.identity).collect();
        self.tls.retain(|identity| identities.contains(&identity));
        self.metrics.enrolled_pods.set(i64::try_from(self.enrolled.len()).unwrap_or(i64::MAX));
    }

    /// Asks for the certificates that are missing, all at once, and waits a moment. A slow authority holds
    /// up the pods it is slow for, at most to the next pass, and nobody else.
    async fn prefetch_certificates(&self, wanted: &BTreeMap<WorkloadUid, Wanted>) {
        let missing: BTreeSet<_> = wanted.values().map(|pod| &pod.identity).collect();
        let missing = missing.into_iter().filter(|identity| self.certificates.current(identity).is_none());
        let mut fetches = JoinSet::new();
        for identity in missing {
            let (certificates, identity) = (Arc::clone(&self.certificates), identity.clone());
            fetches.spawn(async move { certificates.certificate(&identity).await.is_ok() });
        }
        // Those not done by then go on by themselves: the store fetches once for all who ask.
        let all = async { while fetches.join_next().await.is_some() {} };
        if tokio::time::timeout(CERTIFICATE_PATIENCE, all).await.is_err() {
            fetches.detach_all();
        }
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
                    tracing::error!(
                        reason,
                        "every connection of enrolled pods is captured, and those to destinations outside of the mesh are refused"
                    );
                }
                self.refused = Some(reason);
            }
        }
    }

    fn release(&mut self, pod: &SharedPod) {
        let cookie = pod.netns.cookie();
        if let Err(error) = self.node.release(cookie, pod.for_kernel()) {
            tracing::error!(pod = %pod.uid, error = &error as &dyn std::error::Error, "cannot release the pod (yet)");
            self.inherited.insert(cookie, pod.for_kernel());
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

    /// Captures a pod, or captures it anew where its addresses changed: then it stays captured throughout.
    /// Where its namespace is another one, the old one is let go after the new one is in place.
    fn enrol(&mut self, uid: &WorkloadUid, wanted: &Wanted) {
        match self.capture(uid, wanted) {
            Ok(pod) => {
                tracing::info!(pod = %uid, identity = %wanted.identity, "enrolled");
                self.failed.remove(uid);
                let cookie = pod.netns.cookie();
                self.inherited.remove(&cookie);
                let before = self.enrolled.insert(uid.clone(), Enrolled { pod, wanted: wanted.clone() });
                if let Some(before) = before.filter(|before| before.pod.netns.cookie() != cookie) {
                    self.release(&before.pod);
                }
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

    fn capture(&mut self, uid: &WorkloadUid, wanted: &Wanted) -> Result<SharedPod, EnrolError> {
        let pod = Arc::new(Pod::open(uid.clone(), wanted.netns.as_deref(), &wanted.addresses, self.host_netns)?);
        let taken = self
            .enrolled
            .iter()
            .find(|(other, enrolled)| *other != uid && enrolled.pod.netns.cookie() == pod.netns.cookie());
        if let Some((by, _)) = taken {
            return Err(PodError::NetNsTaken { by: by.clone() }.into());
        }
        if self.certificates.current(&wanted.identity).is_none() {
            return Err(EnrolError::NoCertificateYet { identity: wanted.identity.clone() });
        }
        let (mut all, mut keys) = (Vec::new(), Vec::new());
        for worker in 0..u16::try_from(self.workers.len()).unwrap_or(u16::MAX) {
            let (listeners, found_by) = pod.listen(worker)?;
            all.push(listeners);
            keys.extend(found_by);
        }
        routing::install(&pod.netns, Families::of(&pod.addresses))?;
        self.node.enrol(&KernelEnrolment {
            netns: pod.netns.as_fd(),
            cookie: pod.netns.cookie(),
            pod: pod.for_kernel(),
            listeners: &keys,
        })?;
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
        self.problem = None;
        if !self.others_retired {
            match self.node.retire_other_layouts() {
                Ok(()) => self.others_retired = true,
                Err(error) => self.problem = Some(error_chain(&error)),
            }
        }
        for (cookie, pod) in std::mem::take(&mut self.inherited) {
            match self.node.release(cookie, pod) {
                Ok(()) => tracing::info!(cookie, "released a pod that an earlier agent left enrolled"),
                Err(error) => {
                    self.problem = Some(error_chain(&error));
                    self.inherited.insert(cookie, pod);
                }
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
        destinations.chain(self.problem.clone()).chain(pods).collect()
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
