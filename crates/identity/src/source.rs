//! Where certificates come from.

use std::error::Error;
use std::pin::Pin;
use std::time::Duration;

use ambit_model::Identity;
use pem::{EncodeConfig, LineEnding, Pem};
use rcgen::{
    CertificateParams, CertificateSigningRequest, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls::pki_types::CertificateDer;

use crate::ca::IssueError;
use crate::certificate::ChainError;

/// Who issues certificates: [`crate::CertificateAuthority`], or a client of the control plane's authority.
pub trait CertificateSource: Send + Sync + 'static {
    /// Has `request` signed. The store checks what comes back, bounds the time and repeats.
    fn fetch<'a>(&'a self, request: &'a SigningRequest) -> FetchFuture<'a>;
}

/// What [`CertificateSource::fetch`] returns.
pub type FetchFuture<'a> = Pin<Box<dyn Future<Output = Result<IssuedChain, FetchError>> + Send + 'a>>;

/// A request to certify a key that never leaves this process.
#[derive(Debug)]
pub struct SigningRequest {
    /// The identity asked for.
    pub identity: Identity,
    /// PKCS#10: one URI name, no subject.
    pub csr: CertificateSigningRequest,
    /// For how long the certificate shall be valid; the authority may shorten it.
    pub lifetime: Duration,
}

impl SigningRequest {
    /// Makes a fresh ECDSA P-256 key and the request for it.
    pub(crate) fn generate(identity: Identity, lifetime: Duration) -> Result<(KeyPair, Self), rcgen::Error> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![SanType::URI(identity.to_string().try_into()?)];
        let csr = params.serialize_request(&key)?;
        Ok((key, Self { identity, csr, lifetime }))
    }
}

/// A signed chain: the leaf first, then intermediates, without the root.
#[derive(Debug, Clone)]
pub struct IssuedChain(pub Vec<CertificateDer<'static>>);

impl IssuedChain {
    /// Each certificate as a PEM text of its own, in order.
    pub fn pems(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|certificate| pem_of(std::slice::from_ref(certificate)))
    }
}

/// Certificates as one PEM text.
pub(crate) fn pem_of(certificates: &[CertificateDer<'_>]) -> String {
    let blocks: Vec<Pem> = certificates.iter().map(|der| Pem::new("CERTIFICATE", der.to_vec())).collect();
    pem::encode_many_config(&blocks, EncodeConfig::new().set_line_ending(LineEnding::LF))
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No key or request could be made.
    #[error("cannot make a key and a signing request")]
    Key(#[from] rcgen::Error),
    /// The authority in this process refused.
    #[error("the certificate authority refused")]
    Refused(#[from] IssueError),
    /// The authority did not answer, or with an error of its protocol.
    #[error("the certificate authority failed")]
    Remote(#[source] Box<dyn Error + Send + Sync>),
    /// The authority took too long.
    #[error("the certificate authority did not answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// The authority sent something else than was asked for.
    #[error("the certificate authority sent a wrong certificate")]
    Chain(#[from] ChainError),
}
