//! The certificate authority: its key is in memory, and comes from a folder (standalone mode) or from
//! PEM that the control plane keeps in a Secret.

mod files;
mod load;
mod root;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ambit_model::Identity;
use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DistinguishedName, ExtendedKeyUsagePurpose, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, PKCS_RSA_SHA384,
    PKCS_RSA_SHA512, PublicKey, PublicKeyData, SanType, SerialNumber,
};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, UnixTime};

pub use files::OpenError;
pub use load::LoadError;
pub use root::{GenerateError, NewRoot};

use crate::bundle::Roots;
use crate::clock::Clock;
use crate::source::{CertificateSource, FetchFuture, IssuedChain, SigningRequest};

/// Settings of a [`CertificateAuthority`].
#[derive(Debug, Clone)]
pub struct CaOptions {
    /// The only trust domain it issues for.
    pub trust_domain: Arc<str>,
    /// How far before its issue a certificate becomes valid, so that a peer whose clock is behind by
    /// as much accepts it. 10 s by default: machines of one mesh run NTP.
    pub backdate: Duration,
    /// Where "now" comes from.
    pub clock: Clock,
}

impl CaOptions {
    /// The defaults, for `trust_domain`.
    #[must_use]
    pub fn new(trust_domain: impl Into<Arc<str>>) -> Self {
        Self { trust_domain: trust_domain.into(), backdate: Duration::from_secs(10), clock: Clock::default() }
    }
}

/// A certificate authority whose key is in memory. The key may be of any kind that can sign (P-256,
/// P-384, P-521, RSA, Ed25519); what it certifies is of a kind that every peer can check.
#[derive(Debug)]
pub struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    /// Sent along with every leaf; empty where the signing certificate is itself the root.
    intermediates: Vec<CertificateDer<'static>>,
    not_after: SystemTime,
    options: CaOptions,
}

/// What [`CertificateAuthority::sign`] writes into a certificate.
#[derive(Debug, Clone)]
pub struct LeafTemplate {
    /// URI names.
    pub uris: Vec<String>,
    /// DNS names; a workload's certificate has none.
    pub dns_names: Vec<String>,
    /// Start of its validity.
    pub not_before: SystemTime,
    /// End of its validity.
    pub not_after: SystemTime,
}

/// Why the authority does not sign.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The request is no PEM.
    #[error("the signing request is not valid PEM")]
    Pem(#[source] pem::Error),
    /// The request cannot be read, or is not signed with the key it is for.
    #[error("the signing request is not valid")]
    Request(#[source] rcgen::Error),
    /// The key is of a kind that is not certified.
    #[error("the key of the signing request is none of ECDSA P-256, ECDSA P-384, Ed25519 and RSA")]
    KeyType,
    /// The request names something else than the identity asked for.
    #[error("the signing request is not for {identity} and nothing else")]
    Names {
        /// The identity asked for.
        identity: Identity,
    },
    /// The identity is of another trust domain.
    #[error("{identity} is not of the trust domain {trust_domain}")]
    TrustDomain {
        /// The identity asked for.
        identity: Identity,
        /// The trust domain of this authority.
        trust_domain: Arc<str>,
    },
    /// The authority's own certificate has expired.
    #[error(
        "the authority's own certificate has expired: replace its key and certificate, and add the new root to the trust bundle"
    )]
    Expired,
    /// The signature could not be made.
    #[error("cannot sign")]
    Sign(#[source] rcgen::Error),
}

/// Why nobody would believe what an authority signs.
#[derive(Debug, thiserror::Error)]
pub enum NotTrusted {
    /// It cannot sign at all.
    #[error("the authority cannot sign")]
    Sign(#[from] IssueError),
    /// The trust bundle does not lead to what it signs.
    #[error(
        "what the authority signs is not trusted by its own trust bundle: the root of its chain is missing there, or one certificate of the chain has expired or may not sign"
    )]
    Chain(#[source] rustls::Error),
}

impl CertificateAuthority {
    /// The authority of this `key` and `chain`: the certificate that signs, then its issuers (in any
    /// order, repetitions and roots are left out).
    ///
    /// # Errors
    /// When one of them cannot be read, or the first certificate is not an authority's or of another key.
    pub fn from_pem(chain: &str, key: &str, options: CaOptions) -> Result<Self, LoadError> {
        load::from_pem(chain, key, options)
    }

    /// Opens the authority in `<dir>/ca`, or makes one if that folder does not exist: `ca.key` (PKCS#8),
    /// `ca.crt` (the certificate that signs, then its issuers) and `roots.pem` (what is trusted).
    /// Any number of processes may do so at once and get the same authority.
    ///
    /// # Errors
    /// When a file is missing, unreadable, not the other's match, or the key can be read by others. What
    /// is there is never replaced.
    pub fn open_or_create(dir: &Path, options: CaOptions) -> Result<Self, OpenError> {
        files::open_or_create(dir, options)
    }

    /// Where [`Self::open_or_create`] keeps the trust bundle of `dir`. Roots may be added to it, or it
    /// may be replaced, at any time; see [`crate::TrustBundle`].
    #[must_use]
    pub fn roots_path(dir: &Path) -> PathBuf {
        dir.join(files::DIR).join(files::ROOTS_FILE)
    }

    /// Whether those who trust `roots` believe what this authority signs now. Tried, not guessed: a
    /// throw-away certificate is signed and looked at as a peer would.
    ///
    /// # Errors
    /// When they do not.
    pub fn check_trusted_by(&self, roots: &Roots) -> Result<(), NotTrusted> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(IssueError::Sign)?;
        let now = self.options.clock.now();
        let probe = LeafTemplate {
            uris: vec![Identity::new(Arc::clone(&self.options.trust_domain), "default", "default").to_string()],
            dns_names: Vec::new(),
            not_before: now - self.options.backdate,
            not_after: self.not_after.max(now),
        };
        let IssuedChain(chain) = self.sign(&key, &probe)?;
        let now = UnixTime::since_unix_epoch(now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
        let verified = match &chain[..] {
            [leaf, intermediates @ ..] => roots.client_verifier.verify_client_cert(leaf, intermediates, now),
            [] => Err(rustls::Error::NoCertificatesPresented),
        };
        verified.map(|_| ()).map_err(NotTrusted::Chain)
    }

    /// When the signing certificate ends; no certificate outlives it.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// The settings it was made with.
    #[must_use]
    pub fn options(&self) -> &CaOptions {
        &self.options
    }

    /// Certifies the key of `csr` for `identity`, for at most `lifetime`. This is the only way for
    /// requests; whether the asker may have this identity is for the caller to know. The request names
    /// the identity, or nobody.
    ///
    /// # Errors
    /// When the request is not validly signed, is for another key type or other names, or is out of
    /// this authority's trust domain or time.
    pub fn issue_pem(&self, csr: &str, identity: &Identity, lifetime: Duration) -> Result<IssuedChain, IssueError> {
        let csr = CertificateSigningRequestDer::from_pem_slice(csr.as_bytes()).map_err(IssueError::Pem)?;
        self.issue(&csr, identity, lifetime)
    }

    /// [`Self::issue_pem`] of a request in DER.
    ///
    /// # Errors
    /// When the request is not validly signed, is for another key type or other names, or is out of
    /// this authority's trust domain or time.
    pub fn issue(
        &self,
        csr: &CertificateSigningRequestDer<'_>,
        identity: &Identity,
        lifetime: Duration,
    ) -> Result<IssuedChain, IssueError> {
        if identity.trust_domain() != &*self.options.trust_domain {
            let trust_domain = Arc::clone(&self.options.trust_domain);
            return Err(IssueError::TrustDomain { identity: identity.clone(), trust_domain });
        }
        let request = CertificateSigningRequestParams::from_der(csr).map_err(IssueError::Request)?;
        let key = &request.public_key;
        if !is_certified(key) {
            return Err(IssueError::KeyType);
        }
        let uri = identity.to_string();
        let names_it_alone = match &request.params.subject_alt_names[..] {
            [] => true,
            [SanType::URI(asked)] => asked.as_str() == uri,
            _ => false,
        };
        if !names_it_alone {
            return Err(IssueError::Names { identity: identity.clone() });
        }
        let now = self.options.clock.now();
        if self.not_after <= now {
            return Err(IssueError::Expired);
        }
        self.sign(
            key,
            &LeafTemplate {
                uris: vec![uri],
                dns_names: Vec::new(),
                not_before: now - self.options.backdate,
                // The lifetime may be a peer's, and no time at all when added.
                not_after: now.checked_add(lifetime).map_or(self.not_after, |end| end.min(self.not_after)),
            },
        )
    }

    /// Signs what it is told, **unchecked**: the last step of [`Self::issue`], and the way for a test to
    /// get the certificates that the mesh must refuse (expired, too early, of another mesh, of two names).
    ///
    /// # Errors
    /// When a name is not ASCII.
    pub fn sign(&self, key: &impl PublicKeyData, template: &LeafTemplate) -> Result<IssuedChain, IssueError> {
        let certificate = params(template).and_then(|params| params.signed_by(key, &self.issuer));
        let leaf = certificate.map_err(IssueError::Sign)?.der().clone();
        Ok(IssuedChain(std::iter::once(leaf).chain(self.intermediates.iter().cloned()).collect()))
    }
}

/// Whether a key is of a kind that every peer can check. Agents ask with P-256, the field's sidecars with RSA: of
/// 2048 bits at least, or what its request is signed with was not accepted.
fn is_certified(key: &PublicKey) -> bool {
    let (kind, length) = (key.algorithm(), key.der_bytes().len());
    // The kind is what rcgen takes for it by the request's signature: P-384 signed with SHA-256 would pass for
    // P-256, but for the length of its point (SEC 1 §2.3.3).
    let curves = [(&PKCS_ECDSA_P256_SHA256, 65), (&PKCS_ECDSA_P384_SHA384, 97), (&PKCS_ED25519, 32)];
    curves.contains(&(kind, length)) || [&PKCS_RSA_SHA256, &PKCS_RSA_SHA384, &PKCS_RSA_SHA512].contains(&kind)
}

fn params(template: &LeafTemplate) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.not_before = template.not_before.into();
    params.not_after = template.not_after.into();
    params.serial_number = Some(serial());
    for uri in &template.uris {
        params.subject_alt_names.push(SanType::URI(uri.as_str().try_into()?));
    }
    for dns in &template.dns_names {
        params.subject_alt_names.push(SanType::DnsName(dns.as_str().try_into()?));
    }
    // An empty subject makes the names critical (RFC 5280 §4.2.1.6).
    params.distinguished_name = DistinguishedName::new();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// 127 random bits: positive, and never the same again.
fn serial() -> SerialNumber {
    let bits: u128 = rand::random();
    SerialNumber::from_slice(&(bits >> 1).to_be_bytes())
}

impl CertificateSource for CertificateAuthority {
    fn fetch<'a>(&'a self, request: &'a SigningRequest) -> FetchFuture<'a> {
        Box::pin(async { Ok(self.issue(request.csr.der(), &request.identity, request.lifetime)?) })
    }
}
