//! Answers the CNI plugin: a pod that is to be captured starts captured, or not at all.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ambit_cni::{Answer, Request};
use ambit_sys::NetNs;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::cluster::{Cluster, Sandbox};
use crate::cni::{self, Pods};
use crate::enrolment::{Standings, State};
use crate::failure::error_chain;

/// How long a pod may be unknown: the control plane hears of it when the kubelet does, and may have to
/// be connected to again.
const UNKNOWN_PATIENCE: Duration = Duration::from_secs(3);
/// How long an enrolment may take; the plugin waits longer.
const ENROLMENT_PATIENCE: Duration = Duration::from_secs(15);
/// How long a pod's end waits for its release.
const RELEASE_PATIENCE: Duration = Duration::from_secs(2);

/// The pods of this node, as the control plane and enrolment know them.
pub(crate) struct LocalPods {
    cluster: Arc<Cluster>,
    standings: watch::Receiver<Standings>,
    /// The list of namespaces last known as meshed, for want of a word from the control plane.
    meshed_namespaces: PathBuf,
}

/// How things stand with a pod that waits.
enum Outlook {
    /// The answer is known.
    Certain(Answer),
    /// It is to be captured, and is not yet.
    Pending(String),
    /// Nobody has spoken of it.
    Unknown,
}

impl LocalPods {
    /// The pods of `cluster`.
    pub(crate) fn new(
        cluster: Arc<Cluster>,
        standings: watch::Receiver<Standings>,
        meshed_namespaces: PathBuf,
    ) -> Self {
        Self { cluster, standings, meshed_namespaces }
    }

    /// Takes in a pod's namespace. Gives its cookie.
    fn take_in(&self, pod: &Request) -> Result<u64, Answer> {
        let refuse = |reason: String| Answer::Refused { reason, retry: true };
        let path = pod.netns.as_deref().ok_or_else(|| refuse("no network namespace was given".to_owned()))?;
        let netns = NetNs::open(path).map_err(|error| refuse(error_chain(&error)))?;
        let cookie = netns.cookie();
        let sandbox = Sandbox {
            container_id: pod.container_id.clone(),
            pod_uid: pod.pod_uid.clone(),
            addresses: pod.addresses.clone(),
            netns: Some(Arc::new(netns)),
        };
        self.cluster.add_sandbox(&pod.namespace, &pod.pod, sandbox);
        Ok(cookie)
    }

    /// How things stand with a pod, in the namespace of that cookie where one is known.
    fn outlook(&self, pod: &Request, cookie: Option<u64>) -> Outlook {
        let known = self.cluster.pod(&pod.namespace, &pod.pod);
        let known = known.filter(|known| pod.pod_uid.as_deref().is_none_or(|uid| *uid == *known.pod_uid));
        let Some(known) = known else { return Outlook::Unknown };
        if !known.enrol {
            return Outlook::Certain(Answer::NotMeshed);
        }
        let standings = self.standings.borrow();
        let standing = standings.get(&known.workload.uid).filter(|standing| standing.pod_uid == known.pod_uid);
        match standing.map(|standing| &standing.state) {
            Some(State::Enrolled { netns }) if cookie.is_none_or(|cookie| cookie == *netns) => {
                Outlook::Certain(Answer::Enrolled)
            }
            Some(State::Failed(reason)) => Outlook::Pending(reason.clone()),
            Some(State::Enrolled { .. } | State::Released) | None => {
                Outlook::Pending("it is not captured yet".to_owned())
            }
        }
    }

    /// What to say of a pod nobody has spoken of: the control plane is away, or far behind.
    fn unknown(&self, namespace: &str) -> Answer {
        let meshed = match self.cluster.meshed().borrow().as_deref() {
            Some(meshed) => meshed.contains(namespace),
            None => cni::was_meshed(&self.meshed_namespaces, namespace),
        };
        if meshed {
            let reason = "its namespace is meshed, and the control plane has not spoken of it".to_owned();
            Answer::Refused { reason, retry: true }
        } else {
            Answer::NotMeshed
        }
    }

    async fn wait(&self, pod: &Request, cookie: u64) -> Answer {
        let (mut standings, mut publications) = (self.standings.clone(), self.cluster.publications());
        let begun = Instant::now();
        loop {
            // Marked as seen before they are looked at, so that no change is slept through.
            standings.mark_unchanged();
            publications.mark_unchanged();
            let (patience, otherwise) = match self.outlook(pod, Some(cookie)) {
                Outlook::Certain(answer) => return answer,
                Outlook::Pending(reason) => (ENROLMENT_PATIENCE, Answer::Refused { reason, retry: true }),
                Outlook::Unknown => (UNKNOWN_PATIENCE, self.unknown(&pod.namespace)),
            };
            tokio::select! {
                Ok(()) = standings.changed() => {}
                Ok(()) = publications.changed() => {}
                () = sleep_until(begun + patience) => return otherwise,
            }
        }
    }
}

impl Pods for LocalPods {
    async fn added(&self, pod: Request) -> Answer {
        match self.take_in(&pod) {
            Ok(cookie) => self.wait(&pod, cookie).await,
            Err(refused) => refused,
        }
    }

    async fn checked(&self, pod: Request) -> Answer {
        match self.outlook(&pod, None) {
            Outlook::Certain(answer) => answer,
            Outlook::Pending(reason) => Answer::Refused { reason, retry: true },
            Outlook::Unknown => self.unknown(&pod.namespace),
        }
    }

    async fn deleted(&self, pod: Request) {
        let Some(known) = self.cluster.end_sandbox(&pod.namespace, &pod.pod, &pod.container_id) else { return };
        let mut standings = self.standings.clone();
        let released = standings.wait_for(|standings| !standings.contains_key(&known));
        if tokio::time::timeout(RELEASE_PATIENCE, released).await.is_err() {
            tracing::warn!(pod = %known, "not released before its network ends");
        }
    }
}
