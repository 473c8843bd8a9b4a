//! Services, and which ports of a pod stand behind them.

use std::net::IpAddr;
use std::sync::Arc;

use ambit_model::{
    AppProtocol, HealthPolicy, LoadBalancingMode, PortMapping, Service, ServiceKey, ServicePort, WaypointFailure,
    canonical_ip,
};
use ambit_resources::{self as resources, FieldPath, ObjectId, Origin, PortName};

use crate::findings::Findings;
use crate::labels::{Labels, Selector};
use crate::replica::Replica;
use crate::shared::Shared;
use crate::waypoint::{self, Ask};
use crate::{Problem, distribution, exports};

/// The DNS domain of a cluster's services.
const CLUSTER_DOMAIN: &str = "svc.cluster.local";

/// A service, and which pods stand behind it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frontend {
    /// As clients see it.
    pub(crate) service: Arc<Service>,
    /// Labels of its pods; none: its endpoints are made by somebody else.
    pub(crate) labels: Labels,
    /// Where each of its TCP ports leads.
    pub(crate) targets: Box<[Target]>,
    /// The waypoint it is to be behind.
    pub(crate) ask: Ask,
    /// Whether its namespace says which endpoints are preferred, since it does not itself.
    pub(crate) follows_namespace: bool,
    /// Whether the mesh says who sees it, since it does not itself.
    pub(crate) follows_mesh: bool,
}

/// Where a port of a service leads.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) service_port: u16,
    /// The port's name at the service.
    pub(crate) name: Arc<str>,
    pub(crate) app_protocol: AppProtocol,
    pub(crate) pod_port: PodPort,
}

/// The port of a pod.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PodPort {
    Number(u16),
    /// What the pod calls so.
    Name(Arc<str>),
    /// What the workload calls as the service does, or else this.
    NamedOr(u16),
}

/// What a service means; nothing for what is only a DNS alias. Depends on the service alone.
pub(crate) fn prepare(origin: &Origin, service: &resources::Service, shared: &mut Shared) -> Option<Frontend> {
    if service.spec.kind == "ExternalName" {
        return None;
    }
    Some(Frontend {
        service: Arc::new(compile(&origin.id, service, shared)),
        labels: Labels::of(&service.spec.selector, &mut shared.texts),
        targets: tcp_ports(&service.spec).map(|port| target(port, shared)).collect(),
        ask: Ask::of(&origin.id.namespace, &service.metadata, &mut shared.texts),
        follows_namespace: wish(service).is_none(),
        follows_mesh: exports::annotated(&service.metadata).next().is_none(),
    })
}

impl Frontend {
    pub(crate) fn selector(&self) -> Selector {
        Selector { namespace: Some(Arc::clone(&self.service.key.namespace)), labels: self.labels.clone() }
    }

    /// The ports of a selected pod behind the service; nothing if it has none of them. Depends on
    /// both.
    pub(crate) fn endpoint(&self, replica: &Replica) -> Option<(ServiceKey, Vec<PortMapping>)> {
        self.ports(|target| match &target.pod_port {
            PodPort::Number(number) => Some(*number),
            PodPort::Name(name) => replica.port(name),
            PodPort::NamedOr(number) => Some(replica.port(&target.name).unwrap_or(*number)),
        })
    }

    /// The ports of something behind the service; nothing if it has none of them.
    pub(crate) fn ports(&self, target_port: impl Fn(&Target) -> Option<u16>) -> Option<(ServiceKey, Vec<PortMapping>)> {
        let mapping = |target: &Target| {
            let Target { service_port, app_protocol, .. } = *target;
            Some(PortMapping { service_port, target_port: target_port(target)?, app_protocol })
        };
        let mut ports: Vec<_> = self.targets.iter().filter_map(mapping).collect();
        ports.shrink_to_fit();
        (!ports.is_empty()).then(|| (self.service.key.clone(), ports))
    }
}

/// A service as clients see it.
fn compile(id: &ObjectId, service: &resources::Service, shared: &mut Shared) -> Service {
    let spec = &service.spec;
    let health_policy =
        if spec.publish_not_ready_addresses { HealthPolicy::AllowAll } else { HealthPolicy::OnlyHealthy };
    Service {
        key: key(&id.namespace, &id.name, shared),
        name: Arc::clone(&id.name),
        addresses: addresses(spec).filter_map(|(_, text)| text.parse().ok()).map(canonical_ip).collect(),
        ports: tcp_ports(spec)
            .map(|port| ServicePort {
                port: port.port,
                name: shared.texts.share(port.name.as_str()),
                app_protocol: app_protocol_of(port),
            })
            .collect(),
        subject_alt_names: Vec::new(),
        health_policy,
        load_balancing: wish(service).unwrap_or_default(),
        waypoint: None,
        canary: None,
        waypoint_failure: WaypointFailure::default(),
        exported_to: exports::namespaces(exports::annotated(&service.metadata), &id.namespace, shared),
    }
}

fn target(port: &resources::ServicePort, shared: &mut Shared) -> Target {
    let pod_port = match &port.target_port {
        None => PodPort::Number(port.port),
        Some(PortName::Number(number)) => PodPort::Number(*number),
        Some(PortName::Name(name)) => PodPort::Name(shared.texts.share(name.as_str())),
    };
    let name = shared.texts.share(port.name.as_str());
    Target { service_port: port.port, name, app_protocol: app_protocol_of(port), pod_port }
}

/// The key of a service by its name.
pub(crate) fn key(namespace: &str, name: &str, shared: &mut Shared) -> ServiceKey {
    let hostname = format!("{name}.{namespace}.{CLUSTER_DOMAIN}");
    ServiceKey { namespace: shared.texts.share(namespace), hostname: shared.texts.share(hostname.as_str()) }
}

/// What is to be said about a service.
pub(crate) fn check(service: &resources::Service, findings: &mut Findings<'_>) {
    waypoint::check_metadata(&service.metadata, findings);
    distribution::check(&service.spec.traffic_distribution, FieldPath::of("spec.trafficDistribution"), findings);
    distribution::check_annotation(&service.metadata, findings);
    if service.spec.session_affinity == "ClientIP" {
        let (what, consequence) = (
            "session affinity",
            "each connection is given an endpoint anew, but at a waypoint by a DestinationRule's consistentHash.useSourceIp",
        );
        findings.warning(FieldPath::of("spec.sessionAffinity"), Problem::Unsupported { what, consequence });
    }
    exports::check_annotation(&service.metadata, findings);
    for (at, text) in addresses(&service.spec) {
        if text.parse::<IpAddr>().is_err() {
            findings.error(at, Problem::Address { value: text.to_owned() });
        }
    }
    for (index, port) in service.spec.ports.iter().enumerate() {
        let at = FieldPath::of("spec.ports").index(index);
        if port.port == 0 {
            findings.error(at.field("port"), Problem::Port { value: "0".to_owned() });
        }
        // A number in quotes is taken for a name, which no container port can have.
        let target = match &port.target_port {
            Some(PortName::Number(0)) => Some("0"),
            Some(PortName::Name(name)) if !name.bytes().any(|b| b.is_ascii_lowercase()) => Some(name.as_str()),
            Some(PortName::Number(_) | PortName::Name(_)) | None => None,
        };
        if let Some(value) = target {
            findings.error(at.field("targetPort"), Problem::Port { value: value.to_owned() });
        }
    }
}

/// The virtual addresses, as text and where they stand. `clusterIP` repeats the first of `clusterIPs`
/// where there are any.
fn addresses(spec: &resources::ServiceSpec) -> impl Iterator<Item = (FieldPath, &str)> {
    let first = spec.cluster_ips.is_empty().then(|| (FieldPath::of("spec.clusterIP"), spec.cluster_ip.as_str()));
    let all = spec.cluster_ips.iter().enumerate();
    let all = all.map(|(index, text)| (FieldPath::of("spec.clusterIPs").index(index), text.as_str()));
    first.into_iter().chain(all).filter(|(_, text)| !matches!(*text, "" | "None"))
}

fn tcp_ports(spec: &resources::ServiceSpec) -> impl Iterator<Item = &resources::ServicePort> {
    spec.ports.iter().filter(|port| is_tcp(&port.protocol))
}

pub(crate) fn is_tcp(protocol: &str) -> bool {
    matches!(protocol, "" | "TCP")
}

/// `appProtocol`, or the port's name up to its first dash.
fn app_protocol_of(port: &resources::ServicePort) -> AppProtocol {
    let hint =
        if port.app_protocol.is_empty() { port.name.split('-').next().unwrap_or_default() } else { &port.app_protocol };
    app_protocol(hint)
}

/// What is spoken, by its name.
pub(crate) fn app_protocol(hint: &str) -> AppProtocol {
    match hint.to_ascii_lowercase().as_str() {
        "http" | "kubernetes.io/ws" => AppProtocol::Http11,
        "http2" | "kubernetes.io/h2c" => AppProtocol::Http2,
        "grpc" => AppProtocol::Grpc,
        "tcp" => AppProtocol::Tcp,
        "https" | "tls" | "kubernetes.io/wss" => AppProtocol::Tls,
        _ => AppProtocol::Unknown,
    }
}

/// Which endpoints it wants.
fn wish(service: &resources::Service) -> Option<LoadBalancingMode> {
    match service.spec.internal_traffic_policy.as_str() {
        "Local" => Some(LoadBalancingMode::StrictNode),
        _ => distribution::said(&service.spec.traffic_distribution, &service.metadata),
    }
}

#[cfg(test)]
mod tests;
