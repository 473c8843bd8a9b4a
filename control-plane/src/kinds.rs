//! The kinds that are watched.

use std::borrow::Cow;

use ambit_resources::Kind;

/// A kind of the API, at one version.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watched {
    /// Which.
    pub(crate) kind: Kind,
    /// Its group; empty for Kubernetes' core.
    pub(crate) group: &'static str,
    /// The version asked for: the API server converts what was written as another.
    pub(crate) version: &'static str,
    /// The versions that can be read, the best first. Asked for is the first, until the API server has it not.
    pub(crate) versions: &'static [&'static str],
    /// Its name in paths.
    pub(crate) plural: &'static str,
    /// Which of them; none for all.
    pub(crate) labels: Option<&'static str>,
}

const fn of(kind: Kind, group: &'static str, plural: &'static str) -> Watched {
    Watched { kind, group, version: "v1", versions: &["v1"], plural, labels: None }
}

/// A kind of the mesh's: what was installed years ago may have been defined without the newest version.
const fn mesh(kind: Kind, group: &'static str, versions: &'static [&'static str], plural: &'static str) -> Watched {
    Watched { versions, ..of(kind, group, plural) }
}

/// A kind of our own.
const fn ours(kind: Kind, plural: &'static str) -> Watched {
    Watched { version: "v1alpha1", ..mesh(kind, "ambit.io", &["v1alpha1"], plural) }
}

/// A kind of the Gateway API, whose definitions are the cluster's, of any release or not there at all.
const fn gateway_api(kind: Kind, versions: &'static [&'static str], plural: &'static str) -> Watched {
    mesh(kind, "gateway.networking.k8s.io", versions, plural)
}

/// Versions of networking.istio.io.
const NETWORKING: &[&str] = &["v1", "v1beta1", "v1alpha3"];
/// Versions of security.istio.io.
const SECURITY: &[&str] = &["v1", "v1beta1"];

/// Endpoints of Services with a selector are known from the Pods, and sooner.
const ENDPOINT_SLICES: Watched = Watched {
    labels: Some("endpointslice.kubernetes.io/managed-by!=endpointslice-controller.k8s.io"),
    ..of(Kind::EndpointSlice, "discovery.k8s.io", "endpointslices")
};

/// All of them.
pub(crate) const WATCHED: [Watched; 23] = [
    of(Kind::Namespace, "", "namespaces"),
    of(Kind::Node, "", "nodes"),
    of(Kind::Pod, "", "pods"),
    of(Kind::Service, "", "services"),
    ENDPOINT_SLICES,
    mesh(Kind::ServiceEntry, "networking.istio.io", NETWORKING, "serviceentries"),
    mesh(Kind::WorkloadEntry, "networking.istio.io", NETWORKING, "workloadentries"),
    mesh(Kind::AuthorizationPolicy, "security.istio.io", SECURITY, "authorizationpolicies"),
    mesh(Kind::PeerAuthentication, "security.istio.io", SECURITY, "peerauthentications"),
    mesh(Kind::RequestAuthentication, "security.istio.io", SECURITY, "requestauthentications"),
    mesh(Kind::VirtualService, "networking.istio.io", NETWORKING, "virtualservices"),
    mesh(Kind::DestinationRule, "networking.istio.io", NETWORKING, "destinationrules"),
    mesh(Kind::Telemetry, "telemetry.istio.io", &["v1", "v1alpha1"], "telemetries"),
    ours(Kind::RateLimitPolicy, "ratelimitpolicies"),
    ours(Kind::MeshConfig, "meshconfigs"),
    gateway_api(Kind::Gateway, &["v1", "v1beta1"], "gateways"),
    gateway_api(Kind::GatewayClass, &["v1", "v1beta1"], "gatewayclasses"),
    gateway_api(Kind::HttpRoute, &["v1", "v1beta1"], "httproutes"),
    gateway_api(Kind::GrpcRoute, &["v1", "v1alpha2"], "grpcroutes"),
    gateway_api(Kind::TcpRoute, &["v1", "v1alpha2"], "tcproutes"),
    gateway_api(Kind::TlsRoute, &["v1", "v1alpha3", "v1alpha2"], "tlsroutes"),
    gateway_api(Kind::ReferenceGrant, &["v1", "v1beta1"], "referencegrants"),
    gateway_api(Kind::BackendTlsPolicy, &["v1", "v1alpha3"], "backendtlspolicies"),
];

/// The kinds whose conditions are ours to write, and whose writing the webhook judges.
pub(crate) const USERS: [Kind; 10] = [
    Kind::ServiceEntry,
    Kind::WorkloadEntry,
    Kind::AuthorizationPolicy,
    Kind::PeerAuthentication,
    Kind::RequestAuthentication,
    Kind::VirtualService,
    Kind::DestinationRule,
    Kind::Telemetry,
    Kind::RateLimitPolicy,
    Kind::MeshConfig,
];

/// Whether we have a part in the status of a kind. What is said of Gateways and their classes, their deployer says.
pub(crate) fn has_status(kind: Kind) -> bool {
    use Kind::{BackendTlsPolicy, GrpcRoute, HttpRoute, Service, TcpRoute, TlsRoute};
    USERS.contains(&kind) || matches!(kind, HttpRoute | GrpcRoute | TcpRoute | TlsRoute | BackendTlsPolicy | Service)
}

impl Watched {
    /// `apiVersion` as objects write it.
    pub(crate) fn api_version(&self) -> Cow<'static, str> {
        match self.group {
            "" => Cow::Borrowed(self.version),
            group => Cow::Owned(format!("{group}/{}", self.version)),
        }
    }

    /// The entry of a kind.
    pub(crate) fn of(kind: Kind) -> Option<&'static Self> {
        WATCHED.iter().find(|watched| watched.kind == kind)
    }
}
