//! GatewayClass.

use serde::Deserialize;

use crate::Metadata;

/// A class of gateways.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct GatewayClass {
    /// Metadata.
    pub metadata: Metadata,
    /// What it says.
    pub spec: GatewayClassSpec,
}

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewayClassSpec {
    /// Whose gateways they are.
    pub controller_name: String,
    /// Where there is more to say of all of them.
    pub parameters_ref: Option<ParametersReference>,
    /// For people.
    pub description: String,
}

/// Where there is more to say of all gateways of a class.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ParametersReference {
    /// API group; empty for Kubernetes' core.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Namespace, for kinds that live in one.
    pub namespace: Option<String>,
}
