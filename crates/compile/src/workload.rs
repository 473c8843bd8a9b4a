//! Pods as workloads.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ambit_model::{Identity, TunnelProtocol, Workload, WorkloadUid, canonical_ip};
use ambit_resources::{self as resources, FieldPath, ObjectId, Origin, is_name};

use crate::bindings::Binding;
use crate::enrolment::Wish;
use crate::findings::Findings;
use crate::replica::Replica;
use crate::shared::{Services, Shared};
use crate::{Problem, enrolment, owner};

const NETNS: &str = "ambit.io/netns";

/// A pod that is a workload.
#[derive(Debug)]
pub(crate) struct Pod {
    /// As it was last compiled; before that, what the pod alone says. The very allocation that
    /// snapshots hold: a workload that stays the same costs its memory once, and is seen to be the
    /// same without a look inside.
    pub(crate) workload: Arc<Workload>,
    /// All its addresses, while the workload must do without some.
    written: Option<Box<[IpAddr]>>,
    pub(crate) replica: Arc<Replica>,
    wish: Wish,
    /// The file of its network namespace.
    pub(crate) netns: Option<Box<Path>>,
    /// The line of its addresses.
    pub(crate) addresses_line: u32,
}

/// What a pod means by itself; nothing while it has no address, or none any more.
pub(crate) fn prepare(origin: &Origin, pod: &resources::Pod, shared: &mut Shared) -> Option<Pod> {
    let addresses = addresses_of(pod);
    if is_terminated(pod) || addresses.is_empty() {
        return None;
    }
    let annotations = &pod.metadata.annotations;
    let namespace = shared.texts.share(&*origin.id.namespace);
    Some(Pod {
        replica: Replica::of(Arc::clone(&namespace), pod, shared),
        workload: Arc::new(workload(&origin.id, pod, addresses, namespace, shared)),
        written: None,
        wish: Wish::of_pod(pod),
        netns: annotations.get(NETNS).map(|path| PathBuf::from(path).into()),
        addresses_line: origin.lines.at(&FieldPath::of("status.podIPs")),
    })
}

/// What the pod alone says of its workload.
fn workload(
    id: &ObjectId,
    pod: &resources::Pod,
    addresses: Vec<IpAddr>,
    namespace: Arc<str>,
    shared: &mut Shared,
) -> Workload {
    let (kind, workload_name) = owner::owner(pod, &id.name);
    let Shared { options, texts, services, .. } = shared;
    Workload {
        uid: WorkloadUid::pod(&options.cluster, &id.namespace, &id.name),
        name: Arc::clone(&id.name),
        addresses,
        node: texts.share(pod.spec.node_name.as_str()),
        identity: Identity::new(
            Arc::clone(&options.trust_domain),
            Arc::clone(&namespace),
            texts.share(service_account(pod)),
        ),
        namespace,
        tunnel_protocol: TunnelProtocol::None,
        canonical_name: texts.share(owner::canonical_name(pod, workload_name)),
        canonical_revision: texts.share(owner::canonical_revision(pod)),
        kind,
        workload_name: texts.share(workload_name),
        services: services.share(Services::new()),
        authorization_policies: Vec::new(),
        healthy: is_healthy(pod),
        host_network: pod.spec.host_network,
        cluster: Arc::clone(&options.cluster),
        same_node: None,
    }
}

impl Pod {
    /// Its addresses as they are written.
    pub(crate) fn addresses(&self) -> &[IpAddr] {
        self.written.as_deref().unwrap_or(&self.workload.addresses)
    }

    /// Takes over from the version before it: a file is read as a whole, and most of its pods are as
    /// they were.
    pub(crate) fn succeed(&mut self, old: Self) {
        if self.addresses() != old.addresses() {
            return;
        }
        let workload = Arc::make_mut(&mut self.workload);
        let Workload { addresses, services, authorization_policies, .. } = &*old.workload;
        workload.addresses.clone_from(addresses);
        workload.services = Arc::clone(services);
        workload.authorization_policies.clone_from(authorization_policies);
        (workload.tunnel_protocol, workload.same_node) = (old.workload.tunnel_protocol, old.workload.same_node);
        if *workload == *old.workload {
            self.workload = old.workload;
        }
        self.written = old.written;
    }

    /// The workload, without the addresses others have. Depends on the pod, its namespace, and on
    /// the services and policies that select it.
    pub(crate) fn compile(&mut self, namespace: Wish, binding: &Binding, taken: &[IpAddr]) -> Arc<Workload> {
        let Wish { enrolled, same_node } = self.wish.or(namespace);
        let tunnel_protocol = if enrolled == Some(true) { TunnelProtocol::Hbone } else { TunnelProtocol::None };
        let own = || self.addresses().iter().filter(|address| !taken.contains(address)).copied();
        let held = &*self.workload;
        let same = held.services == binding.services
            && held.authorization_policies == binding.policies
            && (held.tunnel_protocol, held.same_node) == (tunnel_protocol, same_node)
            && held.addresses.iter().copied().eq(own());
        if !same {
            let addresses = own().collect();
            self.written = (!taken.is_empty()).then(|| self.addresses().into());
            let workload = Arc::make_mut(&mut self.workload);
            workload.addresses = addresses;
            workload.services = Arc::clone(&binding.services);
            workload.authorization_policies.clone_from(&binding.policies);
            (workload.tunnel_protocol, workload.same_node) = (tunnel_protocol, same_node);
        }
        Arc::clone(&self.workload)
    }
}

/// What is to be said about a pod.
pub(crate) fn check(pod: &resources::Pod, findings: &mut Findings<'_>) {
    enrolment::check_pod(pod, findings);
    let mut any = false;
    for (at, text) in address_texts(pod) {
        any = true;
        if text.parse::<IpAddr>().is_err() {
            findings.error(at, Problem::Address { value: text.to_owned() });
        }
    }
    if !any && !is_terminated(pod) {
        findings.info(FieldPath::of("status.podIPs"), Problem::NoAddress);
    }
    if !is_name(service_account(pod), true) {
        let value = pod.spec.service_account_name.clone();
        findings.error(FieldPath::of("spec.serviceAccountName"), Problem::ServiceAccountName { value });
    }
    if let Some(netns) = pod.metadata.annotations.get(NETNS)
        && !Path::new(netns).is_absolute()
    {
        let at = FieldPath::of("metadata.annotations").field(NETNS);
        findings.error(at, Problem::RelativePath { value: netns.clone() });
    }
}

fn service_account(pod: &resources::Pod) -> &str {
    match pod.spec.service_account_name.as_str() {
        "" => "default",
        account => account,
    }
}

fn address_texts(pod: &resources::Pod) -> impl Iterator<Item = (FieldPath, &str)> {
    let first = Some((FieldPath::of("status.podIP"), pod.status.pod_ip.as_str())).filter(|(_, ip)| !ip.is_empty());
    let all = pod.status.pod_ips.iter().enumerate();
    first.into_iter().chain(all.map(|(index, ip)| (FieldPath::of("status.podIPs").index(index), ip.ip.as_str())))
}

fn addresses_of(pod: &resources::Pod) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    for address in address_texts(pod).filter_map(|(_, text)| text.parse().ok()).map(canonical_ip) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

fn is_terminated(pod: &resources::Pod) -> bool {
    matches!(pod.status.phase.as_str(), "Succeeded" | "Failed")
}

/// Ready, as far as anybody said, and not asked to go.
fn is_healthy(pod: &resources::Pod) -> bool {
    let ready = pod.status.conditions.iter().find(|condition| condition.kind == "Ready");
    ready.is_none_or(|ready| ready.status == "True") && pod.metadata.deletion_timestamp.is_none()
}

#[cfg(test)]
mod tests;
