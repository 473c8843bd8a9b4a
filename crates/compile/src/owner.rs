//! The names that logs, metrics and dashboards group pods by.

use std::collections::BTreeMap;

use ambit_model::WorkloadKind;
use ambit_resources::Pod;

/// What owns a pod, and its name. A ReplicaSet stands for the Deployment that made it, a Job for
/// the CronJob; what else may own a pod has no word in the protocol, so the pod stands for itself.
pub(crate) fn owner<'a>(pod: &'a Pod, pod_name: &'a str) -> (WorkloadKind, &'a str) {
    let Some(owner) = pod.metadata.owner_references.iter().find(|owner| owner.controller) else {
        return (WorkloadKind::Pod, pod_name);
    };
    match owner.kind.as_str() {
        "ReplicaSet" => match deployment(pod, &owner.name) {
            Some(deployment) => (WorkloadKind::Deployment, deployment),
            None => (WorkloadKind::Pod, pod_name),
        },
        "Deployment" => (WorkloadKind::Deployment, &owner.name),
        "Job" => match cron_job(&owner.name) {
            Some(cron_job) => (WorkloadKind::CronJob, cron_job),
            None => (WorkloadKind::Job, &owner.name),
        },
        _ => (WorkloadKind::Pod, pod_name),
    }
}

/// The name that dashboards group by.
pub(crate) fn canonical_name<'a>(labels: &'a BTreeMap<String, String>, workload_name: &'a str) -> &'a str {
    label(labels, ["service.istio.io/canonical-name", "app.kubernetes.io/name", "app"]).unwrap_or(workload_name)
}

/// The revision that dashboards group by.
pub(crate) fn canonical_revision(labels: &BTreeMap<String, String>) -> &str {
    label(labels, ["service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"]).unwrap_or("latest")
}

fn label<'a>(labels: &'a BTreeMap<String, String>, keys: [&str; 3]) -> Option<&'a str> {
    keys.iter().find_map(|key| labels.get(*key)).map(String::as_str)
}

/// A Deployment's ReplicaSets are named `<deployment>-<pod-template-hash>`.
fn deployment<'a>(pod: &Pod, replica_set: &'a str) -> Option<&'a str> {
    let hash = pod.metadata.labels.get("pod-template-hash")?;
    replica_set.strip_suffix(hash.as_str())?.strip_suffix('-').filter(|name| !name.is_empty())
}

/// A CronJob's Jobs are named `<cron job>-<scheduled time>`, in minutes of 8 digits or, by older
/// controllers, in seconds of 10.
fn cron_job(job: &str) -> Option<&str> {
    let (name, time) = job.rsplit_once('-')?;
    ((8..=10).contains(&time.len()) && time.bytes().all(|b| b.is_ascii_digit()) && !name.is_empty()).then_some(name)
}
