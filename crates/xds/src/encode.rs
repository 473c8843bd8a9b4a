//! From the model to messages.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ambit_model::{
    AppProtocol, DEFAULT_TRUST_DOMAIN, GatewayAddress, GatewayDestination, HealthPolicy, HostPort, LoadBalancingMode,
    Locality, NodePod, PortMapping, SameNode, Service, ServiceKey, ServicePorts, TunnelProtocol, WaypointFailure,
    Workload, WorkloadKind,
};
use bytes::Bytes;
use prost::Message;
use prost_types::Any;

pub use authorization::authorization;

use crate::proto::workload as message;
use crate::proto::workload::gateway_address::Destination;
use crate::proto::workload::load_balancing::{HealthPolicy as Health, Mode, Scope};
use crate::proto::{config, node};

mod authorization;

/// The service account of who names none, here and in Kubernetes.
pub(crate) const DEFAULT_SERVICE_ACCOUNT: &str = "default";

/// The extension by which a workload says how traffic of its node reaches it. It holds a `StringValue`.
pub(crate) const SAME_NODE_EXTENSION: &str = "ambit.io/same-node";

/// The extension by which a workload or service behind a waypoint says that it is to be reached without it
/// while it is not there. It holds the `StringValue` `open`.
pub(crate) const WAYPOINT_FAILURE_EXTENSION: &str = "ambit.io/waypoint-failure-mode";

/// The extension by which a service that is not for everybody says who sees it, where that is not its own namespace.
/// It holds a `StringValue`, namespaces separated by commas.
pub(crate) const EXPORTED_TO_EXTENSION: &str = "ambit.io/exported-to";

/// The type of the extensions' values.
pub(crate) const STRING_VALUE: &str = "type.googleapis.com/google.protobuf.StringValue";

/// An address resource of a workload.
#[must_use]
pub fn address_of_workload(it: &Workload) -> message::Address {
    message::Address { r#type: Some(message::address::Type::Workload(workload(it))) }
}

/// An address resource of a service.
#[must_use]
pub fn address_of_service(it: &Service) -> message::Address {
    message::Address { r#type: Some(message::address::Type::Service(service(it))) }
}

/// A workload.
#[must_use]
pub fn workload(it: &Workload) -> message::Workload {
    message::Workload {
        uid: it.uid.as_str().into(),
        name: it.name().into(),
        namespace: it.namespace.to_string(),
        addresses: it.addresses.iter().copied().map(ip).collect(),
        node: it.node.to_string(),
        trust_domain: unless(it.identity.trust_domain(), DEFAULT_TRUST_DOMAIN),
        service_account: unless(it.identity.service_account(), DEFAULT_SERVICE_ACCOUNT),
        tunnel_protocol: tunnel_protocol(it.tunnel_protocol).into(),
        canonical_name: it.canonical_name.to_string(),
        canonical_revision: it.canonical_revision.to_string(),
        workload_type: workload_type(it.kind).into(),
        workload_name: it.workload_name().to_owned(),
        services: services(&it.services),
        authorization_policies: it.authorization_policies.iter().map(ToString::to_string).collect(),
        status: status(it.healthy).into(),
        network_mode: network_mode(it.host_network).into(),
        cluster_id: it.cluster.to_string(),
        locality: it.locality.as_deref().map(locality),
        waypoint: it.waypoint.as_deref().map(waypoint),
        native_tunnel: it.native_tunnel,
        hostname: it.hostname.as_deref().unwrap_or_default().to_owned(),
        capacity: (it.weight != 1).then_some(it.weight),
        extensions: it.same_node.map(same_node).into_iter().chain(failure(it.waypoint_failure)).collect(),
        ..message::Workload::default()
    }
}

/// A service.
#[must_use]
pub fn service(it: &Service) -> message::Service {
    let address = |it: &IpAddr| message::NetworkAddress { address: ip(*it), ..Default::default() };
    message::Service {
        name: it.name.to_string(),
        namespace: it.key.namespace.to_string(),
        hostname: it.key.hostname.to_string(),
        addresses: it.addresses.iter().map(address).collect(),
        ports: it.ports.iter().map(|it| port(it.port, 0, it.app_protocol)).collect(),
        subject_alt_names: it.subject_alt_names.iter().map(ToString::to_string).collect(),
        load_balancing: load_balancing(it.load_balancing, it.health_policy),
        waypoint: it.waypoint.as_deref().map(waypoint),
        weighted_waypoints: weighted_waypoints(it),
        visibility: visibility(it).into(),
        extensions: failure(it.waypoint_failure).into_iter().chain(exported_to(it)).collect(),
        ..message::Service::default()
    }
}

/// The waypoint and its canary, where it has one. Who does not know of weights has the waypoint alone.
fn weighted_waypoints(it: &Service) -> Vec<message::WeightedWaypoint> {
    let Some((of, canary)) = it.waypoint.as_deref().zip(it.canary.as_ref()) else { return Vec::new() };
    let weighted = |of, weight| message::WeightedWaypoint { destination: Some(waypoint(of)), weight };
    let percent = u32::from(canary.percent);
    vec![weighted(of, 100_u32.saturating_sub(percent)), weighted(&canary.waypoint, percent)]
}

/// As near as the field's protocol comes to it.
fn visibility(it: &Service) -> message::service::Visibility {
    if it.exported_to.is_some() {
        message::service::Visibility::Namespace
    } else {
        message::service::Visibility::Public
    }
}

fn exported_to(it: &Service) -> Option<message::Extension> {
    let list = it.exported_to.as_ref().filter(|list| ***list != [Arc::clone(&it.key.namespace)])?;
    Some(extension(EXPORTED_TO_EXTENSION, &list.join(",")))
}

/// A pod of the asking node.
#[must_use]
pub fn pod(it: &NodePod) -> node::Pod {
    node::Pod {
        workload: Some(workload(&it.workload)),
        pod_uid: it.pod_uid.to_string(),
        enrol: it.enrol,
        netns: it.netns.as_deref().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default(),
        host_ports: it.host_ports.iter().map(host_port).collect(),
    }
}

fn host_port(it: &HostPort) -> node::HostPort {
    node::HostPort {
        address: it.address.map(ip).unwrap_or_default(),
        port: it.port.into(),
        pod_port: it.pod_port.into(),
    }
}

/// The roots, each a certificate in DER.
#[must_use]
pub fn trust_bundle(roots: &[Bytes]) -> node::TrustBundle {
    node::TrustBundle { roots: roots.to_vec() }
}

/// The labels of a workload.
#[must_use]
pub fn labels(it: &Workload) -> config::Labels {
    let text = |(key, value): (&Arc<str>, &Arc<str>)| (key.to_string(), value.to_string());
    config::Labels { labels: it.labels.iter().map(text).collect() }
}

/// A meshed namespace.
#[must_use]
pub fn meshed_namespace(name: &str) -> node::MeshedNamespace {
    node::MeshedNamespace { name: name.into() }
}

pub(crate) fn ip(ip: IpAddr) -> Bytes {
    match ip {
        IpAddr::V4(ip) => Bytes::copy_from_slice(&ip.octets()),
        IpAddr::V6(ip) => Bytes::copy_from_slice(&ip.octets()),
    }
}

/// Nothing instead of what everybody takes nothing for.
fn unless(text: &str, default: &str) -> String {
    if text == default { String::new() } else { text.into() }
}

fn tunnel_protocol(it: TunnelProtocol) -> message::TunnelProtocol {
    match it {
        TunnelProtocol::None => message::TunnelProtocol::None,
        TunnelProtocol::Hbone => message::TunnelProtocol::Hbone,
    }
}

fn workload_type(it: WorkloadKind) -> message::WorkloadType {
    match it {
        WorkloadKind::Deployment => message::WorkloadType::Deployment,
        WorkloadKind::CronJob => message::WorkloadType::Cronjob,
        WorkloadKind::Pod => message::WorkloadType::Pod,
        WorkloadKind::Job => message::WorkloadType::Job,
    }
}

fn services(it: &ServicePorts) -> BTreeMap<String, message::PortList> {
    let list = |it: &[PortMapping]| message::PortList {
        ports: it.iter().map(|it| port(it.service_port, it.target_port, it.app_protocol)).collect(),
    };
    it.iter().map(|(key, ports)| (key.to_string(), list(ports))).collect()
}

fn port(service_port: u16, target_port: u16, app_protocol: AppProtocol) -> message::Port {
    let app_protocol = match app_protocol {
        AppProtocol::Unknown => message::AppProtocol::Unknown,
        AppProtocol::Http11 => message::AppProtocol::Http11,
        AppProtocol::Http2 => message::AppProtocol::Http2,
        AppProtocol::Grpc => message::AppProtocol::Grpc,
        AppProtocol::Tcp => message::AppProtocol::Tcp,
        AppProtocol::Tls => message::AppProtocol::Tls,
    };
    message::Port {
        service_port: service_port.into(),
        target_port: target_port.into(),
        app_protocol: app_protocol.into(),
    }
}

fn status(healthy: bool) -> message::WorkloadStatus {
    if healthy { message::WorkloadStatus::Healthy } else { message::WorkloadStatus::Unhealthy }
}

fn network_mode(host_network: bool) -> message::NetworkMode {
    if host_network { message::NetworkMode::HostNetwork } else { message::NetworkMode::Standard }
}

fn locality(it: &Locality) -> message::Locality {
    message::Locality { region: it.region.to_string(), zone: it.zone.to_string(), subzone: String::new() }
}

fn same_node(it: SameNode) -> message::Extension {
    let word = match it {
        SameNode::Direct => "direct",
        SameNode::Tunnel => "tunnel",
    };
    extension(SAME_NODE_EXTENSION, word)
}

fn failure(it: WaypointFailure) -> Option<message::Extension> {
    match it {
        WaypointFailure::Closed => None,
        WaypointFailure::Open => Some(extension(WAYPOINT_FAILURE_EXTENSION, "open")),
    }
}

fn extension(name: &str, word: &str) -> message::Extension {
    let value = word.to_owned().encode_to_vec();
    message::Extension { name: name.into(), config: Some(Any { type_url: STRING_VALUE.into(), value }) }
}

fn waypoint(it: &GatewayAddress) -> message::GatewayAddress {
    let destination = match &it.destination {
        GatewayDestination::Hostname(ServiceKey { namespace, hostname }) => {
            let (namespace, hostname) = (namespace.to_string(), hostname.to_string());
            Destination::Hostname(message::NamespacedHostname { namespace, hostname })
        }
        GatewayDestination::Address(address) => {
            Destination::Address(message::NetworkAddress { address: ip(*address), ..Default::default() })
        }
    };
    message::GatewayAddress { destination: Some(destination), hbone_mtls_port: it.hbone_port.into() }
}

fn load_balancing(mode: LoadBalancingMode, health: HealthPolicy) -> Option<message::LoadBalancing> {
    if mode == LoadBalancingMode::default() && health == HealthPolicy::default() {
        return None;
    }
    let (mode, scopes): (_, &[Scope]) = match mode {
        LoadBalancingMode::Unspecified => (Mode::UnspecifiedMode, &[]),
        LoadBalancingMode::Passthrough => (Mode::Passthrough, &[]),
        LoadBalancingMode::StrictNode => (Mode::Strict, &[Scope::Node]),
        // What the field's own say for the same wishes: endpoints are ranked by how many they share.
        LoadBalancingMode::PreferZone => (Mode::Failover, &[Scope::Network, Scope::Region, Scope::Zone]),
        LoadBalancingMode::PreferNode => {
            (Mode::Failover, &[Scope::Network, Scope::Region, Scope::Zone, Scope::Subzone, Scope::Node])
        }
    };
    let health = match health {
        HealthPolicy::OnlyHealthy => Health::OnlyHealthy,
        HealthPolicy::AllowAll => Health::AllowAll,
    };
    let routing_preference = scopes.iter().map(|it| (*it).into()).collect();
    Some(message::LoadBalancing { routing_preference, mode: mode.into(), health_policy: health.into() })
}
