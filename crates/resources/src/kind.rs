//! The registry of kinds: one entry each.

use std::fmt;

use crate::fields_of::{FieldsOf, fields_of};
use crate::object::Object;
use crate::read::{Reader, read};
use crate::unknown_field::{FieldTable, STATUS, near};
use crate::{endpoint_slice, namespace, node, pod, secret, service, service_account};

/// A kind of object this crate knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Node.
    Node,
    /// Namespace.
    Namespace,
    /// ServiceAccount.
    ServiceAccount,
    /// Secret.
    Secret,
    /// ConfigMap.
    ConfigMap,
    /// Pod.
    Pod,
    /// Service.
    Service,
    /// EndpointSlice.
    EndpointSlice,
    /// ServiceEntry.
    ServiceEntry,
    /// WorkloadEntry.
    WorkloadEntry,
    /// AuthorizationPolicy.
    AuthorizationPolicy,
    /// PeerAuthentication.
    PeerAuthentication,
    /// RequestAuthentication.
    RequestAuthentication,
    /// VirtualService.
    VirtualService,
    /// DestinationRule.
    DestinationRule,
    /// Telemetry.
    Telemetry,
    /// Gateway.
    Gateway,
    /// GatewayClass.
    GatewayClass,
    /// HTTPRoute.
    HttpRoute,
    /// GRPCRoute.
    GrpcRoute,
    /// TCPRoute.
    TcpRoute,
    /// TLSRoute.
    TlsRoute,
    /// ReferenceGrant.
    ReferenceGrant,
    /// BackendTLSPolicy.
    BackendTlsPolicy,
    /// RateLimitPolicy.
    RateLimitPolicy,
    /// MeshConfig.
    MeshConfig,
}

/// How much it matters what is not understood of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Care {
    /// A field that nobody knows is worth a warning.
    Lenient,
    /// It is an error: a condition that is lost widens what is said.
    Strict,
    /// And so is a field without a value, and an empty list.
    Policy,
}

/// What there is to know about a kind.
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    api_versions: &'static [&'static str],
    /// Whether it lives in a namespace.
    pub(crate) namespaced: bool,
    /// Whether dots may be in its name (a DNS-1123 subdomain) or not (a label).
    pub(crate) dots: bool,
    /// How much it matters what is not understood of it.
    pub(crate) care: Care,
    /// See [`FieldTable`].
    pub(crate) fields: FieldTable,
    /// The fields its type has.
    pub(crate) fields_of: FieldsOf,
    /// Reads it.
    pub(crate) read: Reader,
}

impl Entry {
    /// Whether the kind's name is the mesh's own, and nobody else has one of that name.
    fn is_unique(&self) -> bool {
        [NETWORKING, SECURITY].contains(&self.api_versions)
    }

    fn group(&self) -> &'static str {
        self.api_versions.first().map_or("", |version| group(version))
    }
}

/// The group of an apiVersion; empty for Kubernetes' core.
fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

const CORE: &[&str] = &["v1"];
const DISCOVERY: &[&str] = &["discovery.k8s.io/v1"];
const NETWORKING: &[&str] = &["networking.istio.io/v1", "networking.istio.io/v1beta1", "networking.istio.io/v1alpha3"];
const TELEMETRY: &[&str] = &["telemetry.istio.io/v1", "telemetry.istio.io/v1alpha1"];
const AMBIT: &[&str] = &["ambit.io/v1alpha1"];
const GATEWAY_BETA: &[&str] = &["gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1beta1"];
const GATEWAY_ALPHA: &[&str] = &["gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1alpha2"];
const TLS_ROUTE: &[&str] =
    &["gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1alpha3", "gateway.networking.k8s.io/v1alpha2"];
const BACKEND_TLS: &[&str] = &["gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1alpha3"];
const SECURITY: &[&str] = &["security.istio.io/v1", "security.istio.io/v1beta1"];

/// An entry, where the type, the variant of [`Object`] and that of [`Kind`] have one name.
macro_rules! entry {
    ($kind:ident, $api_versions:expr, $care:ident, $fields:expr) => {
        Entry {
            kind: Kind::$kind,
            api_versions: $api_versions,
            namespaced: true,
            dots: true,
            care: Care::$care,
            fields: $fields,
            fields_of: fields_of::<crate::$kind>,
            read: |value, ignored| read(value, ignored).map(Object::$kind),
        }
    };
}

const REGISTRY: [Entry; 26] = [
    Entry { namespaced: false, ..entry!(Node, CORE, Lenient, node::FIELDS) },
    Entry { namespaced: false, dots: false, ..entry!(Namespace, CORE, Lenient, namespace::FIELDS) },
    entry!(ServiceAccount, CORE, Lenient, service_account::FIELDS),
    entry!(Secret, CORE, Lenient, secret::FIELDS),
    entry!(ConfigMap, CORE, Lenient, secret::FIELDS),
    entry!(Pod, CORE, Lenient, pod::FIELDS),
    Entry { dots: false, ..entry!(Service, CORE, Lenient, service::FIELDS) },
    entry!(EndpointSlice, DISCOVERY, Lenient, endpoint_slice::FIELDS),
    entry!(ServiceEntry, NETWORKING, Lenient, STATUS),
    entry!(WorkloadEntry, NETWORKING, Lenient, STATUS),
    entry!(AuthorizationPolicy, SECURITY, Policy, STATUS),
    entry!(PeerAuthentication, SECURITY, Policy, STATUS),
    entry!(RequestAuthentication, SECURITY, Policy, STATUS),
    entry!(VirtualService, NETWORKING, Strict, STATUS),
    entry!(DestinationRule, NETWORKING, Strict, STATUS),
    entry!(Telemetry, TELEMETRY, Strict, STATUS),
    entry!(Gateway, GATEWAY_BETA, Lenient, STATUS),
    Entry { namespaced: false, ..entry!(GatewayClass, GATEWAY_BETA, Lenient, STATUS) },
    entry!(HttpRoute, GATEWAY_BETA, Strict, STATUS),
    entry!(GrpcRoute, GATEWAY_ALPHA, Strict, STATUS),
    entry!(TcpRoute, GATEWAY_ALPHA, Strict, STATUS),
    entry!(TlsRoute, TLS_ROUTE, Strict, STATUS),
    entry!(ReferenceGrant, GATEWAY_BETA, Strict, STATUS),
    entry!(BackendTlsPolicy, BACKEND_TLS, Strict, STATUS),
    entry!(RateLimitPolicy, AMBIT, Policy, STATUS),
    entry!(MeshConfig, AMBIT, Strict, STATUS),
];

/// What an apiVersion and a kind are to us.
pub(crate) enum Lookup {
    Known(&'static Entry),
    /// Somebody else's.
    Unused,
    /// Ours by its group or its kind, yet there is no such thing: a slip of the pen that would leave
    /// a policy out of force if it passed for somebody else's.
    Unknown {
        meant: Option<String>,
    },
}

pub(crate) fn lookup(api_version: &str, kind: &str) -> Lookup {
    let group = group(api_version);
    let mut namesakes = REGISTRY.iter().filter(|entry| entry.kind.word() == kind);
    if let Some(entry) = namesakes.clone().find(|entry| entry.api_versions.contains(&api_version)) {
        return Lookup::Known(entry);
    }
    let is_meant = |entry: &&Entry| near(entry.kind.word(), kind) && near(entry.group(), group);
    let meant = match namesakes.next() {
        Some(entry) => Some(entry).filter(|entry| entry.is_unique() || entry.group() == group),
        None if NEIGHBOURS.contains(&kind) => None,
        None => REGISTRY.iter().find(is_meant),
    };
    match meant {
        Some(entry) => {
            let version = entry.api_versions.first();
            Lookup::Unknown { meant: version.map(|version| format!("{version} {}", entry.kind)) }
        }
        None => Lookup::Unused,
    }
}

/// Kinds of the Gateway API that look like slips of the pen, and are not.
const NEIGHBOURS: [&str; 2] = ["UDPRoute", "BackendLBPolicy"];

impl Kind {
    /// The kind as users write it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Node => "Node",
            Self::Namespace => "Namespace",
            Self::ServiceAccount => "ServiceAccount",
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
            Self::Pod => "Pod",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::ServiceEntry => "ServiceEntry",
            Self::WorkloadEntry => "WorkloadEntry",
            Self::AuthorizationPolicy => "AuthorizationPolicy",
            Self::PeerAuthentication => "PeerAuthentication",
            Self::RequestAuthentication => "RequestAuthentication",
            Self::VirtualService => "VirtualService",
            Self::DestinationRule => "DestinationRule",
            Self::Telemetry => "Telemetry",
            Self::Gateway => "Gateway",
            Self::GatewayClass => "GatewayClass",
            Self::HttpRoute => "HTTPRoute",
            Self::GrpcRoute => "GRPCRoute",
            Self::TcpRoute => "TCPRoute",
            Self::TlsRoute => "TLSRoute",
            Self::ReferenceGrant => "ReferenceGrant",
            Self::BackendTlsPolicy => "BackendTLSPolicy",
            Self::RateLimitPolicy => "RateLimitPolicy",
            Self::MeshConfig => "MeshConfig",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
