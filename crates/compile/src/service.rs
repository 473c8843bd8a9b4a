//! Services, and which ports of a pod stand behind them.

use std::net::IpAddr;
use std::sync::Arc;

use ambit_model::{
    AppProtocol, HealthPolicy, LoadBalancingMode, PortMapping, Service, ServiceKey, ServicePort, canonical_ip,
};
use ambit_resources::{self as resources, FieldPath, ObjectId, Origin, PortName};

use crate::Problem;
use crate::findings::Findings;
use crate::labels::{Labels, Selector};
use crate::replica::Replica;
use crate::shared::Shared;

/// The DNS domain of a cluster's services.
const CLUSTER_DOMAIN: &str = "svc.cluster.local";
const DISTRIBUTION_ANNOTATION: &str = "networking.istio.io/traffic-distribution";

/// A service, and which pods stand behind it.
#[derive(Debug)]
pub(crate) struct Frontend {
    /// As clients see it.
    pub(crate) service: Arc<Service>,
    /// Labels of its pods; none: its endpoints are made by somebody else.
    selector: Labels,
    /// Where each of its TCP ports leads.
    targets: Box<[Target]>,
}

/// Where a port of a service leads.
#[derive(Debug)]
struct Target {
    service_port: u16,
    app_protocol: AppProtocol,
    pod_port: PodPort,
}

#[derive(Debug)]
enum PodPort {
    Number(u16),
    Name(Arc<str>),
}

/// What a service means; nothing for what is only a DNS alias. Depends on the service alone.
pub(crate) fn prepare(origin: &Origin, service: &resources::Service, shared: &mut Shared) -> Option<Frontend> {
    if service.spec.kind == "ExternalName" {
        return None;
    }
    Some(Frontend {
        service: Arc::new(compile(&origin.id, service, shared)),
        selector: Labels::of(&service.spec.selector, &mut shared.texts),
        targets: tcp_ports(&service.spec).map(|port| target(port, shared)).collect(),
    })
}

impl Frontend {
    pub(crate) fn selector(&self) -> Selector<'_, &Self> {
        Selector { namespace: Some(&self.service.key.namespace), labels: &self.selector, what: self }
    }

    /// The ports of a selected pod behind the service; nothing if it has none of them. Depends on
    /// both.
    pub(crate) fn endpoint(&self, replica: &Replica) -> Option<(ServiceKey, Vec<PortMapping>)> {
        let mapping = |target: &Target| {
            let target_port = match &target.pod_port {
                PodPort::Number(number) => *number,
                PodPort::Name(name) => replica.port(name)?,
            };
            let Target { service_port, app_protocol, .. } = *target;
            Some(PortMapping { service_port, target_port, app_protocol })
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
    let hostname = format!("{}.{}.{CLUSTER_DOMAIN}", id.name, id.namespace);
    Service {
        key: ServiceKey { namespace: shared.texts.share(&*id.namespace), hostname: hostname.into() },
        name: Arc::clone(&id.name),
        addresses: addresses(spec).filter_map(|(_, text)| text.parse().ok()).map(canonical_ip).collect(),
        ports: tcp_ports(spec)
            .map(|port| ServicePort {
                port: port.port,
                name: shared.texts.share(port.name.as_str()),
                app_protocol: app_protocol(port),
            })
            .collect(),
        subject_alt_names: Vec::new(),
        health_policy,
        load_balancing: load_balancing(service),
    }
}

fn target(port: &resources::ServicePort, shared: &mut Shared) -> Target {
    let pod_port = match &port.target_port {
        None => PodPort::Number(port.port),
        Some(PortName::Number(number)) => PodPort::Number(*number),
        Some(PortName::Name(name)) => PodPort::Name(shared.texts.share(name.as_str())),
    };
    Target { service_port: port.port, app_protocol: app_protocol(port), pod_port }
}

/// What is to be said about a service.
pub(crate) fn check(service: &resources::Service, findings: &mut Findings<'_>) {
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
fn app_protocol(port: &resources::ServicePort) -> AppProtocol {
    let hint =
        if port.app_protocol.is_empty() { port.name.split('-').next().unwrap_or_default() } else { &port.app_protocol };
    match hint.to_ascii_lowercase().as_str() {
        "http" | "kubernetes.io/ws" => AppProtocol::Http11,
        "http2" | "kubernetes.io/h2c" => AppProtocol::Http2,
        "grpc" => AppProtocol::Grpc,
        "tcp" => AppProtocol::Tcp,
        "https" | "tls" | "kubernetes.io/wss" => AppProtocol::Tls,
        _ => AppProtocol::Unknown,
    }
}

fn load_balancing(service: &resources::Service) -> LoadBalancingMode {
    let annotation = service.metadata.annotations.get(DISTRIBUTION_ANNOTATION);
    let distribution = match service.spec.traffic_distribution.as_str() {
        "" => annotation.map(String::as_str).unwrap_or_default(),
        said => said,
    };
    if service.spec.internal_traffic_policy == "Local" {
        LoadBalancingMode::StrictNode
    } else if distribution == "PreferSameNode" {
        LoadBalancingMode::PreferNode
    } else {
        LoadBalancingMode::Unspecified
    }
}

#[cfg(test)]
mod tests;
