//! A mesh of one folder for tests: authority, bundle, store and configurations on tokio's clock.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ambit_model::Identity;
use tempfile::TempDir;
use tokio::runtime::Handle;

use crate::{
    CaOptions, CertificateAuthority, CertificateSource, CertificateStore, Clock, StoreOptions, TlsConfigs, TrustBundle,
};

pub(crate) const TRUST_DOMAIN: &str = "cluster.local";

pub(crate) struct Mesh {
    pub(crate) dir: Arc<TempDir>,
    pub(crate) clock: Clock,
    pub(crate) ca: Arc<CertificateAuthority>,
    pub(crate) store: Arc<CertificateStore>,
    pub(crate) bundle: Arc<TrustBundle>,
    pub(crate) tls: TlsConfigs,
}

impl Mesh {
    pub(crate) fn new() -> Self {
        Self::agent(Arc::new(TempDir::new().unwrap()), Clock::tokio(SystemTime::now()))
    }

    /// Another agent of the same machine, with its own idea of the time.
    pub(crate) fn agent(dir: Arc<TempDir>, clock: Clock) -> Self {
        let ca = Arc::new(open_ca(dir.path(), clock));
        let bundle = Arc::new(TrustBundle::load(&CertificateAuthority::roots_path(dir.path())).unwrap());
        let store = Arc::new(store(Arc::<CertificateAuthority>::clone(&ca), clock));
        let tls = TlsConfigs::new(Arc::clone(&store), Arc::clone(&bundle), TRUST_DOMAIN);
        Self { dir, clock, ca, store, bundle, tls }
    }
}

pub(crate) fn open_ca(dir: &Path, clock: Clock) -> CertificateAuthority {
    CertificateAuthority::open_or_create(dir, CaOptions { clock, ..CaOptions::new(TRUST_DOMAIN) }).unwrap()
}

pub(crate) fn store(source: Arc<dyn CertificateSource>, clock: Clock) -> CertificateStore {
    CertificateStore::new(source, StoreOptions { clock, ..StoreOptions::default() }, Handle::current())
}

pub(crate) fn account(name: &str) -> Identity {
    Identity::new(TRUST_DOMAIN, "shop", name)
}

/// Lets (paused) time pass until `done`, for at most a week.
pub(crate) async fn until(done: impl Fn() -> bool) {
    let limit = Duration::from_secs(7 * 24 * 3600);
    let waited = tokio::time::timeout(limit, async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
    waited.await.expect("what was waited for did not come");
}
