//! Workloads: what has addresses and an identity. The shape follows `istio.workload.Workload`, so
//! that one model serves the folder of manifests and the discovery protocol alike.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::{GatewayAddress, Identity, PolicyKey, ServicePorts, WaypointFailure};

/// A workload's name in the mesh: `<cluster>/<group>/<kind>/<namespace>/<name>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkloadUid(Arc<str>);

impl WorkloadUid {
    /// Wraps a uid as the discovery protocol spells it.
    #[must_use]
    pub fn new(uid: impl Into<Arc<str>>) -> Self {
        Self(uid.into())
    }
    /// The uid of a pod.
    #[must_use]
    pub fn pod(cluster: &str, namespace: &str, name: &str) -> Self {
        Self(format!("{cluster}//Pod/{namespace}/{name}").into())
    }
    /// The uid as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// The name of the object it stands for; empty in a uid of another form.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.split('/').nth(4).unwrap_or_default()
    }
}

impl fmt::Display for WorkloadUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a workload takes connections from the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TunnelProtocol {
    /// It is not enrolled: plain TCP.
    #[default]
    None,
    /// HTTP/2 CONNECT over mutual TLS on port 15008.
    Hbone,
}

/// What owns a workload, for metrics, logs and baggage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum WorkloadKind {
    /// A Deployment (of which the pod is a replica).
    Deployment,
    /// A CronJob.
    CronJob,
    /// The pod stands for itself.
    #[default]
    Pod,
    /// A Job.
    Job,
}

impl WorkloadKind {
    /// The word used in `baggage` (`k8s.<word>.name`).
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::CronJob => "cronjob",
            Self::Pod => "pod",
            Self::Job => "job",
        }
    }
}

/// Protocol hint of a service port (`appProtocol`, or the prefix of the port's name).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AppProtocol {
    /// Nothing was said.
    #[default]
    Unknown,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2.
    Http2,
    /// gRPC.
    Grpc,
    /// Opaque TCP.
    Tcp,
    /// TLS end to end.
    Tls,
}

/// One port of a service at one workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PortMapping {
    /// The port clients ask for.
    pub service_port: u16,
    /// The port the workload listens on.
    pub target_port: u16,
    /// The protocol hint.
    pub app_protocol: AppProtocol,
}

/// Addresses: nearly always one, which then costs no allocation.
pub type Addresses = SmallVec<[IpAddr; 1]>;

/// What has addresses and an identity: a pod, a VM. There may be a hundred thousand of them: what many
/// have in common is in [`Application`], to which this dereferences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// Unique name.
    pub uid: WorkloadUid,
    /// Its addresses, of one or both families.
    pub addresses: Addresses,
    /// The node it runs on; empty when unknown.
    pub node: Arc<str>,
    /// Where that node is, where it is known.
    pub locality: Option<Arc<Locality>>,
    /// How it takes connections from the mesh.
    pub tunnel_protocol: TunnelProtocol,
    /// Whether it takes tunnels itself, as a waypoint does, and no agent does for it.
    pub native_tunnel: bool,
    /// Whether it takes traffic of services.
    pub healthy: bool,
    /// Whether it shares the node's network namespace (then it is never captured).
    pub host_network: bool,
    /// What its user said about same-node traffic.
    pub same_node: Option<SameNode>,
    /// What it has in common with its like: share one allocation among equals.
    pub application: Arc<Application>,
}

impl Workload {
    /// The name of the pod, or of whatever else it stands for.
    #[must_use]
    pub fn name(&self) -> &str {
        self.uid.name()
    }

    /// The name of what owns it: its own where it stands for itself.
    #[must_use]
    pub fn workload_name(&self) -> &str {
        if self.application.workload_name.is_empty() { self.name() } else { &self.application.workload_name }
    }
}

impl Deref for Workload {
    type Target = Application;

    fn deref(&self) -> &Application {
        &self.application
    }
}

/// What the replicas of one application have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Application {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Who it is.
    pub identity: Identity,
    /// `app.kubernetes.io/name`-like name that dashboards group by.
    pub canonical_name: Arc<str>,
    /// Revision that dashboards group by; `latest` when nothing else is said.
    pub canonical_revision: Arc<str>,
    /// What owns it.
    pub kind: WorkloadKind,
    /// Name of what owns it; empty where it stands for itself, so that pods of no Deployment, too, can be
    /// alike. See [`Workload::workload_name`].
    pub workload_name: Arc<str>,
    /// The services it is an endpoint of, with its ports for each.
    pub services: Arc<ServicePorts>,
    /// Policies that select it by label (namespace-wide and mesh-wide ones are not listed), and those that
    /// keep others from going round a waypoint, by key.
    pub authorization_policies: Arc<[PolicyKey]>,
    /// The waypoint that connections to its own address go through.
    pub waypoint: Option<Arc<GatewayAddress>>,
    /// What becomes of them while that one is not there.
    pub waypoint_failure: WaypointFailure,
    /// Its labels, where those who read this have a use for them, as waypoints do; else empty.
    pub labels: Arc<Labels>,
    /// Cluster it runs in, for metrics.
    pub cluster: Arc<str>,
    /// The host name by which it is to be looked up, where it has no addresses of its own.
    pub hostname: Option<Arc<str>>,
    /// Its share of a service's connections, beside the others'. At least 1.
    pub weight: u32,
}

/// Labels, by key.
pub type Labels = BTreeMap<Arc<str>, Arc<str>>;

/// Where a node is; what is not known is empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Locality {
    /// Region.
    pub region: Arc<str>,
    /// Zone of the region.
    pub zone: Arc<str>,
}

impl Locality {
    /// Whether two are in one region, as far as is known.
    #[must_use]
    pub fn is_same_region(&self, other: &Self) -> bool {
        !self.region.is_empty() && self.region == other.region
    }

    /// Whether two are in one zone, as far as is known. Zones of different regions may have one name.
    #[must_use]
    pub fn is_same_zone(&self, other: &Self) -> bool {
        !self.zone.is_empty() && (&self.region, &self.zone) == (&other.region, &other.zone)
    }
}

/// How traffic between two enrolled pods of one node travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SameNode {
    /// App to app over plain TCP, identity and policy checked against the kernel's own knowledge.
    Direct,
    /// Through the tunnel, encrypted.
    Tunnel,
}

/// A pod that is to run on a node, from its scheduling on, as that node's agent is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePod {
    /// The workload it is; its addresses may not be known yet.
    pub workload: Arc<Workload>,
    /// `metadata.uid`: tells it from its successor of the same name.
    pub pod_uid: Arc<str>,
    /// Whether it is to be captured.
    pub enrol: bool,
    /// The file of its network namespace, where its user named one (`ambit.io/netns`).
    pub netns: Option<PathBuf>,
    /// Ports of its node that lead to it.
    pub host_ports: Box<[HostPort]>,
}

/// A TCP port of a node that leads to a pod on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostPort {
    /// The node's address at which it does; all of them where there is none.
    pub address: Option<IpAddr>,
    /// The node's port.
    pub port: u16,
    /// The pod's.
    pub pod_port: u16,
}
