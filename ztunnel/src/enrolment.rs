//! Enrolment: brings the pods that the kernel captures in line with the pods that should be, live, in
//! both directions, without touching a workload. One owner, one pass at a time.
//!
//! A pod is captured last and released first: at no moment is its traffic redirected to what is not
//! there, or let into a half-prepared pod. A pod that cannot be enrolled stays out, and readiness and
//! log say why; it is tried again.

mod host_ports;
mod orphan;
mod standing;
mod wanted;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ambit_ebpf_loader::{Enrolment as KernelEnrolment, LoadError, MapFault, Node, ip as mapped};
use ambit_ebpf_types::Pod as KernelPod;
use ambit_identity::{CertificateStore, Identities, TlsConfigs};
use ambit_model::{Identity, WorkloadUid};
use ambit_state::Snapshot;
use ambit_telemetry::AgentMetrics;
use tokio::task::JoinSet;

use crate::failure::error_chain;
use crate::netns_finder::NetnsFinder;
use crate::outlet::LocalPod;
use crate::pod::{Pod, PodError, SharedPod};
use crate::routing::{self, Families, RoutingError};
use crate::worker::{Command, WorkerHandle};

use orphan::{Orphan, is_let_go};
pub(crate) use standing::{Standing, Standings, State};
use wanted::{Wanted, locate, wanted};

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

/// How long a pass waits for certificates.
const CERTIFICATE_PATIENCE: Duration = Duration::from_millis(500);

/// How long pods that an earlier agent captured are kept for those whose addresses have not come yet.
const INHERITED_PATIENCE: Duration = Duration::from_secs(60);

/// The pods of this node.
pub(crate) struct Enrolment {
    node: Node,
    /// Looks for the namespaces that nobody named; none in standalone mode, where users name them.
    finder: Option<NetnsFinder>,
    host_netns: u64,
    workers: Vec<WorkerHandle>,
    certificates: Arc<CertificateStore>,
    tls: Arc<TlsConfigs>,
    metrics: AgentMetrics,
    enrolled: BTreeMap<WorkloadUid, Enrolled>,
    failed: BTreeMap<WorkloadUid, Failure>,
    /// Pods whose object is gone while their network may not be, by the cookie of their namespace.
    orphans: BTreeMap<u64, Orphan>,
    /// Pods that are not to be captured, with Kubernetes' uid.
    released: BTreeMap<WorkloadUid, Arc<str>>,
    /// Pods an earlier agent of this node left captured, until it is known whose they are.
    inherited: BTreeMap<u64, KernelPod>,
    /// The snapshot whose destinations the kernel knows.
    destinations_of: Option<Arc<Snapshot>>,
    /// The hostPorts the kernel knows.
    host_ports: Option<host_ports::Ways>,
    /// Whether programs of agents with other map layouts were removed.
    others_retired: bool,
    /// Why it does not take newer ones.
    refused: Option<String>,
    /// What an earlier agent left and cannot be removed.
    problem: Option<String>,
    started: Instant,
}

/// Why a pod is not captured as it should be.
struct Failure {
    pod_uid: Arc<str>,
    reason: String,
    /// Whether it was so in an earlier pass, too: a certificate that is on its way is no failure.
    again: bool,
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
            host_ports: None,
            others_retired: false,
            refused: None,
            problem: None,
            started: Instant::now(),
            node,
            finder: None,
            host_netns,
            workers,
            certificates: Arc::clone(&identity.certificates),
            tls: Arc::clone(&identity.tls),
            metrics,
            enrolled: BTreeMap::new(),
            failed: BTreeMap::new(),
            orphans: BTreeMap::new(),
            released: BTreeMap::new(),
        })
    }

    /// Has the namespaces looked for that nobody named.
    pub(crate) fn with(self, finder: Option<NetnsFinder>) -> Self {
        Self { finder, ..self }
    }

    /// One pass: releases what should not be captured, captures what should be. The kernel's view of
    /// mesh destinations is brought up to date first.
    pub(crate) async fn reconcile(&mut self, snapshot: &Arc<Snapshot>, pods: &[LocalPod]) {
        self.tell_destinations(snapshot);
        let (wanted, waiting) = self.wanted(snapshot, pods).await;
        let gone: Vec<_> = self.enrolled.keys().filter(|uid| !wanted.contains_key(*uid)).cloned().collect();
        for uid in gone {
            if let Some(enrolled) = self.enrolled.remove(&uid) {
                let let_go = is_let_go(pods, &uid, &enrolled.wanted.pod_uid);
                self.lose(enrolled, let_go);
            }
        }
        self.end_orphans(pods);
        self.prefetch_certificates(&wanted).await;
        for (uid, pod) in &wanted {
            if !self.enrolled.get(uid).is_some_and(|enrolled| pod.is_met_by(&enrolled.wanted, &enrolled.pod)) {
                self.enrol(uid, pod);
            }
        }
        self.tell_host_ports(pods);
        self.failed.retain(|uid, _| wanted.contains_key(uid));
        if !waiting || self.started.elapsed() > INHERITED_PATIENCE {
            self.release_inherited(&wanted);
        }
        let identities: HashSet<&Identity> = wanted.values().map(|pod| &pod.identity).collect();
        self.tls.retain(|identity| identities.contains(identity));
        let released = pods.iter().filter(|pod| !pod.enrol && !pod.ended);
        self.released = released.map(|pod| (pod.uid.clone(), Arc::clone(&pod.pod_uid))).collect();
        self.metrics.enrolled_pods.set(i64::try_from(self.enrolled.len()).unwrap_or(i64::MAX));
    }

    /// The pods that should be captured, and whether there are more, whose addresses have not come yet.
    async fn wanted(&mut self, snapshot: &Snapshot, pods: &[LocalPod]) -> (BTreeMap<WorkloadUid, Wanted>, bool) {
        let mut wanted = wanted(snapshot, pods);
        // In standalone mode a pod without an address is a mistake of whoever wrote it, and told.
        let Some(finder) = &mut self.finder else { return (wanted, false) };
        let orphans = self.orphans.values().filter(|orphan| !orphan.is_among(pods));
        locate(&mut wanted, finder, orphans.map(|orphan| Arc::clone(&orphan.pod.netns)).collect()).await;
        for (uid, pod) in &mut wanted {
            if let Some(enrolled) = self.enrolled.get(uid) {
                pod.keep_addresses_of(&enrolled.wanted);
            }
        }
        let all = wanted.len();
        wanted.retain(|_, pod| !pod.is_without_address());
        let waiting = wanted.len() < all;
        (wanted, waiting)
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
        self.dismiss(cookie);
        // Its open connections are cut at the same time, so nobody needs the way back any more.
        if let Err(error) = routing::remove(&pod.netns, Families::of(&pod.addresses)) {
            tracing::warn!(pod = %pod.uid, error = &error as &dyn std::error::Error, "cannot remove the routing rule");
        }
        tracing::info!(pod = %pod.uid, "released");
    }

    /// Has the workers serve a pod no more, and cut its connections.
    fn dismiss(&self, cookie: u64) {
        for worker in &self.workers {
            worker.tell(Command::Remove(cookie));
        }
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
                self.orphans.remove(&cookie);
                let before = self.enrolled.insert(uid.clone(), Enrolled { pod, wanted: wanted.clone() });
                if let Some(before) = before.filter(|before| before.pod.netns.cookie() != cookie) {
                    let let_go = before.wanted.pod_uid == wanted.pod_uid;
                    self.lose(before, let_go);
                }
            }
            Err(error) => {
                let reason = error_chain(&error);
                if self.failed.get(uid).is_none_or(|before| before.reason != reason) {
                    tracing::error!(pod = %uid, %reason, "not enrolled");
                    self.metrics.enrolment_failures.inc();
                }
                let again = self.failed.contains_key(uid);
                self.failed.insert(uid.clone(), Failure { pod_uid: Arc::clone(&wanted.pod_uid), reason, again });
            }
        }
    }

    fn capture(&mut self, uid: &WorkloadUid, wanted: &Wanted) -> Result<SharedPod, EnrolError> {
        let nowhere = || if self.finder.is_some() { PodError::NetNsNotFound } else { PodError::NoNetNs };
        let place = wanted.netns.as_ref().ok_or_else(nowhere)?;
        let pod = Arc::new(Pod::open(uid.clone(), place, &wanted.addresses, self.host_netns)?);
        let taken = self
            .enrolled
            .iter()
            .find(|(other, enrolled)| *other != uid && enrolled.pod.netns.cookie() == pod.netns.cookie());
        if let Some((by, _)) = taken {
            return Err(PodError::NetNsTaken { by: by.clone() }.into());
        }
        // One that is captured already is refused everything until somebody serves it.
        let cookie = pod.netns.cookie();
        let captured = self.inherited.contains_key(&cookie) || self.orphans.contains_key(&cookie);
        if !captured && self.certificates.current(&wanted.identity).is_none() {
            return Err(EnrolError::NoCertificateYet { identity: wanted.identity.clone() });
        }
        let (mut all, mut keys) = (Vec::new(), Vec::new());
        for worker in 0..u16::try_from(self.workers.len()).unwrap_or(u16::MAX) {
            let (listeners, found_by) = pod.listen(worker)?;
            all.push(listeners);
            keys.extend(found_by);
        }
        routing::install(&pod.netns, Families::of(&pod.addresses), pod.is_guest())?;
        self.node.enrol(&KernelEnrolment {
            netns: pod.netns.as_fd(),
            cookie: pod.netns.cookie(),
            pod: pod.for_kernel(),
            listeners: &keys,
            interfaces: pod.seat.interfaces(),
        })?;
        for (worker, listeners) in self.workers.iter().zip(all) {
            worker.tell(Command::Add(Arc::clone(&pod), listeners));
        }
        Ok(pod)
    }

    /// Lets go of pods that an earlier agent captured and nobody wants any more; but of none that may be
    /// one that is wanted and could not be enrolled yet.
    fn release_inherited(&mut self, wanted: &BTreeMap<WorkloadUid, Wanted>) {
        self.problem = None;
        if !self.others_retired && self.failed.is_empty() {
            match self.node.retire_other_layouts() {
                Ok(()) => self.others_retired = true,
                Err(error) => self.problem = Some(error_chain(&error)),
            }
        }
        let failed: Vec<_> = self.failed.keys().filter_map(|uid| wanted.get(uid)).collect();
        if failed.iter().any(|pod| pod.is_without_address()) {
            return;
        }
        let addresses: HashSet<_> =
            failed.iter().flat_map(|pod| &pod.addresses).map(|address| mapped(*address)).collect();
        for (cookie, pod) in std::mem::take(&mut self.inherited) {
            // One that was captured half has no addresses in the kernel.
            let unknown = pod == KernelPod::default() && !failed.is_empty();
            if unknown || addresses.contains(&pod.ip4) || addresses.contains(&pod.ip6) {
                self.inherited.insert(cookie, pod);
                continue;
            }
            match self.node.release(cookie, pod) {
                Ok(()) => tracing::info!(cookie, "released a pod that an earlier agent left enrolled"),
                Err(error) => {
                    self.problem = Some(error_chain(&error));
                    self.inherited.insert(cookie, pod);
                }
            }
        }
    }

    /// How things stand with each pod. None is said to be released before it is known that nothing of it
    /// is left from an earlier agent.
    pub(crate) fn standings(&self) -> Standings {
        let standing = |uid: &WorkloadUid, pod_uid: &Arc<str>, state| {
            (uid.clone(), Standing { pod_uid: Arc::clone(pod_uid), state })
        };
        let released = self.released.iter().filter(|_| self.inherited.is_empty());
        let released = released.map(|(uid, pod_uid)| standing(uid, pod_uid, State::Released));
        let enrolled = self.enrolled.iter().map(|(uid, enrolled)| {
            standing(uid, &enrolled.wanted.pod_uid, State::Enrolled { netns: enrolled.pod.netns.cookie() })
        });
        let failed = self.failed.iter().filter(|(_, failure)| failure.again);
        let failed =
            failed.map(|(uid, failure)| standing(uid, &failure.pod_uid, State::Failed(failure.reason.clone())));
        // The last word counts: a pod that is captured and could not be captured anew is a failure.
        released.chain(enrolled).chain(failed).collect()
    }

    /// Why this node is not ready, though its pods may be enrolled. In a cluster what is wrong with single
    /// pods is not among it: reports, metrics and log tell of it, and it must not hold up the upgrade of
    /// every node's agent.
    pub(crate) fn problems(&self) -> Vec<String> {
        let in_cluster = self.finder.is_some();
        let destinations =
            self.refused.iter().map(|reason| format!("the kernel lacks the mesh's destinations: {reason}"));
        let identities: BTreeSet<_> = self.enrolled.values().map(|enrolled| &enrolled.wanted.identity).collect();
        let all = identities.len();
        let lacking = identities.into_iter().filter(|identity| self.certificates.current(identity).is_none());
        let mut certificates: Vec<_> =
            lacking.map(|identity| format!("there is no certificate for {identity}")).collect();
        // Without a single one it is no pod's own trouble.
        if in_cluster && certificates.len() < all {
            certificates.clear();
        }
        let pods = self.failed.iter().filter(|_| !in_cluster);
        let pods = pods.map(|(uid, failure)| format!("{uid} is not enrolled: {}", failure.reason));
        destinations.chain(self.problem.clone()).chain(certificates).chain(pods).collect()
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
