//! BackendTLSPolicy.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::LocalReference;
use crate::Metadata;

/// Connections to some services are TLS.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct BackendTlsPolicy {
    /// Metadata.
    pub metadata: Metadata,
    /// What it says.
    pub spec: BackendTlsPolicySpec,
}

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackendTlsPolicySpec {
    /// The services.
    pub target_refs: Vec<BackendTlsTarget>,
    /// How their certificates are judged.
    pub validation: BackendTlsValidation,
    /// What the API does not have.
    pub options: BTreeMap<String, String>,
}

/// A service of the same namespace, or one port of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackendTlsTarget {
    /// API group; empty for Kubernetes' core.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// The port's name; none: all.
    pub section_name: Option<String>,
}

/// How certificates of a service are judged.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BackendTlsValidation {
    /// The authorities that are believed: ConfigMaps with `ca.crt`.
    pub ca_certificate_refs: Vec<LocalReference>,
    /// Or `System`, for those of the system.
    #[serde(rename = "wellKnownCACertificates")]
    pub well_known_ca_certificates: Option<String>,
    /// The name that is asked for, and that the certificate must have unless there are others.
    pub hostname: String,
    /// The names of which it must have one.
    pub subject_alt_names: Vec<SubjectAltName>,
}

/// A name in a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubjectAltName {
    /// Of which sort; which of the fields is meant.
    #[serde(rename = "type")]
    pub kind: SubjectAltNameType,
    /// A host.
    pub hostname: Option<String>,
    /// A URI: an identity.
    pub uri: Option<String>,
}

/// A sort of names in certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum SubjectAltNameType {
    /// A host.
    #[default]
    Hostname,
    /// A URI.
    #[serde(rename = "URI")]
    Uri,
}
