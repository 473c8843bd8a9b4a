//! Services, and which ports of a pod stand behind them.

use std::net::IpAddr;

use ambit_model::{
    AppProtocol, HealthPolicy, LoadBalancingMode, PortMapping, Service, ServiceKey, ServicePort, canonical_ip,
};
use ambit_resources::{self as resources, FieldPath, Pod, PortName};

use crate::Problem;
use crate::findings::Findings;
use crate::index::Item;

/// The DNS domain of a cluster's services.
const CLUSTER_DOMAIN: &str = "svc.cluster.local";
const DISTRIBUTION_ANNOTATION: &str = "networking.istio.io/traffic-distribution";

/// A service as clients see it; nothing for what is only a DNS alias. Depends on the service alone.
pub(crate) fn compile(item: &Item<'_, resources::Service>) -> Option<Service> {
    let spec = &item.object.spec;
    if spec.kind == "ExternalName" {
        return None;
    }
    let health_policy =
        if spec.publish_not_ready_addresses { HealthPolicy::AllowAll } else { HealthPolicy::OnlyHealthy };
    Some(Service {
        key: key(item),
        name: item.origin.id.name.clone(),
        addresses: addresses(spec).filter_map(|(_, text)| text.parse().ok()).map(canonical_ip).collect(),
        ports: tcp_ports(spec)
            .map(|port| ServicePort {
                port: port.port,
                name: port.name.as_str().into(),
                app_protocol: app_protocol(port),
            })
            .collect(),
        subject_alt_names: Vec::new(),
        health_policy,
        load_balancing: load_balancing(item.object),
    })
}

/// The service's name in the mesh.
pub(crate) fn key(item: &Item<'_, resources::Service>) -> ServiceKey {
    let (namespace, name) = (&item.origin.id.namespace, &item.origin.id.name);
    ServiceKey { namespace: namespace.clone(), hostname: format!("{name}.{namespace}.{CLUSTER_DOMAIN}").into() }
}

/// The pod's ports behind the service, nothing if the service does not select it. Depends on both.
pub(crate) fn endpoint(service: &resources::Service, pod: &Pod) -> Option<Vec<PortMapping>> {
    let selector = &service.spec.selector;
    let selects = |labels: &std::collections::BTreeMap<String, String>| {
        selector.iter().all(|(key, value)| labels.get(key) == Some(value))
    };
    if service.spec.kind == "ExternalName" || selector.is_empty() || !selects(&pod.metadata.labels) {
        return None;
    }
    let mapping = |port| {
        let target_port = target_port(port, pod)?;
        Some(PortMapping { service_port: port.port, target_port, app_protocol: app_protocol(port) })
    };
    Some(tcp_ports(&service.spec).filter_map(mapping).collect())
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

fn is_tcp(protocol: &str) -> bool {
    matches!(protocol, "" | "TCP")
}

fn target_port(port: &resources::ServicePort, pod: &Pod) -> Option<u16> {
    match &port.target_port {
        None => Some(port.port),
        Some(PortName::Number(number)) => Some(*number),
        Some(PortName::Name(name)) => {
            let beside = pod.spec.init_containers.iter().filter(|container| container.restart_policy == "Always");
            let mut ports = pod.spec.containers.iter().chain(beside).flat_map(|container| &container.ports);
            ports.find(|port| port.name == *name && is_tcp(&port.protocol)).map(|port| port.container_port)
        }
    }
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
