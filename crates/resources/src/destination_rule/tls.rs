//! Whether and how connections to endpoints are TLS.

use serde::Deserialize;

/// Whether and how connections to endpoints are TLS.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct ClientTls {
    /// Whether.
    pub mode: TlsMode,
    /// The file with our certificate.
    pub client_certificate: String,
    /// The file with its key.
    pub private_key: String,
    /// The file with the authorities that are believed.
    pub ca_certificates: String,
    /// The Secret or ConfigMap with all of these, in their place.
    pub credential_name: String,
    /// The names of which the certificate shown must have one.
    pub subject_alt_names: Vec<String>,
    /// The name that is asked for.
    pub sni: String,
    /// Whether any certificate is believed.
    pub insecure_skip_verify: Option<bool>,
    /// The file with certificates that are believed no more.
    pub ca_crl: String,
}

/// Whether a connection is TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TlsMode {
    /// It is not.
    #[default]
    Disable,
    /// It is, and the endpoint shows a certificate.
    Simple,
    /// It is, and both sides show one.
    Mutual,
    /// It is, and both sides show those of the mesh.
    IstioMutual,
}
