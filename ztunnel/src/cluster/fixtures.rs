//! Small objects for the tests of the cluster source.

use std::net::IpAddr;
use std::sync::Arc;

use ambit_model::{
    Application, Identity, NodePod, TunnelProtocol, WaypointFailure, Workload, WorkloadKind, WorkloadUid,
};

/// A pod's workload in namespace `shop`.
pub(crate) fn workload(name: &str, addresses: &[IpAddr]) -> Workload {
    Workload {
        uid: WorkloadUid::pod("Kubernetes", "shop", name),
        addresses: addresses.iter().copied().collect(),
        node: "node-1".into(),
        locality: None,
        tunnel_protocol: TunnelProtocol::None,
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

/// A pod of this node.
pub(crate) fn node_pod(workload: Workload, pod_uid: &str, enrol: bool) -> NodePod {
    NodePod { workload: Arc::new(workload), pod_uid: pod_uid.into(), enrol, netns: None, host_ports: [].into() }
}
