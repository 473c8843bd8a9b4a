//! The agent's certificates and trust: from the embedded authority, shared by the agents of a machine, or
//! from the control plane's.

use std::path::PathBuf;
use std::sync::Arc;

use ambit_identity::{
    BundleError, CaOptions, CertificateAuthority, CertificateSource, CertificateStore, Clock, OpenError, StoreOptions,
    TlsConfigs, TrustBundle,
};
use tokio::runtime::Handle;

use crate::config::IdentityConfig;

/// Why there can be no identities.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentitiesError {
    /// The state folder.
    #[error("cannot make the state folder {path}")]
    State {
        /// Which.
        path: String,
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
    /// Certificates of the identities on this node.
    pub(crate) certificates: Arc<CertificateStore>,
    /// Whom their peers' certificates may come from.
    pub(crate) bundle: Arc<TrustBundle>,
    /// Both, as TLS wants them.
    pub(crate) tls: Arc<TlsConfigs>,
}

impl Identities {
    /// Opens the authority in the state folder, making it if there is none. Renewals run on `runtime`.
    pub(crate) fn embedded(config: &IdentityConfig, runtime: Handle) -> Result<Self, IdentitiesError> {
        std::fs::create_dir_all(&config.state)
            .map_err(|source| IdentitiesError::State { path: config.state.display().to_string(), source })?;
        let trust_domain: Arc<str> = config.trust_domain.as_str().into();
        let ca = CertificateAuthority::open_or_create(&config.state, CaOptions::new(trust_domain))?;
        let bundle = TrustBundle::load(&Self::roots_path(config))?;
        Ok(Self::new(config, Arc::new(ca), Arc::new(bundle), runtime))
    }

    /// Where the embedded authority's roots are, which may change.
    pub(crate) fn roots_path(config: &IdentityConfig) -> PathBuf {
        CertificateAuthority::roots_path(&config.state)
    }

    /// Has certificates from `authority`, and believes those of `bundle`.
    pub(crate) fn remote(
        config: &IdentityConfig,
        authority: impl CertificateSource,
        bundle: Arc<TrustBundle>,
        runtime: Handle,
    ) -> Self {
        Self::new(config, Arc::new(authority), bundle, runtime)
    }

    fn new(
        config: &IdentityConfig,
        source: Arc<dyn CertificateSource>,
        bundle: Arc<TrustBundle>,
        runtime: Handle,
    ) -> Self {
        let options = StoreOptions { lifetime: config.lifetime, clock: Clock::default() };
        let certificates = Arc::new(CertificateStore::new(source, options, runtime));
        let trust_domain = config.trust_domain.as_str();
        let tls = Arc::new(TlsConfigs::new(Arc::clone(&certificates), Arc::clone(&bundle), trust_domain));
        Self { certificates, bundle, tls }
    }
}
