//! The pods as this replica sees them: who runs where. What a node may ask for is judged by it.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use ambit_model::{GatewayKey, Identity, WorkloadUid};
use ambit_resources::Pod;
use serde_json::{Value, json};

use crate::certificates::NodeIdentities;
use crate::waypoints::gateways::GATEWAY_NAME;

/// What the mesh's node component writes on a pod that is captured.
pub(crate) const REDIRECTION: &str = "ambient.istio.io/redirection";
/// The value that says so.
pub(crate) const ENABLED: &str = "enabled";

/// All pods that have a node and have not ended.
#[derive(Debug)]
pub(crate) struct Pods {
    cluster: Arc<str>,
    trust_domain: Arc<str>,
    index: RwLock<Index>,
}

#[derive(Debug, Default)]
struct Index {
    pods: HashMap<WorkloadUid, Running>,
    /// The identities that run on each node.
    nodes: HashMap<Arc<str>, HashMap<WorkloadUid, Identity>>,
}

/// A pod with a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Running {
    /// Its namespace.
    pub(crate) namespace: Arc<str>,
    /// Its name.
    pub(crate) name: Arc<str>,
    /// `metadata.uid`.
    pub(crate) pod_uid: Arc<str>,
    /// Its node.
    pub(crate) node: Arc<str>,
    /// The Gateway of its namespace that it says it is a pod of.
    pub(crate) gateway: Option<Arc<str>>,
    /// Whether it has the annotation of a captured pod.
    annotated: bool,
    /// What was written last, until the watch shows it: what it shows before is older.
    written: Option<bool>,
}

impl Running {
    /// Whether it has the annotation of a captured pod.
    pub(crate) fn is_annotated(&self) -> bool {
        self.written.unwrap_or(self.annotated)
    }
}

impl Pods {
    /// No pods yet, of the cluster `cluster`.
    pub(crate) fn new(cluster: Arc<str>, trust_domain: Arc<str>) -> Self {
        Self { cluster, trust_domain, index: RwLock::default() }
    }

    /// Takes a pod as it is now.
    pub(crate) fn put(&self, namespace: &Arc<str>, name: &Arc<str>, pod: &Pod) {
        if pod.spec.node_name.is_empty() || matches!(pod.status.phase.as_str(), "Succeeded" | "Failed") {
            return self.remove(namespace, name);
        }
        let uid = self.uid(namespace, name);
        let account = match pod.spec.service_account_name.as_str() {
            "" => "default",
            account => account,
        };
        let identity = Identity::new(Arc::clone(&self.trust_domain), Arc::clone(namespace), account);
        let annotated = pod.metadata.annotations.get(REDIRECTION).is_some_and(|value| value == ENABLED);
        let mut index = self.write();
        let before = index.remove(&uid).filter(|before| *before.pod_uid == *pod.metadata.uid);
        let node = index.node(&pod.spec.node_name);
        index.nodes.entry(Arc::clone(&node)).or_default().insert(uid.clone(), identity);
        let running = Running {
            namespace: Arc::clone(namespace),
            name: Arc::clone(name),
            pod_uid: pod.metadata.uid.as_str().into(),
            node,
            gateway: pod.metadata.labels.get(GATEWAY_NAME).map(|name| name.as_str().into()),
            annotated,
            written: before.and_then(|before| before.written).filter(|written| *written != annotated),
        };
        index.pods.insert(uid, running);
    }

    /// A pod is gone.
    pub(crate) fn remove(&self, namespace: &str, name: &str) {
        let _gone = self.write().remove(&self.uid(namespace, name));
    }

    /// The annotation was written, or taken away.
    pub(crate) fn wrote(&self, uid: &WorkloadUid, pod_uid: &str, annotated: bool) {
        let mut index = self.write();
        if let Some(pod) = index.pods.get_mut(uid).filter(|pod| *pod.pod_uid == *pod_uid) {
            pod.written = Some(annotated).filter(|written| *written != pod.annotated);
        }
    }

    /// The Gateway that a pod says it is of, which has not ended; none too if `pod_uid` is not its
    /// `metadata.uid`.
    pub(crate) fn gateway_of_pod(&self, namespace: &str, name: &str, pod_uid: &str) -> Option<GatewayKey> {
        let pod = self.running(&self.uid(namespace, name)).filter(|pod| *pod.pod_uid == *pod_uid)?;
        Some(GatewayKey { namespace: pod.namespace, name: pod.gateway? })
    }

    /// A pod that runs.
    pub(crate) fn running(&self, uid: &WorkloadUid) -> Option<Running> {
        self.read().pods.get(uid).cloned()
    }

    /// For the admin page: by node, each pod and whether it has the annotation of a captured pod.
    pub(crate) fn dump(&self) -> Value {
        let index = self.read();
        let captured = |uid: &WorkloadUid| index.pods.get(uid).is_some_and(Running::is_annotated);
        let of_node = |pods: &HashMap<WorkloadUid, Identity>| -> Value {
            let entry = |(uid, runs): (&WorkloadUid, &Identity)| {
                (uid.to_string(), json!({ "identity": runs.to_string(), "captured": captured(uid) }))
            };
            pods.iter().map(entry).collect()
        };
        index.nodes.iter().map(|(node, pods)| (node.to_string(), of_node(pods))).collect()
    }

    fn uid(&self, namespace: &str, name: &str) -> WorkloadUid {
        WorkloadUid::pod(&self.cluster, namespace, name)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NodeIdentities for Pods {
    fn node_of_pod(&self, namespace: &str, name: &str, pod_uid: &str) -> Option<Arc<str>> {
        let index = self.read();
        let pod = index.pods.get(&self.uid(namespace, name))?;
        (*pod.pod_uid == *pod_uid).then(|| Arc::clone(&pod.node))
    }

    fn runs_on(&self, node: &str, identity: &Identity) -> bool {
        self.read().nodes.get(node).is_some_and(|pods| pods.values().any(|runs| runs == identity))
    }
}

impl Index {
    fn remove(&mut self, uid: &WorkloadUid) -> Option<Running> {
        let pod = self.pods.remove(uid)?;
        if let Some(pods) = self.nodes.get_mut(&pod.node) {
            pods.remove(uid);
            if pods.is_empty() {
                self.nodes.remove(&pod.node);
            }
        }
        Some(pod)
    }

    /// The node's name, each once.
    fn node(&self, name: &str) -> Arc<str> {
        self.nodes.get_key_value(name).map_or_else(|| name.into(), |(node, _)| Arc::clone(node))
    }
}

#[cfg(test)]
mod tests {
    use ambit_resources::{Metadata, PodSpec};

    use super::*;

    fn pod(uid: &str, node: &str, account: &str, phase: &str) -> Pod {
        let mut pod = Pod {
            metadata: Metadata { uid: uid.into(), ..Metadata::default() },
            spec: PodSpec { node_name: node.into(), service_account_name: account.into(), ..PodSpec::default() },
            ..Pod::default()
        };
        pod.status.phase = phase.to_owned();
        pod
    }

    #[test]
    fn an_identity_runs_where_a_pod_of_it_runs_and_nowhere_else() {
        let pods = Pods::new("Kubernetes".into(), "cluster.local".into());
        let put = |name: &str, pod: &Pod| pods.put(&"shop".into(), &name.into(), pod);
        let identity = |account: &str| Identity::new("cluster.local", "shop", account);
        put("web-1", &pod("1", "n1", "web", "Running"));
        put("web-2", &pod("2", "n1", "web", "Pending"));
        put("db", &pod("3", "n2", "", "Running"));
        put("waiting", &pod("4", "", "waiting", "Pending"));
        put("done", &pod("5", "n1", "done", "Succeeded"));
        for (node, account, expected) in [
            ("n1", "web", true),
            ("n2", "web", false),
            ("n2", "default", true),
            ("n1", "done", false),
            ("", "waiting", false),
        ] {
            assert_eq!(pods.runs_on(node, &identity(account)), expected, "{node} {account}");
        }
        assert!(!pods.runs_on("n1", &Identity::new("other", "shop", "web")));

        pods.remove("shop", "web-1");
        assert!(pods.runs_on("n1", &identity("web")));
        put("web-2", &pod("6", "n2", "web", "Running"));
        assert!(!pods.runs_on("n1", &identity("web")) && pods.runs_on("n2", &identity("web")));
        assert_eq!(pods.node_of_pod("shop", "web-2", "2"), None);
        assert_eq!(pods.node_of_pod("shop", "web-2", "6").as_deref(), Some("n2"));
        let node = json!({
            "Kubernetes//Pod/shop/db": {"identity": "spiffe://cluster.local/ns/shop/sa/default", "captured": false},
            "Kubernetes//Pod/shop/web-2": {"identity": "spiffe://cluster.local/ns/shop/sa/web", "captured": false},
        });
        assert_eq!(pods.dump(), json!({ "n2": node }));
    }

    #[test]
    fn what_was_written_holds_until_the_watch_shows_it() {
        let pods = Pods::new("Kubernetes".into(), "cluster.local".into());
        let uid = WorkloadUid::pod("Kubernetes", "shop", "web");
        let put = |annotated: bool, pod_uid: &str| {
            let mut pod = pod(pod_uid, "n1", "web", "Running");
            if annotated {
                pod.metadata.annotations.insert(REDIRECTION.to_owned(), ENABLED.to_owned());
            }
            pods.put(&"shop".into(), &"web".into(), &pod);
        };
        let is_annotated = || pods.running(&uid).unwrap().is_annotated();
        put(false, "1");
        pods.wrote(&uid, "1", true);
        assert!(is_annotated());
        put(false, "1"); // older than what was written
        assert!(is_annotated());
        put(true, "1");
        put(false, "1"); // somebody else's word
        assert!(!is_annotated());
        pods.wrote(&uid, "1", true);
        pods.wrote(&uid, "other", false);
        assert!(is_annotated());
        put(false, "2"); // another pod of the name
        assert!(!is_annotated());
    }
}
