//! Pods as workloads.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ambit_model::{Identity, LocalPod, PolicyKey, TunnelProtocol, Workload, WorkloadUid, canonical_ip};
use ambit_resources::{FieldPath, Pod, is_name};

use crate::findings::Findings;
use crate::index::{Index, Item};
use crate::{Options, Problem, enrolment, owner, service};

const NETNS: &str = "ambit.io/netns";

/// A pod as a workload; nothing while it has no address, or none any more. Depends on the pod, its
/// namespace, the services of its namespace and, through `policies`, on what selects it.
pub(crate) fn compile(
    item: &Item<'_, Pod>,
    index: &Index<'_>,
    options: &Options,
    policies: Vec<PolicyKey>,
) -> Option<Workload> {
    let (id, pod) = (&item.origin.id, item.object);
    let addresses = addresses_of(pod);
    if is_terminated(pod) || addresses.is_empty() {
        return None;
    }
    let namespace = index.namespace(&id.namespace);
    let enrolled = enrolment::is_enrolled(pod, namespace);
    let (kind, workload_name) = owner::owner(pod, &id.name);
    let services: BTreeMap<_, _> = index
        .services_of(&id.namespace)
        .iter()
        .filter_map(|item| Some((service::key(item), service::endpoint(item.object, pod)?)))
        .filter(|(_, ports)| !ports.is_empty())
        .collect();
    Some(Workload {
        uid: WorkloadUid::pod(&options.cluster, &id.namespace, &id.name),
        name: Arc::clone(&id.name),
        namespace: Arc::clone(&id.namespace),
        addresses,
        node: pod.spec.node_name.as_str().into(),
        identity: Identity::new(Arc::clone(&options.trust_domain), Arc::clone(&id.namespace), service_account(pod)),
        tunnel_protocol: if enrolled { TunnelProtocol::Hbone } else { TunnelProtocol::None },
        canonical_name: owner::canonical_name(pod, workload_name).into(),
        canonical_revision: owner::canonical_revision(pod).into(),
        kind,
        workload_name: workload_name.into(),
        services: services.into(),
        authorization_policies: policies,
        healthy: is_healthy(pod),
        host_network: pod.spec.host_network,
        cluster: Arc::clone(&options.cluster),
        same_node: enrolment::same_node(&pod.metadata, namespace),
    })
}

/// The pod as its node's agent enrols it.
pub(crate) fn local_pod(pod: &Pod, uid: WorkloadUid) -> LocalPod {
    LocalPod { uid, netns: pod.metadata.annotations.get(NETNS).map(PathBuf::from) }
}

/// What is to be said about a pod.
pub(crate) fn check(pod: &Pod, findings: &mut Findings<'_>) {
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

fn service_account(pod: &Pod) -> &str {
    match pod.spec.service_account_name.as_str() {
        "" => "default",
        account => account,
    }
}

fn address_texts(pod: &Pod) -> impl Iterator<Item = (FieldPath, &str)> {
    let first = Some((FieldPath::of("status.podIP"), pod.status.pod_ip.as_str())).filter(|(_, ip)| !ip.is_empty());
    let all = pod.status.pod_ips.iter().enumerate();
    first.into_iter().chain(all.map(|(index, ip)| (FieldPath::of("status.podIPs").index(index), ip.ip.as_str())))
}

fn addresses_of(pod: &Pod) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    for address in address_texts(pod).filter_map(|(_, text)| text.parse().ok()).map(canonical_ip) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

fn is_terminated(pod: &Pod) -> bool {
    matches!(pod.status.phase.as_str(), "Succeeded" | "Failed")
}

/// Ready, as far as anybody said, and not asked to go.
fn is_healthy(pod: &Pod) -> bool {
    let ready = pod.status.conditions.iter().find(|condition| condition.kind == "Ready");
    ready.is_none_or(|ready| ready.status == "True") && pod.metadata.deletion_timestamp.is_none()
}

#[cfg(test)]
mod tests;
