//! Resources on their way into the cache.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use ambit_model::{Authorization, GatewayKey, NodePod, Service, Workload};
use bytes::Bytes;
use prost::Message;
use prost_types::Any;

use crate::proto::config;
use crate::proto::discovery::Resource;
use crate::{TypeUrl, encode};

/// The name of the one trust bundle.
const TRUST_BUNDLE: &str = "mesh";

/// A resource, or the end of one.
#[derive(Debug, Clone)]
pub struct Entry {
    pub(super) type_url: TypeUrl,
    pub(super) name: Arc<str>,
    pub(super) audience: Audience,
    /// Under what else it is found: its aliases, and the services it is an endpoint of.
    pub(super) keys: Vec<Arc<str>>,
    pub(super) resource: Option<Encoded>,
    /// Whether it may be there all the same.
    pub(super) unknown: bool,
}

/// Who is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Whoever may ask for its type.
    Everyone,
    /// The callers of this place: of a node, by its name, or the pods of a waypoint, by `namespace/name`.
    Only(Arc<str>),
}

/// A resource as streams send it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Encoded {
    /// A hash of what it says: the same in every process of one release. Another release's compiler may hash in
    /// another way; a client that comes from there is told everything again.
    pub(crate) version: String,
    /// A `Resource`.
    pub(crate) bytes: Bytes,
}

impl Entry {
    /// A workload. Whoever has a service of it on demand is told of it, too.
    #[must_use]
    pub fn workload(it: &Workload) -> Self {
        let aliases = it.addresses.iter().map(|ip| format!("/{ip}")).collect();
        let mut entry =
            Self::new(TypeUrl::Address, it.uid.as_str(), aliases, &encode::address_of_workload(it).encode_to_vec());
        entry.keys.extend(it.services.keys().map(|key| key.to_string().into()));
        entry
    }

    /// A service.
    #[must_use]
    pub fn service(it: &Service) -> Self {
        let aliases = it.addresses.iter().map(|ip| format!("/{ip}")).collect();
        let body = encode::address_of_service(it).encode_to_vec();
        Self::new(TypeUrl::Address, &it.key.to_string(), aliases, &body)
    }

    /// A policy.
    #[must_use]
    pub fn authorization(it: &Authorization) -> Self {
        let body = encode::authorization(it).encode_to_vec();
        Self::new(TypeUrl::Authorization, &it.key.to_string(), Vec::new(), &body)
    }

    /// A pod, for the agent of its node alone.
    #[must_use]
    pub fn pod(it: &NodePod) -> Self {
        let body = encode::pod(it).encode_to_vec();
        let audience = Audience::Only(Arc::clone(&it.workload.node));
        Self { audience, ..Self::new(TypeUrl::Pod, it.workload.uid.as_str(), Vec::new(), &body) }
    }

    /// The roots behind which peers are believed, each a certificate in DER.
    #[must_use]
    pub fn trust_bundle(roots: &[Bytes]) -> Self {
        Self::new(TypeUrl::TrustBundle, TRUST_BUNDLE, Vec::new(), &encode::trust_bundle(roots).encode_to_vec())
    }

    /// A namespace whose pods are meshed.
    #[must_use]
    pub fn meshed_namespace(name: &str) -> Self {
        let body = encode::meshed_namespace(name).encode_to_vec();
        Self::new(TypeUrl::MeshedNamespace, name, Vec::new(), &body)
    }

    /// A user's object, for a waypoint it concerns alone.
    #[must_use]
    pub fn object(waypoint: &GatewayKey, it: &config::Object) -> Self {
        let name = object_name(waypoint, &it.kind, &it.namespace, &it.name);
        let audience = Audience::Only(waypoint.to_string().into());
        Self { audience, ..Self::new(TypeUrl::Object, &name, Vec::new(), &it.encode_to_vec()) }
    }

    /// The end of a user's object for a waypoint.
    #[must_use]
    pub fn removed_object(waypoint: &GatewayKey, kind: &str, namespace: &str, name: &str) -> Self {
        Self::removed(TypeUrl::Object, object_name(waypoint, kind, namespace, name))
    }

    /// A user's object of which it is not known yet whether it is there: a waypoint that has it keeps it.
    #[must_use]
    pub fn unknown_object(waypoint: &GatewayKey, kind: &str, namespace: &str, name: &str) -> Self {
        let audience = Audience::Only(waypoint.to_string().into());
        Self { audience, unknown: true, ..Self::removed_object(waypoint, kind, namespace, name) }
    }

    /// The labels of a workload, or their end.
    #[must_use]
    pub fn labels(it: &Workload) -> Self {
        if it.labels.is_empty() {
            return Self::removed(TypeUrl::Labels, it.uid.as_str());
        }
        Self::new(TypeUrl::Labels, it.uid.as_str(), Vec::new(), &encode::labels(it).encode_to_vec())
    }

    /// The end of a resource: of a workload by its uid, of a service or policy by its key.
    #[must_use]
    pub fn removed(type_url: TypeUrl, name: impl Into<Arc<str>>) -> Self {
        let audience = Audience::Everyone;
        Self { type_url, name: name.into(), audience, keys: Vec::new(), resource: None, unknown: false }
    }

    fn new(type_url: TypeUrl, name: &str, aliases: Vec<String>, body: &[u8]) -> Self {
        let keys = aliases.iter().map(|it| it.as_str().into()).collect();
        let mut hasher = DefaultHasher::new();
        (&aliases, body).hash(&mut hasher);
        let version = format!("{:016x}", hasher.finish());
        let resource = Resource {
            version: version.clone(),
            resource: Some(Any { type_url: type_url.as_str().into(), value: body.to_vec() }),
            name: name.into(),
            aliases,
        };
        let bytes = resource.encode_to_vec().into();
        Self {
            type_url,
            name: name.into(),
            audience: Audience::Everyone,
            keys,
            resource: Some(Encoded { version, bytes }),
            unknown: false,
        }
    }
}

/// Its name, with a minus before it if it is the end of one: for logs and tests.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.resource.is_some() { "" } else { "-" }, self.name)
    }
}

/// Each waypoint has resources of its own: an object that concerns two of them is told to both.
fn object_name(waypoint: &GatewayKey, kind: &str, namespace: &str, name: &str) -> String {
    format!("{waypoint}/{kind}/{namespace}/{name}")
}
