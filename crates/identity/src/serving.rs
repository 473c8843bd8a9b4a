//! The way to the control plane: its own serving certificate, and how agents check it.
//!
//! TLS 1.3; only the server has a certificate, the client's proof is its token.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::client::{Resumption, VerifierBuilderError, WebPkiServerVerifier};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};
use tokio::sync::watch;

use crate::bundle::Roots;
use crate::ca::{CertificateAuthority, IssueError, LeafTemplate};
use crate::clock::Clock;
use crate::provider::crypto_provider;
use crate::source::IssuedChain;
use crate::store::DEFAULT_LIFETIME;
use crate::tls::ALPN_H2;

/// After a failed renewal the certificate in use is shown for this long before the next attempt.
const RETRY: Duration = Duration::from_secs(10);

/// Why there is no serving certificate.
#[derive(Debug, thiserror::Error)]
pub enum ServingError {
    /// No key could be made.
    #[error("cannot make a key for the serving certificate")]
    Key(#[source] rcgen::Error),
    /// The authority does not sign.
    #[error("the authority does not sign the serving certificate")]
    Issue(#[from] IssueError),
    /// The TLS library does not take key and certificate.
    #[error("the serving certificate cannot be used")]
    Tls(#[source] rustls::Error),
}

/// For serving under these DNS names with a certificate of our own authority. It is made anew, by the
/// first handshake that finds it due, when half of its life is over or the authority is another: there is
/// no task to run, and the configuration is good for as long as the process.
///
/// It offers HTTP/2; change `alpn_protocols` for anything else.
///
/// # Errors
/// When there is no certificate to begin with.
#[expect(clippy::expect_used, reason = "the provider is a constant of this crate, and every test makes a config of it")]
pub fn serving_config(
    names: Vec<String>,
    authority: watch::Receiver<Arc<CertificateAuthority>>,
) -> Result<ServerConfig, ServingError> {
    let signer = Arc::clone(&authority.borrow());
    let clock = signer.options().clock;
    let current = Mutex::new(Current::issue(&names, signer)?);
    let mut config = ServerConfig::builder_with_details(Arc::clone(crypto_provider()), Arc::new(clock))
        .with_protocol_versions(&[&TLS13])
        .expect("crypto_provider() has suites and groups of TLS 1.3")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Serving { names, authority, current }));
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    // Who connects again looks at the certificate again.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// For connecting to the control plane: its certificate must lead to one of `roots` and bear the DNS
/// name that rustls is given for the connection. Make it for each connection, of the roots then in force.
///
/// # Errors
/// When the TLS library does not take the roots.
#[expect(clippy::expect_used, reason = "the provider is a constant of this crate, and every test makes a config of it")]
pub fn control_plane_client_config(roots: &Roots, clock: Clock) -> Result<Arc<ClientConfig>, VerifierBuilderError> {
    let provider = Arc::clone(crypto_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots.anchors), provider).build()?;
    let mut config = ClientConfig::builder_with_details(Arc::clone(crypto_provider()), Arc::new(clock))
        .with_protocol_versions(&[&TLS13])
        .expect("crypto_provider() has suites and groups of TLS 1.3")
        .with_webpki_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Picks the certificate of each handshake.
struct Serving {
    names: Vec<String>,
    authority: watch::Receiver<Arc<CertificateAuthority>>,
    current: Mutex<Current>,
}

/// The certificate in use.
struct Current {
    key: Arc<CertifiedKey>,
    signer: Arc<CertificateAuthority>,
    renew_at: SystemTime,
}

impl Current {
    fn issue(names: &[String], signer: Arc<CertificateAuthority>) -> Result<Self, ServingError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(ServingError::Key)?;
        let options = signer.options();
        let now = options.clock.now();
        if signer.not_after() <= now {
            return Err(IssueError::Expired.into());
        }
        let not_after = signer.not_after().min(now + DEFAULT_LIFETIME);
        let IssuedChain(chain) = signer.sign(
            &key,
            &LeafTemplate {
                uris: Vec::new(),
                dns_names: names.to_vec(),
                not_before: now - options.backdate,
                not_after,
            },
        )?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let key = CertifiedKey::from_der(chain, key, crypto_provider()).map_err(ServingError::Tls)?;
        let renew_at = now + not_after.duration_since(now).unwrap_or_default() / 2;
        Ok(Self { key: Arc::new(key), signer, renew_at })
    }
}

impl ResolvesServerCert for Serving {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let signer = Arc::clone(&self.authority.borrow());
        let now = signer.options().clock.now();
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&current.signer, &signer) || current.renew_at <= now {
            match Current::issue(&self.names, Arc::clone(&signer)) {
                Ok(issued) => *current = issued,
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "serving certificate not renewed");
                    current.signer = signer;
                    current.renew_at = now + RETRY;
                }
            }
        }
        Some(Arc::clone(&current.key))
    }
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving").field("names", &self.names).finish_non_exhaustive()
    }
}
