//! A mesh to talk about.

use std::net::IpAddr;
use std::sync::Arc;

use ambit_model::{
    Action, AppProtocol, Application, Authorization, HealthPolicy, Identity, LoadBalancingMode, NodePod, PolicyKey,
    PortMapping, Rule, Scope, Service, ServiceKey, ServicePort, TunnelProtocol, WaypointFailure, Workload,
    WorkloadKind, WorkloadUid,
};

/// The uid of a pod of the mesh.
pub(crate) fn uid(name: &str) -> String {
    format!("Kubernetes//Pod/shop/{name}")
}

/// A pod, an endpoint of `services`.
pub(crate) fn workload(name: &str, ip: &str, services: &[&str]) -> Workload {
    let mapping = PortMapping { service_port: 80, target_port: 8080, app_protocol: AppProtocol::Unknown };
    let application = Application {
        namespace: "shop".into(),
        identity: Identity::new("cluster.local", "shop", "default"),
        canonical_name: "web".into(),
        canonical_revision: "latest".into(),
        kind: WorkloadKind::Deployment,
        workload_name: "web".into(),
        services: Arc::new(services.iter().map(|name| (key(name), vec![mapping])).collect()),
        authorization_policies: Arc::from([]),
        waypoint: None,
        waypoint_failure: WaypointFailure::default(),
        labels: Arc::default(),
        cluster: "Kubernetes".into(),
        hostname: None,
        weight: 1,
    };
    Workload {
        uid: WorkloadUid::new(uid(name)),
        addresses: [ip.parse::<IpAddr>().unwrap()].into_iter().collect(),
        node: "a".into(),
        locality: None,
        tunnel_protocol: TunnelProtocol::Hbone,
        native_tunnel: false,
        healthy: true,
        host_network: false,
        same_node: None,
        application: Arc::new(application),
    }
}

/// A service.
pub(crate) fn service(name: &str, ip: &str) -> Service {
    Service {
        key: key(name),
        name: name.into(),
        addresses: vec![ip.parse().unwrap()],
        ports: vec![ServicePort { port: 80, name: "".into(), app_protocol: AppProtocol::Unknown }],
        subject_alt_names: Vec::new(),
        health_policy: HealthPolicy::default(),
        load_balancing: LoadBalancingMode::default(),
        waypoint: None,
        canary: None,
        waypoint_failure: WaypointFailure::default(),
        exported_to: None,
    }
}

/// The name of a service.
pub(crate) fn key(name: &str) -> ServiceKey {
    ServiceKey { namespace: "shop".into(), hostname: format!("{name}.shop.svc.cluster.local").into() }
}

/// A policy.
pub(crate) fn policy(name: &str) -> Authorization {
    let key = PolicyKey { namespace: "shop".into(), name: name.into() };
    Authorization { key, scope: Scope::Namespace, action: Action::Deny, rules: vec![Rule::default()], dry_run: false }
}

/// A pod as its node hears of it.
pub(crate) fn pod(name: &str, node: &str, enrol: bool) -> NodePod {
    let workload = Workload { node: node.into(), ..workload(name, "10.0.0.1", &[]) };
    NodePod { workload: Arc::new(workload), pod_uid: "1".into(), enrol, netns: None, host_ports: [].into() }
}
