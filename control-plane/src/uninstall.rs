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

use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetStatus, Deployment};
use k8s_openapi::api::core::v1::{Node, Pod};
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
/// The pods that have not ended.
const RUNNING: &str = "status.phase!=Succeeded,status.phase!=Failed";
const DEPLOYMENT: &str = "ambitd";
const DAEMON_SET: &str = "ztunnel";

/// Ends when every node is clean but for those that do not run. Without an end of its own: the Job it runs in has one.
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

/// How many pods have the annotation. Those that have ended keep theirs, and nothing of the mesh's.
async fn captured(pods: &Api<Pod>) -> Result<usize, UninstallError> {
    let (mut count, mut page) = (0, ListParams::default().fields(RUNNING).limit(500));
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
    let all_nodes: Api<Node> = Api::all(client.clone());
    let mut told = None;
    loop {
        let daemon_set = daemon_sets.get(DAEMON_SET).await.map_err(kubernetes("read the node agents' status"))?;
        let labels = daemon_set.spec.as_ref().and_then(|spec| spec.selector.match_labels.as_ref());
        let selector: Vec<_> = labels.into_iter().flatten().map(|(key, value)| format!("{key}={value}")).collect();
        let agents = pods.list(&ListParams::default().labels(&selector.join(","))).await;
        let agents = agents.map_err(kubernetes("list the node agents"))?.items;
        let nodes = all_nodes.list(&ListParams::default()).await.map_err(kubernetes("list nodes"))?.items;
        let progress = Progress::of(&daemon_set, &agents, &nodes);
        if progress.is_over {
            if !progress.lost.is_empty() {
                tracing::warn!(nodes = ?progress.lost, "these nodes do not run, and are not clean");
            }
            tracing::info!("every node that runs is clean");
            return Ok(());
        }
        if told.as_ref() != Some(&progress) {
            tracing::info!(nodes = ?progress.waiting, down = ?progress.lost, "waiting for nodes to be clean");
            told = Some(progress);
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

/// How far cleaning is.
#[derive(Debug, PartialEq, Eq)]
struct Progress {
    /// Nodes that run and whose agent is not done.
    waiting: BTreeSet<String>,
    /// Nodes that do not run, and that nobody can clean: there is no use in waiting for them.
    lost: BTreeSet<String>,
    /// Whether all others are clean.
    is_over: bool,
}

impl Progress {
    fn of(daemon_set: &DaemonSet, agents: &[Pod], nodes: &[Node]) -> Self {
        let template = daemon_set.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
        let wanted = template.and_then(|pod| pod.containers.first()).map(|agent| &agent.args);
        // By what it was told to do: a pod of the older template is ready, too, and cleans nothing.
        let is_done = |pod: &Pod| {
            let told = pod.spec.as_ref().and_then(|pod| pod.containers.first()).map(|agent| &agent.args);
            let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
            told == wanted && conditions.into_iter().any(|it| it.type_ == "Ready" && it.status == "True")
        };
        let runs = |name: &str| {
            let node = nodes.iter().find(|node| node.metadata.name.as_deref() == Some(name));
            let conditions = node.and_then(|node| node.status.as_ref()?.conditions.as_ref());
            conditions.into_iter().flatten().any(|it| it.type_ == "Ready" && it.status == "True")
        };
        let (mut waiting, mut lost, mut clean) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for pod in agents {
            let Some(node) = pod.spec.as_ref().and_then(|pod| pod.node_name.clone()) else { continue };
            let those = match (is_done(pod), runs(&node)) {
                (true, _) => &mut clean,
                (false, true) => &mut waiting,
                (false, false) => &mut lost,
            };
            those.insert(node);
        }
        // A node may have no agent for a moment, between the old one and the new.
        let expected = |status: &DaemonSetStatus| usize::try_from(status.desired_number_scheduled).unwrap_or_default();
        let status = daemon_set.status.as_ref();
        let observed = status.filter(|status| status.observed_generation >= daemon_set.metadata.generation);
        let found = clean.union(&lost).count();
        let is_over = waiting.is_empty() && observed.is_some_and(|status| found >= expected(status));
        Self { waiting, lost, is_over }
    }
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
    fn cleaning_is_over_when_each_node_that_runs_has_a_new_agent_that_is_ready() {
        let agent = |node: &str, argument: &str, ready: &str| {
            json!({ "spec": { "containers": [{ "name": "agent", "args": [argument] }], "nodeName": node },
                "status": { "conditions": [{ "type": "Ready", "status": ready }] } })
        };
        let template = &agent("", "clean", "")["spec"];
        let daemon_set = |generation: i64| {
            let status = json!({ "observedGeneration": generation, "desiredNumberScheduled": 2,
                "currentNumberScheduled": 2, "numberMisscheduled": 0, "numberReady": 2 });
            json!({ "metadata": { "generation": 2 }, "status": status,
                "spec": { "selector": {}, "template": { "spec": template } } })
        };
        let node = |name: &str, ready: &str| json!({ "metadata": { "name": name }, "status": { "conditions": [{ "type": "Ready", "status": ready }] } });
        let (clean, old) = (|node| agent(node, "clean", "True"), |node| agent(node, "serve", "True"));
        let none: [&str; 0] = [];
        // Whether node b runs, the observed generation, the agents; then for whom is waited, who is lost, the end.
        for (runs, generation, agents, waiting, lost, over) in [
            ("True", 2, vec![clean("a"), clean("b")], &none[..], &none[..], true),
            ("True", 1, vec![clean("a"), clean("b")], &none, &none, false),
            ("True", 2, vec![clean("a"), old("b")], &["b"], &none, false),
            ("True", 2, vec![clean("a"), agent("b", "clean", "False")], &["b"], &none, false),
            ("True", 2, vec![clean("a"), clean("b"), old("b")], &["b"], &none, false),
            ("True", 2, vec![clean("a")], &none, &none, false),
            ("False", 2, vec![clean("a"), old("b")], &none, &["b"], true),
            ("Unknown", 2, vec![old("a"), old("b")], &["a"], &["b"], false),
            ("Unknown", 2, vec![old("b")], &none, &["b"], false),
        ] {
            let nodes = [node("a", "True"), node("b", runs)].map(|node| serde_json::from_value(node).unwrap());
            let daemon_set = serde_json::from_value(daemon_set(generation)).unwrap();
            let pods: Vec<Pod> = agents.iter().map(|pod| serde_json::from_value(pod.clone()).unwrap()).collect();
            let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            let expected = Progress { waiting: names(waiting), lost: names(lost), is_over: over };
            assert_eq!(Progress::of(&daemon_set, &pods, &nodes), expected, "{agents:?}");
        }
    }
}
