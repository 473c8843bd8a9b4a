//! The registry of kinds: one entry each.

use std::fmt;

use crate::object::Object;
use crate::read::{Reader, read};
use crate::unknown_field::{FieldTable, near};
use crate::{
    authorization_policy, endpoint_slice, namespace, node, peer_authentication, pod, service, service_account,
    service_entry, workload_entry,
};

/// A kind of object this crate knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Node.
    Node,
    /// Namespace.
    Namespace,
    /// ServiceAccount.
    ServiceAccount,
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
}

/// What there is to know about a kind.
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    api_versions: &'static [&'static str],
    /// Whether it lives in a namespace.
    pub(crate) namespaced: bool,
    /// Whether dots may be in its name (a DNS-1123 subdomain) or not (a label).
    pub(crate) dots: bool,
    /// Whether what is not understood of it is an error.
    pub(crate) policy: bool,
    /// See [`FieldTable`].
    pub(crate) fields: FieldTable,
    /// Reads it.
    pub(crate) read: Reader,
}

impl Entry {
    /// Whether the kind's name is the mesh's own, and nobody else has one of that name.
    fn is_mesh(&self) -> bool {
        self.policy || self.api_versions == NETWORKING
    }
}

const CORE: &[&str] = &["v1"];
const DISCOVERY: &[&str] = &["discovery.k8s.io/v1"];
const NETWORKING: &[&str] = &["networking.istio.io/v1", "networking.istio.io/v1beta1", "networking.istio.io/v1alpha3"];
const SECURITY: &[&str] = &["security.istio.io/v1", "security.istio.io/v1beta1"];

const REGISTRY: [Entry; 10] = [
    Entry {
        kind: Kind::Node,
        api_versions: CORE,
        namespaced: false,
        dots: true,
        policy: false,
        fields: node::FIELDS,
        read: |value, ignored| read(value, ignored).map(Object::Node),
    },
    Entry {
        kind: Kind::Namespace,
        api_versions: CORE,
        namespaced: false,
        dots: false,
        policy: false,
        fields: namespace::FIELDS,
        read: |value, ignored| read(value, ignored).map(Object::Namespace),
    },
    Entry {
        kind: Kind::ServiceAccount,
        api_versions: CORE,
        namespaced: true,
        dots: true,
        policy: false,
        fields: service_account::FIELDS,
        read: |value, ignored| read(value, ignored).map(Object::ServiceAccount),
    },
    Entry {
        kind: Kind::Pod,
        api_versions: CORE,
        namespaced: true,
        dots: true,
        policy: false,
        fields: pod::FIELDS,
        read: |value, ignored| read(value, ignored).map(Object::Pod),
    },
    Entry {
        kind: Kind::Service,
        api_versions: CORE,
        namespaced: true,
        dots: false,
        policy: false,
        fields: service::FIELDS,
        read: |value, ignored| read(value, ignored).map(Object::Service),
    },
    Entry {
        kind: Kind::EndpointSlice,
        api_versions: DISCOVERY,
        namespaced: true,
        dots: true,
        policy: false,
        fields: endpoint_slice::FIELDS,
        read: |value, ignored| read(value, ignored).map(Object::EndpointSlice),
    },
    Entry {
        kind: Kind::ServiceEntry,
        api_versions: NETWORKING,
        namespaced: true,
        dots: true,
        policy: false,
        fields: service_entry::FIELDS,
        read: |value, ignored| read(value, ignored).map(Object::ServiceEntry),
    },
    Entry {
        kind: Kind::WorkloadEntry,
        api_versions: NETWORKING,
        namespaced: true,
        dots: true,
        policy: false,
        fields: workload_entry::FIELDS,
        read: |value, ignored| read(value, ignored).map(Object::WorkloadEntry),
    },
    Entry {
        kind: Kind::AuthorizationPolicy,
        api_versions: SECURITY,
        namespaced: true,
        dots: true,
        policy: true,
        fields: authorization_policy::FIELDS,
        read: |value, ignored| read(value, ignored).map(Object::AuthorizationPolicy),
    },
    Entry {
        kind: Kind::PeerAuthentication,
        api_versions: SECURITY,
        namespaced: true,
        dots: true,
        policy: true,
        fields: peer_authentication::FIELDS,
        read: |value, ignored| read(value, ignored).map(Object::PeerAuthentication),
    },
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
    if let Some(entry) = REGISTRY.iter().find(|e| e.kind.word() == kind && e.api_versions.contains(&api_version)) {
        return Lookup::Known(entry);
    }
    let name = |entry: &Entry| entry.api_versions.first().map(|version| format!("{version} {}", entry.kind));
    if let Some(entry) = REGISTRY.iter().find(|e| e.is_mesh() && e.kind.word() == kind) {
        return Lookup::Unknown { meant: name(entry) };
    }
    if let Some(entry) = REGISTRY.iter().find(|e| e.kind.word() != kind && near(e.kind.word(), kind)) {
        return Lookup::Unknown { meant: name(entry) };
    }
    Lookup::Unused
}

impl Kind {
    /// The kind as users write it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Node => "Node",
            Self::Namespace => "Namespace",
            Self::ServiceAccount => "ServiceAccount",
            Self::Pod => "Pod",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::ServiceEntry => "ServiceEntry",
            Self::WorkloadEntry => "WorkloadEntry",
            Self::AuthorizationPolicy => "AuthorizationPolicy",
            Self::PeerAuthentication => "PeerAuthentication",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
