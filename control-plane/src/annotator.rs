//! The annotation of captured pods, `ambient.istio.io/redirection: enabled`: how every other replica, and every
//! other implementation, knows that a pod takes tunnels.
//!
//! The replica to which the pod's agent reports writes it, leader or not; the others see it through their
//! watch. Two replicas never write for one pod at the same time, but for an agent that is just moving from
//! one to the other, and then both write what the agent said.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use ambit_model::WorkloadUid;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::backoff::Backoff;
use crate::failure::error_chain;
use crate::pods::{ENABLED, Pods, REDIRECTION, Running};

/// Requests at once. A node that comes up reports some hundred pods; the API server has others to serve.
const MAX_REQUESTS: usize = 16;
/// Pauses after failures.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// Tries before it is given up until the next report; about two minutes.
const TRIES: usize = 18;

/// What an agent said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Captured.
    Captured,
    /// Not captured.
    Free,
}

/// An annotation that should be there, or not.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// The pod.
    pub(crate) uid: WorkloadUid,
    /// As it was when that was said.
    pub(crate) pod: Running,
    /// What was said.
    pub(crate) standing: Standing,
}

/// Writes annotations.
pub(crate) struct Annotator {
    client: Client,
    pods: Arc<Pods>,
    wanted: mpsc::Receiver<Wanted>,
    /// What waits, the last word on each pod.
    queue: HashMap<WorkloadUid, Wanted>,
    /// The pods being written.
    busy: HashSet<WorkloadUid>,
    requests: FuturesUnordered<BoxFuture<'static, WorkloadUid>>,
}

impl Standing {
    /// Of a pod that is enrolled or not.
    pub(crate) fn of(enrolled: bool) -> Self {
        if enrolled { Self::Captured } else { Self::Free }
    }

    fn value(self) -> Value {
        match self {
            Self::Captured => ENABLED.into(),
            Self::Free => Value::Null, // in a merge patch: removed
        }
    }
}

impl Annotator {
    /// An annotator of what `wanted` brings.
    pub(crate) fn new(client: Client, pods: Arc<Pods>, wanted: mpsc::Receiver<Wanted>) -> Self {
        let (queue, busy, requests) = Default::default();
        Self { client, pods, wanted, queue, busy, requests }
    }

    /// Writes until nobody reports any more.
    pub(crate) async fn run(mut self) {
        loop {
            self.start();
            tokio::select! {
                wanted = self.wanted.recv() => match wanted {
                    Some(wanted) => drop(self.queue.insert(wanted.uid.clone(), wanted)),
                    None => return,
                },
                Some(done) = self.requests.next() => drop(self.busy.remove(&done)),
            }
        }
    }

    /// Starts what may be: one request a pod at a time, so that the last word is also the last written.
    fn start(&mut self) {
        while self.requests.len() < MAX_REQUESTS {
            let Some(uid) = self.queue.keys().find(|uid| !self.busy.contains(*uid)).cloned() else { return };
            let Some(wanted) = self.queue.remove(&uid) else { return };
            if !is_due(&self.pods, &wanted) {
                continue;
            }
            self.busy.insert(uid);
            self.requests.push(Box::pin(write(self.client.clone(), Arc::clone(&self.pods), wanted)));
        }
    }
}

/// Whether the pod is still there and says something else.
fn is_due(pods: &Pods, Wanted { uid, pod, standing }: &Wanted) -> bool {
    let now = pods.running(uid).filter(|now| now.pod_uid == pod.pod_uid);
    now.is_some_and(|now| Standing::of(now.is_annotated()) != *standing)
}

async fn write(client: Client, pods: Arc<Pods>, wanted: Wanted) -> WorkloadUid {
    let api = Api::<Pod>::namespaced(client, &wanted.pod.namespace);
    let patch = patch(&wanted);
    let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
    for _ in 0..TRIES {
        match api.patch_metadata(&wanted.pod.name, &PatchParams::default(), &Patch::Merge(&patch)).await {
            Ok(_) => {
                pods.wrote(&wanted.uid, &wanted.pod.pod_uid, wanted.standing == Standing::Captured);
                break;
            }
            // Another pod of the name, or none.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => break,
            Err(error) => {
                tracing::warn!(pod = %wanted.uid, error = error_chain(&error), "cannot annotate");
                tokio::time::sleep(backoff.next()).await;
            }
        }
        if !is_due(&pods, &wanted) {
            break;
        }
    }
    wanted.uid
}

/// The uid is a precondition: the annotation is about this pod, and no other of its name.
fn patch(Wanted { pod, standing, .. }: &Wanted) -> Value {
    json!({ "metadata": { "uid": *pod.pod_uid, "annotations": { REDIRECTION: standing.value() } } })
}

#[cfg(test)]
mod tests {
    use ambit_resources::{Metadata, Pod, PodSpec};

    use super::*;

    #[test]
    fn only_what_differs_is_written_and_only_on_the_pod_it_was_said_of() {
        let pods = Pods::new("Kubernetes".into(), "cluster.local".into());
        let uid = WorkloadUid::pod("Kubernetes", "shop", "web");
        let put = |pod_uid: &str| {
            let metadata = Metadata { uid: pod_uid.to_owned(), ..Metadata::default() };
            let spec = PodSpec { node_name: "n1".to_owned(), ..PodSpec::default() };
            pods.put(&"shop".into(), &"web".into(), &Pod { metadata, spec, ..Pod::default() });
        };
        put("1");
        let pod = pods.running(&uid).unwrap();
        let wanted = |standing| Wanted { uid: uid.clone(), pod: pod.clone(), standing };
        assert!(is_due(&pods, &wanted(Standing::Captured)) && !is_due(&pods, &wanted(Standing::Free)));
        pods.wrote(&uid, "1", true);
        assert!(!is_due(&pods, &wanted(Standing::Captured)) && is_due(&pods, &wanted(Standing::Free)));
        put("2");
        assert!(!is_due(&pods, &wanted(Standing::Captured)), "another pod of the name");

        for (standing, value) in [(Standing::Captured, json!("enabled")), (Standing::Free, Value::Null)] {
            let annotations = json!({ "ambient.istio.io/redirection": value });
            assert_eq!(patch(&wanted(standing)), json!({ "metadata": { "uid": "1", "annotations": annotations } }));
        }
    }
}
