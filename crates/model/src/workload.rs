//! Workloads: what has addresses and an identity. The shape follows `istio.workload.Workload`, so
//! that one model serves the folder of manifests and the discovery protocol alike.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::{Identity, PolicyKey, ServiceKey};

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

/// What has addresses and an identity: a pod, a VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// Unique name.
    pub uid: WorkloadUid,
    /// Pod name.
    pub name: Arc<str>,
    /// Namespace.
    pub namespace: Arc<str>,
    /// Its addresses, of one or both families.
    pub addresses: Vec<IpAddr>,
    /// The node it runs on; empty when unknown.
    pub node: Arc<str>,
    /// Who it is.
    pub identity: Identity,
    /// How it takes connections from the mesh.
    pub tunnel_protocol: TunnelProtocol,
    /// `app.kubernetes.io/name`-like name that dashboards group by.
    pub canonical_name: Arc<str>,
    /// Revision that dashboards group by; `latest` when nothing else is said.
    pub canonical_revision: Arc<str>,
    /// What owns it.
    pub kind: WorkloadKind,
    /// Name of what owns it.
    pub workload_name: Arc<str>,
    /// The services it is an endpoint of, with its ports for each. Shared: replicas have the same.
    pub services: Arc<BTreeMap<ServiceKey, Vec<PortMapping>>>,
    /// Policies that select it by label (namespace-wide and mesh-wide ones are not listed).
    pub authorization_policies: Vec<PolicyKey>,
    /// Whether it takes traffic of services.
    pub healthy: bool,
    /// Whether it shares the node's network namespace (then it is never captured).
    pub host_network: bool,
    /// Cluster it runs in, for metrics.
    pub cluster: Arc<str>,
    /// What its user said about same-node traffic.
    pub same_node: Option<SameNode>,
}

/// How traffic between two enrolled pods of one node travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SameNode {
    /// App to app over plain TCP, identity and policy checked against the kernel's own knowledge.
    Direct,
    /// Through the tunnel, encrypted.
    Tunnel,
}

/// A pod of this node that is to be enrolled: what the enrolment needs beyond its [`Workload`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalPod {
    /// The workload it is.
    pub uid: WorkloadUid,
    /// The file of its network namespace, where its user named one (`ambit.io/netns`).
    pub netns: Option<PathBuf>,
}
