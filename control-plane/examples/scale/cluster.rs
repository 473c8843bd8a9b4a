//! The cluster: objects as a busy one has them, and nothing that runs.

use std::sync::Arc;

use anyhow::Result;
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

use crate::api::Api;

/// Namespace of the control plane and of the nodes' agents.
pub(crate) const SYSTEM: &str = "ambit-system";
/// Pods behind a Service.
pub(crate) const PODS_PER_SERVICE: usize = 10;
const PODS_PER_NAMESPACE: usize = 1000;
/// Requests on their way at once while the cluster is written.
const WRITERS: usize = 32;

/// What was written.
pub(crate) struct Cluster {
    pub(crate) api: Api,
    /// Whether each pod is ready.
    ready: Vec<bool>,
}

impl Cluster {
    /// Writes everything.
    pub(crate) async fn write(api: Api, pods: usize, nodes: usize) -> Result<Self> {
        let account = json!({"metadata": {"name": "ztunnel"}});
        api.create(&format!("/api/v1/namespaces/{SYSTEM}/serviceaccounts"), &account).await?;
        for n in 0..pods.div_ceil(PODS_PER_NAMESPACE) {
            let labels = json!({"istio.io/dataplane-mode": "ambient"});
            let object = json!({"metadata": {"name": namespace(n * PODS_PER_NAMESPACE), "labels": labels}});
            api.create("/api/v1/namespaces", &object).await?;
        }
        all(0..nodes, |n| node(&api, n)).await?;
        all((0..pods).step_by(PODS_PER_SERVICE), |first| service(&api, first)).await?;
        all(0..pods, |n| pod(&api, n, nodes)).await?;
        Ok(Self { api, ready: vec![true; pods] })
    }

    pub(crate) fn pods(&self) -> usize {
        self.ready.len()
    }

    /// Turns a pod's readiness over: where that is written, and what.
    pub(crate) fn flip(&mut self, pod: usize) -> (String, Value) {
        let ready = self.ready.get_mut(pod).is_none_or(|ready| {
            *ready = !*ready;
            *ready
        });
        let path = format!("/api/v1/namespaces/{}/pods/{}/status", namespace(pod), pod_name(pod));
        (path, json!({"status": {"conditions": conditions(ready)}}))
    }
}

/// A pod's name in discovery.
pub(crate) fn uid(pod: usize) -> Arc<str> {
    format!("Kubernetes//Pod/{}/{}", namespace(pod), pod_name(pod)).into()
}

/// A pod's namespace.
pub(crate) fn namespace(pod: usize) -> String {
    format!("shop-{}", pod / PODS_PER_NAMESPACE)
}

/// The label `app` of a pod and of its Service.
pub(crate) fn app(pod: usize) -> String {
    format!("app-{}", pod / PODS_PER_SERVICE)
}

/// The name of a node's agent.
pub(crate) fn agent(node: usize) -> String {
    format!("ztunnel-{node}")
}

fn pod_name(pod: usize) -> String {
    format!("{}-5d4f8c7b9-{pod:05}", app(pod))
}

/// Writes many at once.
async fn all<I, F>(items: I, write: impl FnMut(usize) -> F) -> Result<()>
where
    I: IntoIterator<Item = usize>,
    F: Future<Output = Result<()>>,
{
    stream::iter(items).map(write).buffer_unordered(WRITERS).try_collect().await
}

/// A node and its agent, by which its stream says who it is.
async fn node(api: &Api, n: usize) -> Result<()> {
    let name = format!("node-{n}");
    let labels = json!({"topology.kubernetes.io/region": "here", "topology.kubernetes.io/zone": format!("{}", n % 3)});
    api.create("/api/v1/nodes", &json!({"metadata": {"name": name, "labels": labels}})).await?;
    let containers = json!([{"name": "ztunnel", "image": "ztunnel"}]);
    let spec =
        json!({"nodeName": name, "hostNetwork": true, "serviceAccountName": "ztunnel", "containers": containers});
    let agent = json!({"metadata": {"name": agent(n)}, "spec": spec});
    api.create(&format!("/api/v1/namespaces/{SYSTEM}/pods"), &agent).await.map(drop)
}

async fn service(api: &Api, first: usize) -> Result<()> {
    let app = app(first);
    let spec = json!({"selector": {"app": app}, "ports": [{"port": 80, "targetPort": 8080}]});
    let path = format!("/api/v1/namespaces/{}/services", namespace(first));
    api.create(&path, &json!({"metadata": {"name": app}, "spec": spec})).await.map(drop)
}

/// A meshed pod that runs and is ready. Its status is not taken at its creation.
async fn pod(api: &Api, n: usize, nodes: usize) -> Result<()> {
    let name = pod_name(n);
    let path = format!("/api/v1/namespaces/{}/pods", namespace(n));
    let annotations = json!({"ambient.istio.io/redirection": "enabled"});
    let metadata = json!({"name": name, "labels": {"app": app(n)}, "annotations": annotations});
    let containers = json!([{"name": "app", "image": "app", "ports": [{"containerPort": 8080}]}]);
    let spec = json!({"nodeName": format!("node-{}", n % nodes), "containers": containers});
    api.create(&path, &json!({"metadata": metadata, "spec": spec})).await?;
    let ip = format!("10.{}.{}.{}", 128 + (n >> 16), (n >> 8) & 255, n & 255);
    let status = json!({"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": conditions(true)});
    api.merge(&format!("{path}/{name}/status"), &json!({"status": status})).await.map(drop)
}

fn conditions(ready: bool) -> Value {
    json!([{"type": "Ready", "status": if ready { "True" } else { "False" }}])
}
