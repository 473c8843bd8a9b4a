//! ServiceEntries: services that Kubernetes does not know, one for each host name.

use std::net::IpAddr;
use std::sync::Arc;

use ambit_model::{
    HealthPolicy, LoadBalancingMode, Service, ServiceKey, ServicePort, WaypointFailure, Workload, WorkloadUid,
    canonical_ip,
};
use ambit_resources::{self as resources, FieldPath, ObjectId, Resolution, WorkloadEntrySpec, is_name};

use crate::endpoints::Wanted;
use crate::findings::Findings;
use crate::labels::Labels;
use crate::service::{Frontend, PodPort, Target, app_protocol};
use crate::shared::Shared;
use crate::waypoint::{self, Ask};
use crate::workload_entry::{self, outside};
use crate::{Problem, exports, locality};

/// A ServiceEntry.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// One for each host.
    pub(crate) frontends: Box<[Arc<Frontend>]>,
    endpoints: Box<[Endpoint]>,
}

#[derive(Debug, PartialEq, Eq)]
struct Endpoint {
    address: IpAddr,
    workload: Workload,
    /// Where its ports have other numbers, by name.
    ports: Box<[(Arc<str>, u16)]>,
}

/// What a ServiceEntry means by itself. Where its endpoints would have to be looked up it has none: its connections
/// are the mesh's only if a waypoint takes them, which can look them up.
pub(crate) fn prepare(id: &ObjectId, entry: &resources::ServiceEntry, shared: &mut Shared) -> Entry {
    let spec = &entry.spec;
    let frontends = spec.hosts.iter().map(|host| Arc::new(frontend(id, host, entry, shared))).collect();
    let known = spec.endpoints.iter().filter(|_| is_supported(spec.resolution));
    let endpoints = known.filter_map(|endpoint| self::endpoint(id, endpoint, shared)).collect();
    Entry { frontends, endpoints }
}

fn is_supported(resolution: Resolution) -> bool {
    matches!(resolution, Resolution::None | Resolution::Static)
}

fn frontend(id: &ObjectId, host: &str, entry: &resources::ServiceEntry, shared: &mut Shared) -> Frontend {
    let spec = &entry.spec;
    let addresses = spec.addresses.iter().filter_map(|text| text.parse().ok()).map(canonical_ip).collect();
    let ports = || spec.ports.iter().filter(|port| port.protocol != "UDP");
    let service = Service {
        key: ServiceKey { namespace: shared.texts.share(&*id.namespace), hostname: shared.texts.share(host) },
        name: Arc::clone(&id.name),
        addresses,
        ports: ports()
            .map(|port| ServicePort {
                port: port.number,
                name: shared.texts.share(port.name.as_str()),
                app_protocol: app_protocol(&port.protocol),
            })
            .collect(),
        subject_alt_names: spec.subject_alt_names.iter().map(|name| name.as_str().into()).collect(),
        health_policy: HealthPolicy::OnlyHealthy,
        load_balancing: match spec.resolution {
            Resolution::Static => LoadBalancingMode::Unspecified,
            Resolution::None | Resolution::Dns | Resolution::DnsRoundRobin | Resolution::DynamicDns => {
                LoadBalancingMode::Passthrough
            }
        },
        waypoint: None,
        waypoint_failure: WaypointFailure::default(),
        exported_to: exports::namespaces(spec.export_to.iter().map(String::as_str), &id.namespace, shared),
    };
    let targets = ports().map(|port| Target {
        service_port: port.number,
        name: shared.texts.share(port.name.as_str()),
        app_protocol: app_protocol(&port.protocol),
        pod_port: PodPort::NamedOr(port.target_port.unwrap_or(port.number)),
    });
    let targets = targets.collect();
    let selector = spec.workload_selector.as_ref().filter(|_| is_supported(spec.resolution));
    let labels = selector.map(|it| Labels::of(&it.labels, &mut shared.texts)).unwrap_or_default();
    let ask = Ask::of(&id.namespace, &entry.metadata, &mut shared.texts);
    Frontend { service: Arc::new(service), labels, targets, ask }
}

fn endpoint(id: &ObjectId, spec: &WorkloadEntrySpec, shared: &mut Shared) -> Option<Endpoint> {
    let address = spec.address.parse().ok().map(canonical_ip)?;
    let namespace = shared.texts.share(&*id.namespace);
    let mut workload = outside(namespace, &id.name, spec, shared);
    let (cluster, namespace) = (&shared.options.cluster, &id.namespace);
    let uid = format!("{cluster}/networking.istio.io/ServiceEntry/{namespace}/{}/{address}", id.name);
    workload.uid = WorkloadUid::new(uid);
    workload.addresses.push(address);
    workload.locality = locality::parse(&spec.locality, &mut shared.texts);
    workload.host_network = true;
    let ports = spec.ports.iter().map(|(name, port)| (shared.texts.share(name.as_str()), *port)).collect();
    Some(Endpoint { address, workload, ports })
}

impl Entry {
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.endpoints.iter().map(|endpoint| endpoint.address)
    }

    /// Its endpoints behind those of its hosts that are in force. They may be anywhere, so that their
    /// addresses tell nobody who they are: like those of the host's network.
    pub(crate) fn endpoints(&self, in_force: impl Fn(&Frontend) -> bool) -> Vec<Wanted> {
        let frontends: Vec<_> = self.frontends.iter().filter(|frontend| in_force(frontend)).collect();
        let endpoints = self.endpoints.iter().map(|endpoint| {
            let port = |target: &Target| {
                let own = endpoint.ports.iter().find(|(name, _)| *name == target.name).map(|(_, number)| *number);
                own.or(match target.pod_port {
                    PodPort::Number(number) | PodPort::NamedOr(number) => Some(number),
                    PodPort::Name(_) => None,
                })
            };
            let services = frontends.iter().filter_map(|frontend| frontend.ports(port)).collect();
            Wanted { pod: None, services, workload: endpoint.workload.clone() }
        });
        endpoints.collect()
    }
}

/// Whether a text is a DNS name, or all below one. What else it were, it would be a part of the names of
/// services, and so of all workloads behind them.
fn is_host(text: &str) -> bool {
    let name = text.strip_prefix("*.").unwrap_or(text);
    text.len() <= 253 && is_name(&name.to_ascii_lowercase(), true)
}

/// What is to be said about a ServiceEntry.
pub(crate) fn check(entry: &resources::ServiceEntry, findings: &mut Findings<'_>) {
    waypoint::check_metadata(&entry.metadata, findings);
    let spec = &entry.spec;
    let unsupported = |what, consequence| Problem::Unsupported { what, consequence };
    if spec.hosts.is_empty() {
        findings.error(FieldPath::of("spec.hosts"), Problem::EmptyValue);
    }
    for (index, host) in spec.hosts.iter().enumerate().filter(|(_, host)| !is_host(host)) {
        findings.error(FieldPath::of("spec.hosts").index(index), Problem::Host { value: host.clone() });
    }
    if !is_supported(spec.resolution) {
        let consequence = "but at a waypoint: others' connections to its hosts go where they would go without it";
        findings.warning(FieldPath::of("spec.resolution"), unsupported("resolution by DNS", consequence));
    }
    if spec.resolution == Resolution::None && (!spec.endpoints.is_empty() || spec.workload_selector.is_some()) {
        findings.error(FieldPath::of("spec.resolution"), Problem::Exclusive { other: "endpoints (use STATIC)" });
    }
    if !spec.endpoints.is_empty() && spec.workload_selector.is_some() {
        findings.error(FieldPath::of("spec.endpoints"), Problem::Exclusive { other: "workloadSelector" });
    }
    if spec.addresses.is_empty() && spec.resolution == Resolution::Static {
        findings.info(FieldPath::of("spec.addresses"), Problem::NoServiceAddress);
    }
    for (index, text) in spec.addresses.iter().enumerate().filter(|(_, text)| text.parse::<IpAddr>().is_err()) {
        let at = FieldPath::of("spec.addresses").index(index);
        match text.parse::<ipnet::IpNet>() {
            Ok(_) => findings.warning(at, unsupported("an address block", "it is left out")),
            Err(_) => findings.error(at, Problem::Cidr { value: text.clone() }),
        }
    }
    for (index, endpoint) in spec.endpoints.iter().enumerate().filter(|_| is_supported(spec.resolution)) {
        workload_entry::check(endpoint, &FieldPath::of("spec.endpoints").index(index), findings);
    }
    for (index, port) in spec.ports.iter().enumerate().filter(|(_, port)| port.number == 0) {
        let at = FieldPath::of("spec.ports").index(index).field("number");
        findings.error(at, Problem::Port { value: port.number.to_string() });
    }
    for (index, namespace) in spec.export_to.iter().enumerate() {
        exports::check(namespace, FieldPath::of("spec.exportTo").index(index), findings);
    }
}
