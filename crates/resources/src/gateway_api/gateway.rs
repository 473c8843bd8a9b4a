//! Gateway: for the mesh, a waypoint.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{LocalReference, ObjectRef};
use crate::Metadata;

/// A gateway; a waypoint if its class says so.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Gateway {
    /// Metadata.
    pub metadata: Metadata,
    /// What it says.
    pub spec: GatewaySpec,
}

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewaySpec {
    /// Its class.
    pub gateway_class_name: String,
    /// What it listens on.
    pub listeners: Vec<Listener>,
    /// Addresses it is to have.
    pub addresses: Vec<GatewayAddress>,
    /// Of what is made for it.
    pub infrastructure: Option<Infrastructure>,
    /// Who may add listeners.
    pub allowed_listeners: Option<AllowedListeners>,
    /// TLS, over all listeners.
    pub tls: Option<GatewayTls>,
    /// Whether routes that ask for a default gateway get this one.
    pub default_scope: String,
}

/// Something it listens on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Listener {
    /// Its name.
    pub name: String,
    /// The host it is for; none: all.
    pub hostname: Option<String>,
    /// The port.
    pub port: u16,
    /// What is spoken: `HBONE` for a waypoint.
    pub protocol: String,
    /// TLS.
    pub tls: Option<ListenerTls>,
    /// Which routes may be attached.
    pub allowed_routes: Option<AllowedRoutes>,
}

/// TLS of a listener.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListenerTls {
    /// Whether it ends here.
    pub mode: ListenerTlsMode,
    /// Certificates.
    pub certificate_refs: Vec<ObjectRef>,
    /// The certificates of clients, as older versions have it.
    pub frontend_validation: Option<FrontendValidation>,
    /// What the API does not have.
    pub options: BTreeMap<String, String>,
}

/// Whether TLS ends at a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum ListenerTlsMode {
    /// It does.
    #[default]
    Terminate,
    /// It is passed on as it is.
    Passthrough,
}

/// Which routes may be attached.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AllowedRoutes {
    /// Of which namespaces.
    pub namespaces: NamespacePolicy,
    /// Of which kinds; none: those the protocol has.
    pub kinds: Vec<RouteGroupKind>,
}

/// Namespaces.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NamespacePolicy {
    /// Which; none: for routes the same, for listeners none.
    pub from: Option<FromNamespaces>,
    /// Those with these labels, if that is which.
    pub selector: Option<LabelSelector>,
}

/// Which namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum FromNamespaces {
    /// All.
    All,
    /// That of the gateway.
    Same,
    /// Those with some labels.
    Selector,
    /// None.
    None,
}

/// Things by their labels; all of it must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelector {
    /// Labels there must be.
    pub match_labels: BTreeMap<String, String>,
    /// Other conditions.
    pub match_expressions: Vec<LabelRequirement>,
}

/// A condition on a label.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LabelRequirement {
    /// The label.
    pub key: String,
    /// The condition.
    pub operator: LabelOperator,
    /// What with.
    #[serde(default)]
    pub values: Vec<String>,
}

/// A condition on a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum LabelOperator {
    /// It is one of some values.
    In,
    /// It is none of some values.
    NotIn,
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
}

/// A kind of route.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteGroupKind {
    /// API group.
    pub group: String,
    /// Kind.
    pub kind: String,
}

impl Default for RouteGroupKind {
    fn default() -> Self {
        Self { group: super::GROUP.to_owned(), kind: String::new() }
    }
}

/// An address it is to have.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayAddress {
    /// `IPAddress` (which empty means), `Hostname`, or somebody else's word.
    #[serde(rename = "type")]
    pub kind: String,
    /// The address.
    pub value: String,
}

/// Of what is made for a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Infrastructure {
    /// Labels of all of it.
    pub labels: BTreeMap<String, String>,
    /// Annotations of all of it.
    pub annotations: BTreeMap<String, String>,
    /// Where there is more to say: a ConfigMap.
    pub parameters_ref: Option<LocalReference>,
}

/// Who may add listeners.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AllowedListeners {
    /// Objects of these namespaces.
    pub namespaces: NamespacePolicy,
}

/// TLS, over all listeners.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayTls {
    /// Towards services.
    pub backend: Option<BackendClientCertificate>,
    /// Towards clients.
    pub frontend: Option<FrontendTls>,
}

/// TLS towards services.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackendClientCertificate {
    /// The certificate shown.
    pub client_certificate_ref: Option<ObjectRef>,
}

/// TLS towards clients.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FrontendTls {
    /// On all ports.
    pub default: Option<PortTls>,
    /// On some, in its place.
    pub per_port: Vec<PortFrontendTls>,
}

/// TLS towards clients on one port.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PortFrontendTls {
    /// The port.
    pub port: u16,
    /// How.
    pub tls: PortTls,
}

/// How certificates of clients are judged.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PortTls {
    /// How.
    pub validation: Option<FrontendValidation>,
}

/// How certificates of clients are judged.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FrontendValidation {
    /// The authorities that are believed.
    pub ca_certificate_refs: Vec<ObjectRef>,
    /// What becomes of those that are not valid.
    pub mode: FrontendValidationMode,
}

/// What becomes of clients without a valid certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum FrontendValidationMode {
    /// They are refused.
    #[default]
    AllowValidOnly,
    /// They are not.
    AllowInsecureFallback,
}
