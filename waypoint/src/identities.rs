//! The waypoint's certificate and trust, from the embedded authority that the programs of a machine share.

use std::path::PathBuf;
use std::sync::Arc;

use ambit_identity::{
    BundleError, CaOptions, CertificateAuthority, CertificateStore, Clock, OpenError, StoreOptions, TlsConfigs,
    TrustBundle,
};
use tokio::runtime::Handle;

use crate::config::IdentityConfig;

/// Why there can be no identities.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentitiesError {
    /// The state folder.
    #[error("cannot make the state folder {}", path.display())]
    State {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The authority.
    #[error(transparent)]
    Ca(#[from] OpenError),
    /// Who is trusted.
    #[error(transparent)]
    Bundle(#[from] BundleError),
}

/// Certificates and trust.
#[derive(Clone)]
pub(crate) struct Identities {
    /// Our certificate.
    pub(crate) certificates: Arc<CertificateStore>,
    /// Whom our peers' certificates may come from.
    pub(crate) bundle: Arc<TrustBundle>,
    /// Both, as TLS wants them.
    pub(crate) tls: Arc<TlsConfigs>,
}

impl Identities {
    /// Opens the authority in the state folder, making it if there is none. Renewals run on `runtime`.
    pub(crate) fn embedded(config: &IdentityConfig, runtime: Handle) -> Result<Self, IdentitiesError> {
        std::fs::create_dir_all(&config.state)
            .map_err(|source| IdentitiesError::State { path: config.state.clone(), source })?;
        let trust_domain = Arc::clone(&config.trust_domain);
        let ca = CertificateAuthority::open_or_create(&config.state, CaOptions::new(Arc::clone(&trust_domain)))?;
        let bundle = Arc::new(TrustBundle::load(&CertificateAuthority::roots_path(&config.state))?);
        let options = StoreOptions { lifetime: config.lifetime, clock: Clock::default() };
        let certificates = Arc::new(CertificateStore::new(Arc::new(ca), options, runtime));
        let tls = Arc::new(TlsConfigs::new(Arc::clone(&certificates), Arc::clone(&bundle), trust_domain));
        Ok(Self { certificates, bundle, tls })
    }
}
