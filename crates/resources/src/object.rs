//! An object as it was read, with its name and where it stands.

use std::fmt;
use std::sync::Arc;

use crate::{
    AuthorizationPolicy, BackendTlsPolicy, ConfigMap, DestinationRule, EndpointSlice, FieldPath, Gateway, GatewayClass,
    GrpcRoute, HttpRoute, Issue, Kind, Lines, MeshConfig, Namespace, Node, PeerAuthentication, Pod, RateLimitPolicy,
    ReferenceGrant, RequestAuthentication, Secret, Service, ServiceAccount, ServiceEntry, Severity, TcpRoute,
    Telemetry, TlsRoute, VirtualService, WorkloadEntry,
};

/// An object's name in the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId {
    /// Kind.
    pub kind: Kind,
    /// Namespace; empty for kinds that live in none.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.namespace {
            "" => write!(f, "{} {}", self.kind, self.name),
            namespace => write!(f, "{} {namespace}/{}", self.kind, self.name),
        }
    }
}

/// Which object this is, and where it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The object.
    pub id: ObjectId,
    /// The file it is in, or what else it comes from.
    pub file: Arc<str>,
    /// The lines of its fields.
    pub lines: Lines,
}

impl Origin {
    /// Something to be said about a field of this object.
    pub fn issue<P>(&self, severity: Severity, field: FieldPath, problem: P) -> Issue<P> {
        Issue {
            severity,
            file: Arc::clone(&self.file),
            line: self.lines.at(&field),
            object: Some(self.id.clone()),
            field,
            problem,
        }
    }
}

/// An object that was read without an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// Which, and where.
    pub origin: Origin,
    /// What it says. Clones share it.
    pub object: Arc<Object>,
}

/// An object of a kind this crate knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// Node.
    Node(Node),
    /// Namespace.
    Namespace(Namespace),
    /// ServiceAccount.
    ServiceAccount(ServiceAccount),
    /// Secret.
    Secret(Secret),
    /// ConfigMap.
    ConfigMap(ConfigMap),
    /// Pod.
    Pod(Pod),
    /// Service.
    Service(Service),
    /// EndpointSlice.
    EndpointSlice(EndpointSlice),
    /// ServiceEntry.
    ServiceEntry(ServiceEntry),
    /// WorkloadEntry.
    WorkloadEntry(WorkloadEntry),
    /// AuthorizationPolicy.
    AuthorizationPolicy(AuthorizationPolicy),
    /// PeerAuthentication.
    PeerAuthentication(PeerAuthentication),
    /// RequestAuthentication.
    RequestAuthentication(RequestAuthentication),
    /// VirtualService.
    VirtualService(VirtualService),
    /// DestinationRule.
    DestinationRule(Box<DestinationRule>),
    /// Telemetry.
    Telemetry(Telemetry),
    /// Gateway.
    Gateway(Gateway),
    /// GatewayClass.
    GatewayClass(GatewayClass),
    /// HTTPRoute.
    HttpRoute(HttpRoute),
    /// GRPCRoute.
    GrpcRoute(GrpcRoute),
    /// TCPRoute.
    TcpRoute(TcpRoute),
    /// TLSRoute.
    TlsRoute(TlsRoute),
    /// ReferenceGrant.
    ReferenceGrant(ReferenceGrant),
    /// BackendTLSPolicy.
    BackendTlsPolicy(BackendTlsPolicy),
    /// RateLimitPolicy.
    RateLimitPolicy(RateLimitPolicy),
    /// MeshConfig.
    MeshConfig(MeshConfig),
}
