//! ServiceEntries: services that Kubernetes does not know, one for each host name.

use std::net::IpAddr;
use std::sync::Arc;

use ambit_model::{
    Application, HealthPolicy, LoadBalancingMode, Service, ServiceKey, ServicePort, WaypointFailure, Workload,
    WorkloadUid, canonical_ip, is_elsewhere,
};
use ambit_resources::{self as resources, FieldPath, ObjectId, Resolution, WorkloadEntrySpec, is_name};

use crate::endpoints::Wanted;
use crate::findings::Findings;
use crate::labels::Labels;
use crate::service::{Frontend, PodPort, Target, app_protocol};
use crate::shared::Shared;
use crate::waypoint::{self, Ask};
use crate::workload_entry::{self, outside};
use crate::{Problem, distribution, exports, locality};

/// A ServiceEntry.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// One for each host.
    pub(crate) frontends: Box<[Arc<Frontend>]>,
    endpoints: Box<[Endpoint]>,
}

#[derive(Debug, PartialEq, Eq)]
struct Endpoint {
    workload: Workload,
    /// The one host it is for, where that is looked up itself.
    host: Option<Arc<str>>,
    /// Where its ports have other numbers, by name.
    ports: Box<[(Arc<str>, u16)]>,
}

/// What a ServiceEntry means by itself.
pub(crate) fn prepare(id: &ObjectId, entry: &resources::ServiceEntry, shared: &mut Shared) -> Entry {
    let spec = &entry.spec;
    let frontends = spec.hosts.iter().map(|host| Arc::new(frontend(id, host, entry, shared))).collect();
    let written = spec.endpoints.iter().filter(|_| has_endpoints(spec.resolution));
    let endpoints = written.filter_map(|endpoint| self::endpoint(id, endpoint, spec.resolution, shared));
    let mut endpoints: Vec<_> = endpoints.collect();
    let own = spec.hosts.iter().filter(|host| is_own_endpoint(spec) && is_host_name(host));
    endpoints.extend(own.filter_map(|host| {
        let written = WorkloadEntrySpec { address: host.clone(), ..WorkloadEntrySpec::default() };
        let endpoint = self::endpoint(id, &written, spec.resolution, shared)?;
        Some(Endpoint { host: Some(shared.texts.share(host.as_str())), ..endpoint })
    }));
    Entry { frontends, endpoints: endpoints.into() }
}

/// Whether its endpoints are known, or can be looked up beforehand.
fn has_endpoints(resolution: Resolution) -> bool {
    resolution == Resolution::Static || is_looked_up(resolution)
}

fn is_looked_up(resolution: Resolution) -> bool {
    matches!(resolution, Resolution::Dns | Resolution::DnsRoundRobin)
}

/// Whether the addresses of a host are its endpoints: none are written.
fn is_own_endpoint(spec: &resources::ServiceEntrySpec) -> bool {
    is_looked_up(spec.resolution) && spec.endpoints.is_empty() && spec.workload_selector.is_none()
}

fn frontend(id: &ObjectId, host: &str, entry: &resources::ServiceEntry, shared: &mut Shared) -> Frontend {
    let spec = &entry.spec;
    let addresses = spec.addresses.iter().filter_map(|text| text.parse().ok()).map(canonical_ip);
    let addresses = addresses.filter(|address| is_elsewhere(*address)).collect();
    let ports = || spec.ports.iter().filter(|port| port.protocol != "UDP");
    let wish = distribution::said("", &entry.metadata);
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
        load_balancing: if has_endpoints(spec.resolution) {
            wish.unwrap_or_default()
        } else {
            LoadBalancingMode::Passthrough
        },
        waypoint: None,
        canary: None,
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
    let selector = spec.workload_selector.as_ref().filter(|_| has_endpoints(spec.resolution));
    let labels = selector.map(|it| Labels::of(&it.labels, &mut shared.texts)).unwrap_or_default();
    let ask = Ask::of(&id.namespace, &entry.metadata, &mut shared.texts);
    let follows_namespace = wish.is_none() && has_endpoints(spec.resolution);
    let follows_mesh = spec.export_to.is_empty();
    Frontend { service: Arc::new(service), labels, targets, ask, follows_namespace, follows_mesh }
}

/// An endpoint by its address, or by its host name where that is looked up.
fn endpoint(id: &ObjectId, spec: &WorkloadEntrySpec, resolution: Resolution, shared: &mut Shared) -> Option<Endpoint> {
    let address = spec.address.parse().ok().map(canonical_ip);
    if address.is_some_and(|address| !is_elsewhere(address)) {
        return None;
    }
    if address.is_none() && !(is_looked_up(resolution) && is_host_name(&spec.address)) {
        return None;
    }
    let namespace = shared.texts.share(&*id.namespace);
    let mut workload = outside(namespace, &id.name, spec, shared);
    let (cluster, namespace) = (&shared.options.cluster, &id.namespace);
    let name = address.map_or_else(|| spec.address.to_ascii_lowercase(), |address| address.to_string());
    workload.uid =
        WorkloadUid::new(format!("{cluster}/networking.istio.io/ServiceEntry/{namespace}/{}/{name}", id.name));
    match address {
        Some(address) => workload.addresses.push(address),
        None => {
            let application = Application { hostname: Some(name.into()), ..Application::clone(&workload.application) };
            workload.application = shared.applications.share(application);
        }
    }
    workload.locality = locality::parse(&spec.locality, &mut shared.texts);
    workload.host_network = true;
    let ports = spec.ports.iter().map(|(name, port)| (shared.texts.share(name.as_str()), *port)).collect();
    Some(Endpoint { workload, host: None, ports })
}

impl Entry {
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.endpoints.iter().flat_map(|endpoint| endpoint.workload.addresses.iter().copied())
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
            let is_for = |frontend: &&&Arc<Frontend>| {
                endpoint.host.as_ref().is_none_or(|host| *host == frontend.service.key.hostname)
            };
            let services = frontends.iter().filter(is_for).filter_map(|frontend| frontend.ports(port)).collect();
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

/// Whether a text is the name of one host, and complete.
fn is_host_name(text: &str) -> bool {
    !text.starts_with('*') && is_host(text) && !is_one_word(text)
}

/// Whether a text is a name that resolvers complete by the search domains of the machine they run on.
fn is_one_word(text: &str) -> bool {
    is_host(text) && !text.contains('.')
}

/// What is to be said about a ServiceEntry.
pub(crate) fn check(entry: &resources::ServiceEntry, findings: &mut Findings<'_>) {
    waypoint::check_metadata(&entry.metadata, findings);
    distribution::check_annotation(&entry.metadata, findings);
    let spec = &entry.spec;
    if spec.hosts.is_empty() {
        findings.error(FieldPath::of("spec.hosts"), Problem::EmptyValue);
    }
    for (index, host) in spec.hosts.iter().enumerate().filter(|(_, host)| !is_host(host)) {
        findings.error(FieldPath::of("spec.hosts").index(index), Problem::Host { value: host.clone() });
    }
    check_addresses(spec, findings);
    check_endpoints(spec, findings);
    for (index, port) in spec.ports.iter().enumerate().filter(|(_, port)| port.number == 0) {
        let at = FieldPath::of("spec.ports").index(index).field("number");
        findings.error(at, Problem::Port { value: port.number.to_string() });
    }
    for (index, namespace) in spec.export_to.iter().enumerate() {
        exports::check(namespace, FieldPath::of("spec.exportTo").index(index), findings);
    }
}

fn check_addresses(spec: &resources::ServiceEntrySpec, findings: &mut Findings<'_>) {
    let at = FieldPath::of("spec.addresses");
    match spec.resolution {
        _ if !spec.addresses.is_empty() => {}
        // Whoever looks a name outside up is given its own address and goes there, past what the entry asks for.
        Resolution::Dns | Resolution::DnsRoundRobin => findings.warning(at, Problem::NoServiceAddress),
        Resolution::Static => findings.info(at, Problem::NoServiceAddress),
        Resolution::None | Resolution::DynamicDns => {}
    }
    for (index, text) in spec.addresses.iter().enumerate() {
        let at = FieldPath::of("spec.addresses").index(index);
        if let Ok(address) = text.parse::<IpAddr>() {
            if !is_elsewhere(address) {
                findings.error(at, Problem::NobodyElses { address });
            }
            continue;
        }
        match text.parse::<ipnet::IpNet>() {
            Ok(_) => {
                let (what, consequence) = ("an address block", "it is left out");
                findings.warning(at, Problem::Unsupported { what, consequence });
            }
            Err(_) => findings.error(at, Problem::Cidr { value: text.clone() }),
        }
    }
}

fn check_endpoints(spec: &resources::ServiceEntrySpec, findings: &mut Findings<'_>) {
    let resolution = FieldPath::of("spec.resolution");
    if spec.resolution == Resolution::DynamicDns {
        let what = "to look up whatever name a client asks for";
        let consequence = "others' connections to its hosts go where they would go without it";
        findings.warning(resolution.clone(), Problem::Unsupported { what, consequence });
    }
    if spec.resolution == Resolution::None && (!spec.endpoints.is_empty() || spec.workload_selector.is_some()) {
        findings.error(resolution, Problem::Exclusive { other: "endpoints (use STATIC)" });
    }
    if !spec.endpoints.is_empty() && spec.workload_selector.is_some() {
        findings.error(FieldPath::of("spec.endpoints"), Problem::Exclusive { other: "workloadSelector" });
    }
    for (index, host) in spec.hosts.iter().enumerate().filter(|(_, host)| is_own_endpoint(spec) && !is_host_name(host))
    {
        let (value, at) = (host.clone(), FieldPath::of("spec.hosts").index(index));
        let is_one_word = is_one_word(host);
        findings.error(at, if is_one_word { Problem::OneWord { value } } else { Problem::LookedUp { value } });
    }
    for (index, endpoint) in spec.endpoints.iter().enumerate().filter(|_| has_endpoints(spec.resolution)) {
        let at = FieldPath::of("spec.endpoints").index(index);
        let is_looked_up = is_looked_up(spec.resolution);
        if is_looked_up && is_one_word(&endpoint.address) {
            let (value, at) = (endpoint.address.clone(), at.field("address"));
            findings.error(at, Problem::OneWord { value });
        }
        let by_name = is_looked_up && (is_host_name(&endpoint.address) || is_one_word(&endpoint.address));
        workload_entry::check(endpoint, by_name, &at, findings);
    }
}
