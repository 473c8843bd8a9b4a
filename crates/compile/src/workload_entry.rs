//! WorkloadEntries as workloads.

use std::net::IpAddr;
use std::sync::Arc;

use ambit_model::{
    Addresses, Application, Identity, TunnelProtocol, WaypointFailure, Workload, WorkloadKind, WorkloadUid,
    canonical_ip, is_elsewhere,
};
use ambit_resources::{self as resources, FieldPath, Origin, WorkloadEntrySpec, is_name};

use crate::enrolment::Wish;
use crate::findings::Findings;
use crate::instance::{Instance, InstanceKind, Rare};
use crate::replica::Replica;
use crate::shared::Shared;
use crate::workload::service_account;
use crate::{Problem, locality, owner, waypoint};

/// What says that a workload takes tunnels: an agent of its own does, or it does so itself.
pub(crate) const TUNNEL: &str = "networking.istio.io/tunnel";

/// What a WorkloadEntry means by itself; nothing while it has no address.
pub(crate) fn prepare(origin: &Origin, entry: &resources::WorkloadEntry, shared: &mut Shared) -> Option<Instance> {
    let mut spec = entry.spec.clone();
    for (key, value) in &entry.metadata.labels {
        spec.labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    let address = spec.address.parse().ok().map(canonical_ip).filter(|address| is_elsewhere(*address))?;
    let namespace = shared.texts.share(&*origin.id.namespace);
    let ports = spec.ports.iter().map(|(name, port)| (name.as_str(), *port));
    let replica = Replica::of(Arc::clone(&namespace), &spec.labels, ports, shared);
    let tunnel = spec.labels.get(TUNNEL).is_some_and(|said| said == "http");
    let rare = Rare { waypoint_failure: waypoint::failure(&entry.metadata), ..Rare::default() };
    Some(Instance {
        workload: Arc::new(Workload {
            uid: uid(&shared.options.cluster, &origin.id.namespace, &origin.id.name),
            addresses: Addresses::from_elem(address, 1),
            locality: locality::parse(&spec.locality, &mut shared.texts),
            ..outside(namespace, &origin.id.name, &spec, shared)
        }),
        replica: Some(replica),
        rare: (rare != Rare::default()).then(|| Box::new(rare)),
        file: Arc::clone(&origin.file),
        line: origin.lines.at(&FieldPath::default()),
        addresses_line: origin.lines.at(&FieldPath::of("spec.address")),
        kind: InstanceKind::Entry,
        wish: Wish { enrolled: Some(tunnel), same_node: None },
        captured: true,
        reported: None,
        leaving: entry.metadata.deletion_timestamp.is_some(),
    })
}

/// The uid of a WorkloadEntry.
pub(crate) fn uid(cluster: &str, namespace: &str, name: &str) -> WorkloadUid {
    WorkloadUid::new(format!("{cluster}/networking.istio.io/WorkloadEntry/{namespace}/{name}"))
}

/// A workload that is no pod, but for its uid and its addresses. It has the name of the object that tells
/// of it.
pub(crate) fn outside(namespace: Arc<str>, name: &str, spec: &WorkloadEntrySpec, shared: &mut Shared) -> Workload {
    let labels = shared.labels_of(&spec.labels);
    let Shared { options, texts, services, applications, .. } = shared;
    let account = texts.share(service_account(&spec.service_account));
    let application = Application {
        identity: Identity::new(Arc::clone(&options.trust_domain), Arc::clone(&namespace), account),
        namespace,
        canonical_name: texts.share(owner::canonical_name(&spec.labels, name)),
        canonical_revision: texts.share(owner::canonical_revision(&spec.labels)),
        kind: WorkloadKind::Pod,
        workload_name: texts.share(""),
        services: services.share(Arc::default()),
        authorization_policies: Arc::default(),
        waypoint: None,
        waypoint_failure: WaypointFailure::default(),
        labels,
        cluster: Arc::clone(&options.cluster),
        hostname: None,
        weight: spec.weight.max(1),
    };
    Workload {
        uid: WorkloadUid::new(""),
        addresses: Addresses::new(),
        node: texts.share(""),
        locality: None,
        tunnel_protocol: TunnelProtocol::None,
        native_tunnel: false,
        healthy: true,
        host_network: false,
        same_node: None,
        application: applications.share(application),
    }
}

/// What is to be said about a WorkloadEntry, or about an endpoint of a ServiceEntry, which may be known by a name.
pub(crate) fn check(spec: &WorkloadEntrySpec, by_name: bool, at: &FieldPath, findings: &mut Findings<'_>) {
    if spec.address.parse::<IpAddr>().is_err() && !by_name {
        let (what, consequence) = ("an address that is no IP address", "there is no such endpoint");
        findings.warning(at.field("address"), Problem::Unsupported { what, consequence });
    }
    if let Some(address) = spec.address.parse().ok().filter(|address| !is_elsewhere(*address)) {
        findings.error(at.field("address"), Problem::NobodyElses { address });
    }
    if !is_name(service_account(&spec.service_account), true) {
        let value = spec.service_account.clone();
        findings.error(at.field("serviceAccount"), Problem::ServiceAccountName { value });
    }
    if !spec.network.is_empty() {
        let (what, consequence) = ("a network of its own", "its address must be one that all nodes reach");
        findings.warning(at.field("network"), Problem::Unsupported { what, consequence });
    }
}
