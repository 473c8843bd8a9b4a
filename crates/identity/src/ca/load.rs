//! An authority from PEM texts, checked.

#[cfg(test)]
mod tests;

use rcgen::{Issuer, KeyPair, PublicKeyData};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::{CaOptions, CertificateAuthority};

/// Why PEM texts are no authority.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The key cannot be read.
    #[error("the key cannot be read: it must be PEM of PKCS#8, SEC 1 or PKCS#1, of a kind that can sign")]
    Key(#[source] rcgen::Error),
    /// The chain is no PEM.
    #[error("the certificate chain is not valid PEM")]
    Pem(#[source] pem::Error),
    /// The chain has no certificate.
    #[error("the certificate chain holds no certificate")]
    Empty,
    /// The first certificate is not X.509.
    #[error("the signing certificate cannot be read")]
    Malformed,
    /// The first certificate has something that cannot be passed on to what it signs.
    #[error("the signing certificate cannot be used")]
    Certificate(#[source] rcgen::Error),
    /// The first certificate may not sign others.
    #[error("the signing certificate is not an authority's")]
    NotAnAuthority,
    /// The first certificate and the key do not belong together.
    #[error("the signing certificate is of another key")]
    OtherKey,
}

pub(super) fn from_pem(chain: &str, key: &str, options: CaOptions) -> Result<CertificateAuthority, LoadError> {
    let key = KeyPair::from_pem(key).map_err(LoadError::Key)?;
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<_, _>>().map_err(LoadError::Pem)?;
    let signing = chain.first().ok_or(LoadError::Empty)?;
    let (_, x509) = X509Certificate::from_der(signing).map_err(|_| LoadError::Malformed)?;
    if !may_sign(&x509) {
        return Err(LoadError::NotAnAuthority);
    }
    if x509.public_key().raw != key.subject_public_key_info() {
        return Err(LoadError::OtherKey);
    }
    let not_after = x509.validity().not_after.to_datetime().into();
    let issuer = Issuer::from_ca_cert_der(signing, key).map_err(LoadError::Certificate)?;
    Ok(CertificateAuthority { issuer, intermediates: intermediates(&chain), not_after, options })
}

fn may_sign(x509: &X509Certificate<'_>) -> bool {
    // An absent extension forbids nothing (RFC 5280 §4.2.1.3); one that cannot be read is no permission.
    let usage = x509.key_usage().map(|usage| usage.is_none_or(|usage| usage.value.key_cert_sign()));
    x509.is_ca() && usage.unwrap_or(false)
}

/// What goes along with a leaf: no root, and nothing twice.
fn intermediates(chain: &[CertificateDer<'static>]) -> Vec<CertificateDer<'static>> {
    let mut kept: Vec<CertificateDer<'static>> = Vec::new();
    for certificate in chain {
        if !is_root(certificate) && !kept.contains(certificate) {
            kept.push(certificate.clone());
        }
    }
    kept
}

fn is_root(certificate: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(certificate).is_ok_and(|(_, x509)| x509.subject() == x509.issuer())
}
