//! Pods as workloads.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ambit_model::{
    Addresses, Application, HostPort, Identity, TunnelProtocol, WaypointFailure, Workload, WorkloadKind, WorkloadUid,
    canonical_ip,
};
use ambit_resources::{self as resources, FieldPath, ObjectId, Origin, is_name};

use crate::enrolment::Wish;
use crate::findings::Findings;
use crate::instance::{Instance, InstanceKind, Rare};
use crate::replica::Replica;
use crate::shared::Shared;
use crate::{Problem, enrolment, owner, waypoint};

const NETNS: &str = "ambit.io/netns";
/// How a node tells that it captured a pod, where the control plane is another's or was started anew.
const REDIRECTION: &str = "ambient.istio.io/redirection";

/// What a pod means by itself; nothing once it has ended.
pub(crate) fn prepare(origin: &Origin, pod: &resources::Pod, shared: &mut Shared) -> Option<Instance> {
    if is_terminated(pod) {
        return None;
    }
    let annotations = &pod.metadata.annotations;
    let namespace = shared.texts.share(&*origin.id.namespace);
    let netns = annotations.get(NETNS).map(PathBuf::from).filter(|path| path.is_absolute()).map(Into::into);
    let pod_uid = Some(pod.metadata.uid.as_str()).filter(|uid| !uid.is_empty()).map(Arc::from);
    let waypoint_failure = waypoint::failure(&pod.metadata);
    let rare = Rare { written: None, netns, pod_uid, host_ports: host_ports(pod), waypoint_failure };
    Some(Instance {
        replica: Some(Replica::of_pod(Arc::clone(&namespace), pod, shared)),
        workload: Arc::new(workload(&origin.id, pod, namespace, shared)),
        rare: (rare != Rare::default()).then(|| Box::new(rare)),
        file: Arc::clone(&origin.file),
        line: origin.lines.at(&FieldPath::default()),
        addresses_line: origin.lines.at(&FieldPath::of("status.podIPs")),
        kind: InstanceKind::Pod,
        wish: Wish::of_pod(pod),
        captured: annotations.get(REDIRECTION).is_some_and(|said| said == "enabled"),
        reported: None,
        leaving: pod.metadata.deletion_timestamp.is_some(),
    })
}

/// What the pod alone says of its workload.
fn workload(id: &ObjectId, pod: &resources::Pod, namespace: Arc<str>, shared: &mut Shared) -> Workload {
    let (kind, workload_name) = owner::owner(pod, &id.name);
    let labels = shared.labels_of(&pod.metadata.labels);
    let Shared { options, texts, services, applications, .. } = shared;
    let application = Application {
        identity: Identity::new(
            Arc::clone(&options.trust_domain),
            Arc::clone(&namespace),
            texts.share(service_account(&pod.spec.service_account_name)),
        ),
        namespace,
        canonical_name: texts.share(owner::canonical_name(&pod.metadata.labels, workload_name)),
        canonical_revision: texts.share(owner::canonical_revision(&pod.metadata.labels)),
        kind,
        workload_name: texts.share(if kind == WorkloadKind::Pod { "" } else { workload_name }),
        services: services.share(Arc::default()),
        authorization_policies: Arc::default(),
        waypoint: None,
        waypoint_failure: WaypointFailure::default(),
        labels,
        cluster: Arc::clone(&options.cluster),
        hostname: None,
        weight: 1,
    };
    Workload {
        uid: WorkloadUid::pod(&options.cluster, &id.namespace, &id.name),
        addresses: addresses_of(pod),
        node: texts.share(pod.spec.node_name.as_str()),
        locality: None,
        tunnel_protocol: TunnelProtocol::None,
        native_tunnel: false,
        healthy: is_healthy(pod),
        host_network: pod.spec.host_network,
        same_node: None,
        application: applications.share(application),
    }
}

/// What is to be said about a pod. What a user may freely set on one, its labels and annotations, is never an
/// error: that would keep the pod as it was, or out of the mesh.
pub(crate) fn check(pod: &resources::Pod, findings: &mut Findings<'_>) {
    enrolment::check_pod(pod, findings);
    waypoint::check_workload(&pod.metadata, findings);
    let mut any = false;
    for (at, text) in address_texts(pod) {
        any = true;
        if text.parse::<IpAddr>().is_err() {
            findings.error(at, Problem::Address { value: text.to_owned() });
        }
    }
    // One that the API server knows to be on its way to an address has no need to be told.
    if !any && pod.status.phase.is_empty() {
        findings.info(FieldPath::of("status.podIPs"), Problem::NoAddress);
    }
    if !is_name(service_account(&pod.spec.service_account_name), true) {
        let value = pod.spec.service_account_name.clone();
        findings.error(FieldPath::of("spec.serviceAccountName"), Problem::ServiceAccountName { value });
    }
    if let Some(netns) = pod.metadata.annotations.get(NETNS)
        && !Path::new(netns).is_absolute()
    {
        let at = FieldPath::of("metadata.annotations").field(NETNS);
        findings.warning(at, Problem::RelativePath { value: netns.clone() });
    }
}

/// The service account of who names none is `default`.
pub(crate) fn service_account(named: &str) -> &str {
    if named.is_empty() { "default" } else { named }
}

fn address_texts(pod: &resources::Pod) -> impl Iterator<Item = (FieldPath, &str)> {
    let first = Some((FieldPath::of("status.podIP"), pod.status.pod_ip.as_str())).filter(|(_, ip)| !ip.is_empty());
    let all = pod.status.pod_ips.iter().enumerate();
    first.into_iter().chain(all.map(|(index, ip)| (FieldPath::of("status.podIPs").index(index), ip.ip.as_str())))
}

fn addresses_of(pod: &resources::Pod) -> Addresses {
    let mut addresses = Addresses::new();
    for address in address_texts(pod).filter_map(|(_, text)| text.parse().ok()).map(canonical_ip) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

fn host_ports(pod: &resources::Pod) -> Box<[HostPort]> {
    // The API server gives one to every port of a pod in the node's network: there they lead nowhere else.
    let containers = pod.spec.containers.iter().filter(|_| !pod.spec.host_network);
    let ports = containers.chain(&pod.spec.init_containers).flat_map(|container| &container.ports);
    let ports = ports.filter(|port| port.host_port != 0 && matches!(port.protocol.as_str(), "" | "TCP"));
    let ports = ports.map(|port| HostPort {
        address: port.host_ip.parse().ok().map(canonical_ip).filter(|address| !address.is_unspecified()),
        port: port.host_port,
        pod_port: port.container_port,
    });
    ports.collect()
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
