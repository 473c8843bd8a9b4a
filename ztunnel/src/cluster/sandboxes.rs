//! The network namespaces that the container runtime made for pods of this node, as the CNI plugin told
//! of them. A pod is known so before anybody else knows its addresses.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use ambit_model::NodePod;
use ambit_sys::NetNs;

/// A pod's namespace.
#[derive(Debug, Clone)]
pub(crate) struct Sandbox {
    /// The container runtime's name of it.
    pub(crate) container_id: String,
    /// Kubernetes' `metadata.uid` of the pod, where the runtime says it.
    pub(crate) pod_uid: Option<String>,
    /// Its addresses.
    pub(crate) addresses: Vec<IpAddr>,
    /// The namespace; none once the runtime has said that it ends.
    pub(crate) netns: Option<Arc<NetNs>>,
}

/// The last sandbox of each pod, by Kubernetes namespace and name.
#[derive(Debug, Default)]
pub(crate) struct Sandboxes(HashMap<(String, String), Sandbox>);

impl Sandboxes {
    /// Takes a new one, in place of the pod's former one.
    pub(crate) fn add(&mut self, namespace: &str, pod: &str, sandbox: Sandbox) {
        self.0.insert((namespace.to_owned(), pod.to_owned()), sandbox);
    }

    /// Lets go of the one of that container; a pod's newer one stays. Returns whether there was one.
    pub(crate) fn end(&mut self, namespace: &str, pod: &str, container_id: &str) -> bool {
        let sandbox = self.0.get_mut(&(namespace.to_owned(), pod.to_owned()));
        let Some(sandbox) = sandbox.filter(|sandbox| sandbox.container_id == container_id) else { return false };
        sandbox.netns = None;
        true
    }

    /// Forgets the one of a pod that nobody knows.
    pub(crate) fn remove(&mut self, namespace: &str, pod: &str) {
        self.0.remove(&(namespace.to_owned(), pod.to_owned()));
    }

    /// Forgets that of a pod that is gone.
    pub(crate) fn forget(&mut self, pod: &NodePod) {
        if self.of(pod).is_some() {
            self.0.remove(&key(pod));
        }
    }

    /// The sandbox of a pod, not of one of the same name before or after it.
    pub(crate) fn of(&self, pod: &NodePod) -> Option<&Sandbox> {
        self.0.get(&key(pod)).filter(|sandbox| sandbox.pod_uid.as_ref().is_none_or(|uid| **uid == *pod.pod_uid))
    }
}

fn key(pod: &NodePod) -> (String, String) {
    (pod.workload.namespace.to_string(), pod.workload.name().to_owned())
}
