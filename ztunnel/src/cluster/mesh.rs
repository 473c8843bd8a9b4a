//! What the control plane has said so far, joined with what the CNI plugin has told, as steps for the
//! snapshot. No I/O.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ambit_model::{NodePod, Workload, WorkloadUid};
use ambit_state::Update as Step;
use ambit_xds::{Address, AddressName, DecodeError, Decoder, TypeUrl, policy_key};
use bytes::Bytes;

use super::held::{Held, Kept};
use super::overlay;
use super::sandboxes::{Sandbox, Sandboxes};
use crate::outlet::{LocalPod, Place};

/// The mesh as this node knows it.
#[derive(Default)]
pub(crate) struct Mesh {
    decoder: Decoder,
    held: Held,
    pods: BTreeMap<WorkloadUid, NodePod>,
    sandboxes: Sandboxes,
    meshed: BTreeSet<Arc<str>>,
    /// Policies that were never valid, and so are not in force.
    lacking: BTreeSet<Arc<str>>,
    /// What the next snapshot differs by.
    steps: Vec<Step>,
    /// Roots in DER, until somebody takes them.
    roots: Option<Vec<Bytes>>,
}

impl Mesh {
    /// Takes a resource. One that is not valid changes nothing: what was valid of that name stays.
    pub(crate) fn put(&mut self, of: TypeUrl, name: &Arc<str>, kept: Kept) -> Result<(), DecodeError> {
        let result = self.decode(of, name, &kept.body);
        match &result {
            Ok(()) => {
                self.lacking.remove(name);
                self.held.insert(of, Arc::clone(name), kept);
                self.after(of, name);
            }
            Err(_) if of == TypeUrl::Authorization && self.held.find(of, name).is_none() => {
                self.lacking.insert(Arc::clone(name));
            }
            Err(_) => {}
        }
        result
    }

    fn decode(&mut self, of: TypeUrl, name: &str, body: &Bytes) -> Result<(), DecodeError> {
        match of {
            TypeUrl::Address => match self.decoder.address(name, body.clone())? {
                // That of a pod of this node follows in `after`, with what else is known of it.
                Address::Workload(workload) if self.pods.contains_key(&workload.uid) => {}
                Address::Workload(workload) => self.steps.push(Step::Workload(Arc::new(workload))),
                Address::Service(service) => self.steps.push(Step::Service(Arc::new(service))),
            },
            TypeUrl::Authorization => {
                self.steps.push(Step::Policy(Arc::new(self.decoder.authorization(name, body.clone())?)));
            }
            TypeUrl::Pod => {
                let pod = self.decoder.pod(name, body.clone())?;
                self.pods.insert(pod.workload.uid.clone(), pod);
            }
            TypeUrl::TrustBundle => self.roots = Some(self.decoder.trust_bundle(name, body.clone())?),
            TypeUrl::MeshedNamespace => {
                self.meshed.insert(self.decoder.meshed_namespace(name, body.clone())?);
            }
        }
        Ok(())
    }

    /// Takes a resource out.
    pub(crate) fn remove(&mut self, of: TypeUrl, name: &str) -> Result<(), DecodeError> {
        self.held.remove(of, name);
        match of {
            TypeUrl::Address => match AddressName::parse(name)? {
                AddressName::Workload(_) => self.after(of, name),
                AddressName::Service(key) => self.steps.push(Step::RemoveService(key)),
            },
            TypeUrl::Authorization => {
                self.lacking.remove(name);
                self.steps.push(Step::RemovePolicy(policy_key(name)?));
            }
            TypeUrl::Pod => {
                if let Some(pod) = self.pods.remove(&WorkloadUid::new(name)) {
                    self.sandboxes.forget(&pod);
                }
                self.after(of, name);
            }
            // Without roots nobody could be believed: the last ones stay.
            TypeUrl::TrustBundle => {}
            TypeUrl::MeshedNamespace => {
                self.meshed.remove(name);
            }
        }
        Ok(())
    }

    /// Brings the workload of that name up to date, after the word of one who has a say in it changed.
    fn after(&mut self, of: TypeUrl, name: &str) {
        let uid = WorkloadUid::new(name);
        if of == TypeUrl::Pod || of == TypeUrl::Address && (self.pods.contains_key(&uid) || self.said(&uid).is_none()) {
            self.update(&uid);
        }
    }

    fn update(&mut self, uid: &WorkloadUid) {
        let said = self.said(uid);
        let pod = self.pods.get(uid);
        let sandbox = pod.and_then(|pod| self.sandboxes.of(pod));
        let addresses = sandbox.map(|sandbox| sandbox.addresses.as_slice());
        self.steps.push(match overlay::workload(said, pod, addresses) {
            Some(workload) => Step::Workload(workload),
            None => Step::RemoveWorkload(uid.clone()),
        });
    }

    /// What discovery says of a workload.
    fn said(&mut self, uid: &WorkloadUid) -> Option<Arc<Workload>> {
        let body = self.held.find(TypeUrl::Address, uid.as_str())?.body.clone();
        match self.decoder.address(uid.as_str(), body) {
            Ok(Address::Workload(workload)) => Some(Arc::new(workload)),
            Ok(Address::Service(_)) | Err(_) => None,
        }
    }

    /// A pod has its network.
    pub(crate) fn add_sandbox(&mut self, namespace: &str, pod: &str, sandbox: Sandbox) {
        self.sandboxes.add(namespace, pod, sandbox);
        if let Some(uid) = self.pod(namespace, pod).map(|pod| pod.workload.uid.clone()) {
            self.update(&uid);
        }
    }

    /// A pod is about to lose its network: it is no pod of this node any more. Gives the pod, if that
    /// network was its own.
    pub(crate) fn end_sandbox(&mut self, namespace: &str, pod: &str, container_id: &str) -> Option<WorkloadUid> {
        if !self.sandboxes.end(namespace, pod, container_id) {
            return None;
        }
        let Some(known) = self.pod(namespace, pod) else {
            self.sandboxes.remove(namespace, pod);
            return None;
        };
        self.sandboxes.of(known).map(|_| known.workload.uid.clone())
    }

    /// A pod of this node.
    pub(crate) fn pod(&self, namespace: &str, name: &str) -> Option<&NodePod> {
        self.pods.values().find(|pod| *pod.workload.namespace == *namespace && pod.workload.name() == name)
    }

    /// The pods of this node, for enrolment; none whose network has ended. A namespace that users named is
    /// not gone by: in a cluster they could name that of another's pod.
    pub(crate) fn local_pods(&self) -> Arc<[LocalPod]> {
        let local = |(uid, pod): (&WorkloadUid, &NodePod)| {
            let netns = match self.sandboxes.of(pod).map(|sandbox| &sandbox.netns) {
                Some(Some(netns)) => Some(Place::Open(Arc::clone(netns))),
                Some(None) => return None,
                None => None,
            };
            Some(LocalPod { uid: uid.clone(), pod_uid: Arc::clone(&pod.pod_uid), enrol: pod.enrol, netns })
        };
        self.pods.iter().filter_map(local).collect()
    }

    /// What changed since this was last asked.
    pub(crate) fn take_steps(&mut self) -> Vec<Step> {
        std::mem::take(&mut self.steps)
    }

    /// The roots, if they came since this was last asked.
    pub(crate) fn take_roots(&mut self) -> Option<Vec<Bytes>> {
        self.roots.take()
    }

    /// Namespaces whose pods are meshed unless they say otherwise.
    pub(crate) fn meshed(&self) -> &BTreeSet<Arc<str>> {
        &self.meshed
    }

    /// Policies that were never valid.
    pub(crate) fn lacking(&self) -> &BTreeSet<Arc<str>> {
        &self.lacking
    }

    /// The resources in force.
    pub(crate) fn held(&self) -> &Held {
        &self.held
    }
}
