//! Small objects for the tests of this crate.

use std::net::SocketAddr;
use std::sync::Arc;

use ambit_model::{
    Action, AppProtocol, Application, Authorization, HealthPolicy, Identity, LoadBalancingMode, OriginalDst, PolicyKey,
    PortMapping, Scope, Service, ServiceKey, ServicePort, TunnelProtocol, WaypointFailure, Workload, WorkloadKind,
    WorkloadUid,
};

/// An enrolled, healthy pod of namespace `shop`; addresses parted by spaces.
pub(crate) fn pod(name: &str, node: &str, addresses: &str) -> Workload {
    Workload {
        uid: WorkloadUid::pod("Kubernetes", "shop", name),
        addresses: addresses.split_whitespace().map(|address| address.parse().unwrap()).collect(),
        node: node.into(),
        locality: None,
        tunnel_protocol: TunnelProtocol::Hbone,
        native_tunnel: false,
        healthy: true,
        host_network: false,
        same_node: None,
        application: Arc::new(Application {
            namespace: "shop".into(),
            identity: Identity::new("cluster.local", "shop", name),
            canonical_name: name.into(),
            canonical_revision: "latest".into(),
            kind: WorkloadKind::Pod,
            workload_name: name.into(),
            services: Arc::default(),
            authorization_policies: Arc::default(),
            waypoint: None,
            waypoint_failure: WaypointFailure::default(),
            labels: Arc::default(),
            cluster: "Kubernetes".into(),
            hostname: None,
            weight: 1,
        }),
    }
}

/// The pod as an endpoint of a service: its port 80 is the pod's 8080.
pub(crate) fn serving(pod: Workload, service: &str) -> Workload {
    let port = PortMapping { service_port: 80, target_port: 8080, app_protocol: AppProtocol::Unknown };
    let services = Arc::new([(service_key(service), vec![port])].into_iter().collect());
    Workload { application: Arc::new(Application { services, ..Application::clone(&pod) }), ..pod }
}

/// The pod with policies of these keys.
pub(crate) fn governed(pod: Workload, policies: &[&str]) -> Workload {
    let authorization_policies = policies.iter().map(|key| policy_key(key)).collect();
    Workload { application: Arc::new(Application { authorization_policies, ..Application::clone(&pod) }), ..pod }
}

/// A service of namespace `shop` with ports 80 and 81; addresses parted by spaces.
pub(crate) fn service(name: &str, addresses: &str) -> Service {
    let port = |port| ServicePort { port, name: "".into(), app_protocol: AppProtocol::Unknown };
    Service {
        key: service_key(name),
        name: name.into(),
        addresses: addresses.split_whitespace().map(|address| address.parse().unwrap()).collect(),
        ports: vec![port(80), port(81)],
        subject_alt_names: vec![],
        health_policy: HealthPolicy::OnlyHealthy,
        load_balancing: LoadBalancingMode::Unspecified,
        waypoint: None,
        canary: None,
        waypoint_failure: WaypointFailure::default(),
        exported_to: None,
    }
}

pub(crate) fn service_key(name: &str) -> ServiceKey {
    ServiceKey { namespace: "shop".into(), hostname: format!("{name}.shop.svc.cluster.local").into() }
}

/// A policy named `namespace/name`.
pub(crate) fn policy(key: &str, scope: Scope) -> Authorization {
    Authorization { key: policy_key(key), scope, action: Action::Deny, rules: vec![], dry_run: false }
}

pub(crate) fn policy_key(key: &str) -> PolicyKey {
    let (namespace, name) = key.split_once('/').unwrap();
    PolicyKey { namespace: namespace.into(), name: name.into() }
}

pub(crate) fn to(address: &str) -> OriginalDst {
    OriginalDst::new(address.parse::<SocketAddr>().unwrap())
}
