//! Events on pods that could not be enrolled, for those who look with `kubectl describe`.

use std::collections::HashMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::failure::error_chain;
use crate::pods::Running;

/// The same trouble of the same pod is not told again before.
const QUIET: Duration = Duration::from_mins(1);
/// Most events a second, of all pods.
const PACE: Duration = Duration::from_millis(100);
/// Most pods remembered; beyond, all are forgotten, and told of again.
const MAX_TOLD: usize = 4096;

/// An enrolment that failed.
#[derive(Debug)]
pub(crate) struct Trouble {
    /// Whose.
    pub(crate) pod: Running,
    /// Why.
    pub(crate) reason: String,
}

/// Writes events until nobody reports any more.
pub(crate) async fn run(client: Client, replica: String, mut troubles: mpsc::Receiver<Trouble>) {
    let reporter = Reporter { controller: "ambit.io/control-plane".to_owned(), instance: Some(replica) };
    let recorder = Recorder::new(client, reporter);
    let mut told = Told::default();
    while let Some(trouble) = troubles.recv().await {
        if !told.is_news(&trouble, Instant::now()) {
            continue;
        }
        if let Err(error) = recorder.publish(&event(&trouble.reason), &reference(&trouble.pod)).await {
            tracing::warn!(error = error_chain(&error), "cannot write an event");
        }
        tokio::time::sleep(PACE).await;
    }
}

/// What was told of lately, by the pod's uid.
#[derive(Debug, Default)]
struct Told(HashMap<String, (String, Instant)>);

impl Told {
    fn is_news(&mut self, Trouble { pod, reason }: &Trouble, now: Instant) -> bool {
        let old = self.0.get(&*pod.pod_uid);
        if old.is_some_and(|(said, when)| said == reason && now.duration_since(*when) < QUIET) {
            return false;
        }
        if self.0.len() >= MAX_TOLD {
            self.0.clear();
        }
        self.0.insert(pod.pod_uid.to_string(), (reason.clone(), now));
        true
    }
}

fn event(reason: &str) -> Event {
    Event {
        type_: EventType::Warning,
        reason: "EnrolmentFailed".to_owned(),
        note: Some(reason.to_owned()),
        action: "Enrol".to_owned(),
        secondary: None,
    }
}

fn reference(pod: &Running) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: Some(pod.name.to_string()),
        namespace: Some(pod.namespace.to_string()),
        uid: Some(pod.pod_uid.to_string()),
        ..ObjectReference::default()
    }
}
