//! A process's certificates and trust: from an authority of its own machine, or from the control plane's.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::{
    BundleError, CaOptions, CertificateAuthority, CertificateSource, CertificateStore, Clock, OpenError, StoreOptions,
    TlsConfigs, TrustBundle,
};

/// Certificates and trust. Clones are the same.
#[derive(Clone)]
pub struct Identities {
    /// Certificates of the identities served here.
    pub certificates: Arc<CertificateStore>,
    /// Whom their peers' certificates may come from.
    pub bundle: Arc<TrustBundle>,
    /// Both, as TLS wants them.
    pub tls: Arc<TlsConfigs>,
}

/// What certificates are like.
#[derive(Debug, Clone)]
pub struct IdentityOptions {
    /// First part of every identity.
    pub trust_domain: Arc<str>,
    /// Lifetime of certificates.
    pub lifetime: Duration,
}

/// Why there can be no identities.
#[derive(Debug, thiserror::Error)]
pub enum IdentitiesError {
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

impl Identities {
    /// Opens the authority in the state folder, shared by the programs of a machine that use it, and makes it if
    /// there is none. Renewals run on `runtime`.
    ///
    /// # Errors
    /// If folder or authority cannot be opened.
    pub fn embedded(state: &Path, options: &IdentityOptions, runtime: Handle) -> Result<Self, IdentitiesError> {
        std::fs::create_dir_all(state)
            .map_err(|source| IdentitiesError::State { path: state.to_path_buf(), source })?;
        let ca = CertificateAuthority::open_or_create(state, CaOptions::new(Arc::clone(&options.trust_domain)))?;
        let bundle = TrustBundle::load(&CertificateAuthority::roots_path(state))?;
        Ok(Self::new(Arc::new(ca), Arc::new(bundle), options, runtime))
    }

    /// Has certificates from `authority`, and believes those of `bundle`.
    #[must_use]
    pub fn remote(
        authority: impl CertificateSource,
        bundle: Arc<TrustBundle>,
        options: &IdentityOptions,
        runtime: Handle,
    ) -> Self {
        Self::new(Arc::new(authority), bundle, options, runtime)
    }

    fn new(
        source: Arc<dyn CertificateSource>,
        bundle: Arc<TrustBundle>,
        options: &IdentityOptions,
        runtime: Handle,
    ) -> Self {
        let store = StoreOptions { lifetime: options.lifetime, clock: Clock::default() };
        let certificates = Arc::new(CertificateStore::new(source, store, runtime));
        let trust_domain = Arc::clone(&options.trust_domain);
        let tls = Arc::new(TlsConfigs::new(Arc::clone(&certificates), Arc::clone(&bundle), trust_domain));
        Self { certificates, bundle, tls }
    }
}
