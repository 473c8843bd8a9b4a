//! EndpointSlice: the part that a mesh needs.

use serde::Deserialize;

use crate::Metadata;
use crate::unknown_field::FieldTable;

/// Some endpoints of a service.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointSlice {
    /// Metadata. A label names the service.
    pub metadata: Metadata,
    /// `IPv4`, `IPv6` or `FQDN`.
    pub address_type: String,
    /// The endpoints.
    pub endpoints: Vec<Endpoint>,
    /// The ports of each of them.
    pub ports: Vec<EndpointPort>,
}

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Endpoint {
    /// Its addresses, which all lead to the same; in practice one.
    pub addresses: Vec<String>,
    /// How it is.
    pub conditions: EndpointConditions,
    /// The node it runs on, where it does.
    pub node_name: String,
    /// The object it stands for, where there is one.
    pub target_ref: Option<ObjectReference>,
}

/// How an endpoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct EndpointConditions {
    /// Whether it takes traffic; absent means that nobody knows of a reason why it should not.
    pub ready: Option<bool>,
}

/// Another object.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct ObjectReference {
    /// Kind.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// A port of endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct EndpointPort {
    /// The name the service gives it; may be empty where there is only one.
    pub name: String,
    /// Number; absent means every port.
    pub port: Option<u16>,
    /// `TCP` (which empty means), `UDP` or `SCTP`.
    pub protocol: String,
}

#[rustfmt::skip]
pub(crate) const FIELDS: FieldTable = &[
    ("endpoints[*]", &["deprecatedTopology", "hints", "hostname", "zone"]),
    ("endpoints[*].conditions", &["serving", "terminating"]),
    ("endpoints[*].targetRef", &["apiVersion", "fieldPath", "resourceVersion", "uid"]),
    ("ports[*]", &["appProtocol"]),
];
