//! TLS configurations of the tunnel.

#[cfg(test)]
mod tests;
mod verifier;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ambit_model::Identity;
use rustls::client::Resumption;
use rustls::server::NoServerSessionStorage;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};

use crate::bundle::{Roots, TrustBundle};
use crate::certificate::WorkloadCertificate;
use crate::clock::Clock;
use crate::provider::crypto_provider;
use crate::store::{CertificateStore, CertificateUnavailable};
use verifier::{ClientVerifier, ServerVerifier};

/// What both ends must speak inside of TLS.
pub(crate) const ALPN_H2: &[u8] = b"h2";
/// Most destinations remembered per identity. Beyond, all are forgotten and come back as they are used.
const MAX_CLIENT_CONFIGS: usize = 4096;

/// TLS configurations for every identity served here: TLS 1.3 with certificates at both ends, HTTP/2
/// inside, no resumption. They are made once, and again when the certificate or the trust bundle changed:
/// ask anew for every connection, it costs a look-up. The same configuration again (by pointer) means
/// that nothing has changed.
pub struct TlsConfigs {
    store: Arc<CertificateStore>,
    bundle: Arc<TrustBundle>,
    trust_domain: Arc<str>,
    cache: Mutex<HashMap<Identity, Configs>>,
}

/// Configurations of one identity.
struct Configs {
    certificate: Arc<WorkloadCertificate>,
    roots: Arc<Roots>,
    server: Arc<ServerConfig>,
    clients: HashMap<Box<[Identity]>, Arc<ClientConfig>>,
}

impl TlsConfigs {
    /// Configurations that show the store's certificates and believe the bundle's.
    #[must_use]
    pub fn new(store: Arc<CertificateStore>, bundle: Arc<TrustBundle>, trust_domain: impl Into<Arc<str>>) -> Self {
        Self { store, bundle, trust_domain: trust_domain.into(), cache: Mutex::default() }
    }

    /// For connecting as `identity` to a peer that must be one of `expected` (in the order they are
    /// always given: another order is another configuration). Server names are neither sent nor
    /// checked; give rustls the peer's address for one.
    ///
    /// # Errors
    /// When there is no certificate to show.
    pub async fn client_config(
        &self,
        identity: &Identity,
        expected: &[Identity],
    ) -> Result<Arc<ClientConfig>, CertificateUnavailable> {
        let certificate = self.store.certificate(identity).await?;
        Ok(self.with(certificate, |configs, clock| configs.client(expected, clock)))
    }

    /// For accepting as `identity`. Clients must show a certificate of our trust domain; whether they
    /// may connect is for policy to say.
    ///
    /// # Errors
    /// When there is no certificate to show.
    pub async fn server_config(&self, identity: &Identity) -> Result<Arc<ServerConfig>, CertificateUnavailable> {
        let certificate = self.store.certificate(identity).await?;
        Ok(self.with(certificate, |configs, _| Arc::clone(&configs.server)))
    }

    /// Waits for the next change of the trust bundle after this call.
    pub fn trust_changed(&self) -> impl Future<Output = ()> + use<> {
        let mut changes = self.bundle.changes();
        async move {
            // A bundle that is gone changes no more.
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// The clock that certificates are judged by.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.store.clock()
    }

    /// Forgets, with their keys, the identities for which `keep` says no. Open connections stay.
    pub fn retain(&self, keep: impl Fn(&Identity) -> bool) {
        self.store.retain(&keep);
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).retain(|identity, _| keep(identity));
    }

    /// The configurations that go with this certificate and the roots in force.
    fn with<T>(&self, certificate: Arc<WorkloadCertificate>, take: impl FnOnce(&mut Configs, Clock) -> T) -> T {
        let clock = self.store.clock();
        let roots = self.bundle.roots();
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(configs) = cache.get_mut(certificate.identity())
            && configs.are_of(&certificate, &roots)
        {
            return take(configs, clock);
        }
        let server = Arc::new(server_config(&certificate, &roots, &self.trust_domain, clock));
        let identity = certificate.identity().clone();
        let mut configs = Configs { certificate, roots, server, clients: HashMap::new() };
        let taken = take(&mut configs, clock);
        cache.insert(identity, configs);
        taken
    }
}

impl Configs {
    fn are_of(&self, certificate: &Arc<WorkloadCertificate>, roots: &Arc<Roots>) -> bool {
        Arc::ptr_eq(&self.certificate, certificate) && Arc::ptr_eq(&self.roots, roots)
    }

    fn client(&mut self, expected: &[Identity], clock: Clock) -> Arc<ClientConfig> {
        if let Some(config) = self.clients.get(expected) {
            return Arc::clone(config);
        }
        if self.clients.len() >= MAX_CLIENT_CONFIGS {
            self.clients.clear();
        }
        let config = Arc::new(client_config(&self.certificate, &self.roots, expected, clock));
        self.clients.insert(expected.into(), Arc::clone(&config));
        config
    }
}

#[expect(clippy::expect_used, reason = "the provider is a constant of this crate, and every test makes a config of it")]
fn client_config(
    certificate: &WorkloadCertificate,
    roots: &Arc<Roots>,
    expected: &[Identity],
    clock: Clock,
) -> ClientConfig {
    let verifier = ServerVerifier { roots: Arc::clone(roots), expected: expected.into() };
    let mut config = ClientConfig::builder_with_details(Arc::clone(crypto_provider()), Arc::new(clock))
        .with_protocol_versions(&[&TLS13])
        .expect("crypto_provider() has suites and groups of TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(certificate.resolver());
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    config.enable_sni = false;
    config.resumption = Resumption::disabled();
    config
}

#[expect(clippy::expect_used, reason = "the provider is a constant of this crate, and every test makes a config of it")]
fn server_config(
    certificate: &WorkloadCertificate,
    roots: &Roots,
    trust_domain: &Arc<str>,
    clock: Clock,
) -> ServerConfig {
    let verifier = ClientVerifier { chain: Arc::clone(&roots.client_verifier), trust_domain: Arc::clone(trust_domain) };
    let mut config = ServerConfig::builder_with_details(Arc::clone(crypto_provider()), Arc::new(clock))
        .with_protocol_versions(&[&TLS13])
        .expect("crypto_provider() has suites and groups of TLS 1.3")
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(certificate.resolver());
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    // A ticket would let a peer in again without its certificate being looked at.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config
}
