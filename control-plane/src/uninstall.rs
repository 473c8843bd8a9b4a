//! `ambitd uninstall`: takes the mesh off every node while everything that can do so still runs. What Helm
//! runs before it deletes a release; the objects themselves are Helm's.
//!
//! First every pod is let go as if its label had been taken, by replicas of the control plane that wish for
//! nothing; so no connection meets a captured pod without its agent. Then each agent is replaced by one that
//! cleans its node. Both are patches the chart brings, which alone knows paths and arguments. Every step may
//! be done again.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::{Api, Client, ResourceExt};
use serde_json::Value;

use crate::pods::REDIRECTION;

/// What to do it with.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of the two patches: deployment.json for ambitd, daemonset.json for the node agents.
    #[arg(long, value_name = "DIR")]
    patches: PathBuf,

    /// How long pods may take to be let go, in seconds; what then is still captured is released when its
    /// node is cleaned.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    release_seconds: u64,
}

/// Why nodes are not clean.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UninstallError {
    /// A patch that is not there.
    #[error("cannot read {}", path.display())]
    Read {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A patch that is none.
    #[error("{} is not JSON", path.display())]
    NotJson {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The API server.
    #[error("cannot {what}")]
    Kubernetes {
        /// What was asked of it.
        what: &'static str,
        /// Its answer.
        source: Box<kube::Error>,
    },
}

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);
const DEPLOYMENT: &str = "ambitd";
const DAEMON_SET: &str = "ztunnel";

/// Ends when every node is clean. Without an end of its own: the Job it runs in has one.
pub(crate) async fn run(client: Client, args: &Args) -> Result<(), UninstallError> {
    let deployment = read(&args.patches.join("deployment.json"))?;
    let daemon_set = read(&args.patches.join("daemonset.json"))?;
    let released = tokio::time::timeout(Duration::from_secs(args.release_seconds), release(&client, &deployment));
    match released.await {
        Ok(outcome) => outcome?,
        Err(_elapsed) => tracing::warn!("pods are still captured; their nodes' agents will release them"),
    }
    clean(&client, &daemon_set).await
}

fn read(path: &Path) -> Result<Value, UninstallError> {
    let text = fs::read(path).map_err(|source| UninstallError::Read { path: path.into(), source })?;
    serde_json::from_slice(&text).map_err(|source| UninstallError::NotJson { path: path.into(), source })
}

/// Has the control plane wish for nothing, until no pod says it is captured.
async fn release(client: &Client, patch: &Value) -> Result<(), UninstallError> {
    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    let patched = deployments.patch(DEPLOYMENT, &PatchParams::default(), &Patch::Strategic(patch)).await;
    patched.map_err(kubernetes("patch ambitd"))?;
    tracing::info!("every pod is to be let go");
    loop {
        let deployment = deployments.get(DEPLOYMENT).await.map_err(kubernetes("read ambitd's status"))?;
        if is_rolled_out(&deployment) {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    let pods: Api<Pod> = Api::all(client.clone());
    loop {
        let captured = captured(&pods).await?;
        if captured == 0 {
            tracing::info!("no pod is captured any more");
            return Ok(());
        }
        tracing::info!(captured, "waiting for pods to be let go");
        tokio::time::sleep(PAUSE).await;
    }
}

/// How many pods have the annotation.
async fn captured(pods: &Api<Pod>) -> Result<usize, UninstallError> {
    let (mut count, mut page) = (0, ListParams::default().limit(500));
    loop {
        let list = pods.list_metadata(&page).await.map_err(kubernetes("list pods"))?;
        let is_captured = |pod: &&PartialObjectMeta<Pod>| pod.annotations().contains_key(REDIRECTION);
        count += list.items.iter().filter(is_captured).count();
        let Some(next) = list.metadata.continue_.filter(|token| !token.is_empty()) else { return Ok(count) };
        page = page.continue_token(&next);
    }
}

/// Has each agent replaced by one that cleans its node, until the last is done.
async fn clean(client: &Client, patch: &Value) -> Result<(), UninstallError> {
    let daemon_sets: Api<DaemonSet> = Api::default_namespaced(client.clone());
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let patched = daemon_sets.patch(DAEMON_SET, &PatchParams::default(), &Patch::Strategic(patch)).await;
    patched.map_err(kubernetes("patch the node agents"))?;
    let mut told = None;
    loop {
        let daemon_set = daemon_sets.get(DAEMON_SET).await.map_err(kubernetes("read the node agents' status"))?;
        if is_everywhere(&daemon_set) {
            tracing::info!("every node is clean");
            return Ok(());
        }
        let labels = daemon_set.spec.and_then(|spec| spec.selector.match_labels).unwrap_or_default();
        let selector: Vec<_> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let agents = pods.list(&ListParams::default().labels(&selector.join(","))).await;
        let nodes = unready_nodes(&agents.map_err(kubernetes("list the node agents"))?.items);
        if told.as_ref() != Some(&nodes) {
            tracing::info!(?nodes, "waiting for nodes to be clean");
            told = Some(nodes);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether only pods of the newest template are left, and serve.
fn is_rolled_out(deployment: &Deployment) -> bool {
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let observed = |status: &k8s_openapi::api::apps::v1::DeploymentStatus| {
        status.observed_generation >= deployment.metadata.generation
            && [status.updated_replicas, status.replicas, status.available_replicas].map(Option::unwrap_or_default)
                == [wanted; 3]
    };
    deployment.status.as_ref().is_some_and(observed)
}

/// Whether each node has a pod of the newest template, and that says it is done.
fn is_everywhere(daemon_set: &DaemonSet) -> bool {
    daemon_set.status.as_ref().is_some_and(|status| {
        status.observed_generation >= daemon_set.metadata.generation
            && status.updated_number_scheduled.unwrap_or_default() == status.desired_number_scheduled
            && status.number_ready == status.desired_number_scheduled
    })
}

/// Where agents are not ready.
fn unready_nodes(agents: &[Pod]) -> BTreeSet<String> {
    let is_ready = |pod: &Pod| {
        let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
        conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
    };
    let unready = agents.iter().filter(|pod| !is_ready(pod));
    unready.filter_map(|pod| pod.spec.as_ref()?.node_name.clone()).collect()
}

fn kubernetes(what: &'static str) -> impl FnOnce(kube::Error) -> UninstallError {
    move |source| UninstallError::Kubernetes { what, source: Box::new(source) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_rollout_is_over_when_only_new_pods_serve() {
        for (status, over) in [
            (json!({ "observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2 }), true),
            (json!({ "observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2 }), false),
            (json!({ "observedGeneration": 2, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 3 }), false),
            (json!({ "observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 1 }), false),
            (json!({}), false),
        ] {
            let spec = json!({ "replicas": 2, "selector": {}, "template": {} });
            let object = json!({ "metadata": { "generation": 2 }, "spec": spec, "status": status });
            assert_eq!(is_rolled_out(&serde_json::from_value(object).unwrap()), over, "{status}");
        }
    }

    #[test]
    fn nodes_are_clean_when_each_has_a_new_pod_that_is_ready() {
        let status = |generation: i64, updated: i32, ready: i32| {
            json!({ "observedGeneration": generation, "desiredNumberScheduled": 2, "updatedNumberScheduled": updated,
                "numberReady": ready, "currentNumberScheduled": 2, "numberMisscheduled": 0 })
        };
        for (status, everywhere) in
            [(status(2, 2, 2), true), (status(1, 2, 2), false), (status(2, 1, 2), false), (status(2, 2, 1), false)]
        {
            let object = json!({ "metadata": { "generation": 2 }, "status": status });
            assert_eq!(is_everywhere(&serde_json::from_value(object).unwrap()), everywhere, "{status}");
        }
    }

    #[test]
    fn unready_nodes_are_named() {
        let pod = |node: &str, ready: &str| {
            json!({ "spec": { "containers": [], "nodeName": node },
                "status": { "conditions": [{ "type": "Ready", "status": ready }] } })
        };
        let agents = [pod("a", "True"), pod("b", "False")].map(|pod| serde_json::from_value(pod).unwrap());
        assert_eq!(unready_nodes(&agents), BTreeSet::from(["b".to_owned()]));
    }
}
