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
use super::stand_in::stand_in;
use crate::outlet::{LocalPod, Place};

/// The mesh as this node knows it.
#[derive(Default)]
pub(crate) struct Mesh {
    decoder: Decoder,
    held: Held,
    pods: BTreeMap<WorkloadUid, NodePod>,
    sandboxes: Sandboxes,
    meshed: BTreeSet<Arc<str>>,
    /// Policies that were never valid. Stand-ins are in force that deny.
    lacking: BTreeSet<Arc<str>>,
    /// What the next snapshot differs by.
    steps: Vec<Step>,
    /// Roots in DER, until somebody takes them.
    roots: Option<Vec<Bytes>>,
}

impl Mesh {
    /// Takes a resource. One that is not valid changes nothing: what was valid of that name stays. A policy
    /// of which nothing ever was is stood in for.
    pub(crate) fn put(&mut self, of: TypeUrl, name: &Arc<str>, kept: Kept) -> Result<(), DecodeError> {
        let result = self.decode(of, name, &kept.body);
        match &result {
            Ok(()) => {
                if of == TypeUrl::Authorization {
                    self.lacking.remove(name);
                }
                self.held.insert(of, Arc::clone(name), kept);
                // That of a workload of another node is a step already.
                let uid = WorkloadUid::new(&**name);
                if of == TypeUrl::Pod || of == TypeUrl::Address && self.pods.contains_key(&uid) {
                    self.update(&uid);
                }
            }
            Err(_) if of == TypeUrl::Authorization => self.lack(name, &kept.body),
            Err(_) => {}
        }
        result
    }

    /// A policy cannot be read. If nothing else of that name is in force, everything it may mean to deny is
    /// denied. It is kept under no version: for the next start, and to be sent again.
    fn lack(&mut self, name: &Arc<str>, body: &Bytes) {
        let of = TypeUrl::Authorization;
        if self.held.find(of, name).is_some() && !self.lacking.contains(name) {
            return;
        }
        let Ok(key) = policy_key(name) else { return };
        self.steps.push(Step::Policy(Arc::new(stand_in(key, body))));
        self.held.insert(of, Arc::clone(name), Kept { version: Arc::default(), body: body.clone() });
        self.lacking.insert(Arc::clone(name));
    }

    fn decode(&mut self, of: TypeUrl, name: &str, body: &Bytes) -> Result<(), DecodeError> {
        match of {
            TypeUrl::Address => match self.decoder.address(name, body.clone())? {
                // That of a pod of this node follows, with what else is known of it.
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
            // Waypoints'.
            TypeUrl::Object | TypeUrl::Labels => {}
        }
        Ok(())
    }

    /// Takes a resource out.
    pub(crate) fn remove(&mut self, of: TypeUrl, name: &str) -> Result<(), DecodeError> {
        self.held.remove(of, name);
        match of {
            TypeUrl::Address => match AddressName::parse(name)? {
                AddressName::Workload(uid) => self.update(&uid),
                AddressName::Service(key) => self.steps.push(Step::RemoveService(key)),
            },
            TypeUrl::Authorization => {
                self.lacking.remove(name);
                self.steps.push(Step::RemovePolicy(policy_key(name)?));
            }
            TypeUrl::Pod => {
                let uid = WorkloadUid::new(name);
                if let Some(pod) = self.pods.remove(&uid) {
                    self.sandboxes.forget(&pod);
                }
                self.update(&uid);
            }
            // Without roots nobody could be believed: the last ones stay.
            TypeUrl::TrustBundle => {}
            TypeUrl::MeshedNamespace => {
                self.meshed.remove(name);
            }
            TypeUrl::Object | TypeUrl::Labels => {}
        }
        Ok(())
    }

    /// Brings a workload up to date, after the word of one who has a say in it changed.
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

    /// The pods of this node, for enrolment; none whose network has ended is to be captured. A namespace that users named is
    /// not gone by: in a cluster they could name that of another's pod.
    pub(crate) fn local_pods(&self) -> Arc<[LocalPod]> {
        let local = |(uid, pod): (&WorkloadUid, &NodePod)| {
            let sandbox = self.sandboxes.of(pod);
            let ended = sandbox.is_some_and(|sandbox| sandbox.netns.is_none());
            LocalPod {
                uid: uid.clone(),
                pod_uid: Arc::clone(&pod.pod_uid),
                enrol: pod.enrol && !ended,
                ended,
                host_ports: pod.host_ports.clone(),
                netns: sandbox.and_then(|sandbox| sandbox.netns.clone()).map(Place::Open),
            }
        };
        self.pods.iter().map(local).collect()
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

    /// Whether the name is that of a policy that is stood in for.
    pub(crate) fn lacks(&self, of: TypeUrl, name: &str) -> bool {
        of == TypeUrl::Authorization && self.lacking.contains(name)
    }

    /// Whether the name is that of a pod of this node.
    pub(crate) fn is_own(&self, name: &str) -> bool {
        self.pods.contains_key(&WorkloadUid::new(name))
    }

    /// The resources in force.
    pub(crate) fn held(&self) -> &Held {
        &self.held
    }
}
