//! What is in the Secret.

use std::collections::BTreeMap;
use std::str;
use std::sync::Arc;

use ambit_identity::{BundleError, CaOptions, CertificateAuthority, LoadError, NewRoot, NotTrusted, Roots};
use k8s_openapi::api::core::v1::Secret;

/// The certificate that signs.
const CERTIFICATE: &str = "ca-cert.pem";
/// Its key.
const KEY: &str = "ca-key.pem";
/// Its issuers. May be absent or empty, may begin with the signing certificate and end with a root.
const CHAIN: &str = "cert-chain.pem";
/// All roots of the mesh.
const ROOTS: &str = "root-cert.pem";

/// An authority and those who are trusted.
pub(super) struct Material {
    pub(super) signer: Arc<CertificateAuthority>,
    pub(super) roots: Arc<Roots>,
}

/// Why a Secret is no authority.
#[derive(Debug, thiserror::Error)]
pub(super) enum SecretError {
    /// A key is absent.
    #[error("the Secret has no {0}")]
    Missing(&'static str),
    /// A value is not text.
    #[error("{0} is not text")]
    NotText(&'static str),
    /// Certificate and key are no authority's.
    #[error("{CERTIFICATE}, {KEY} and {CHAIN} are no certificate authority")]
    Authority(#[from] LoadError),
    /// The roots are none.
    #[error("{ROOTS} is no trust bundle")]
    Roots(#[from] BundleError),
    /// They do not belong together.
    #[error("{CERTIFICATE} and {CHAIN} do not lead to a root of {ROOTS}")]
    NotTrusted(#[from] NotTrusted),
}

/// Reads an authority, and tries whether what it signs is believed.
pub(super) fn read(secret: &Secret, options: &CaOptions) -> Result<Material, SecretError> {
    let required = |key| text(secret, key)?.ok_or(SecretError::Missing(key));
    let chain = format!("{}\n{}", required(CERTIFICATE)?, text(secret, CHAIN)?.unwrap_or_default());
    let signer = CertificateAuthority::from_pem(&chain, required(KEY)?, options.clone())?;
    let roots = Roots::from_pem(required(ROOTS)?.as_bytes())?;
    signer.check_trusted_by(&roots)?;
    Ok(Material { signer: Arc::new(signer), roots: Arc::new(roots) })
}

/// The contents for a new authority.
pub(super) fn data(root: NewRoot) -> BTreeMap<String, String> {
    let NewRoot { certificate, key } = root;
    [(CERTIFICATE, certificate.clone()), (KEY, key), (CHAIN, String::new()), (ROOTS, certificate)]
        .map(|(name, text)| (name.to_owned(), text))
        .into()
}

fn text<'a>(secret: &'a Secret, key: &'static str) -> Result<Option<&'a str>, SecretError> {
    let value = secret.data.as_ref().and_then(|data| data.get(key));
    value.map(|value| str::from_utf8(&value.0).map_err(|_| SecretError::NotText(key))).transpose()
}
