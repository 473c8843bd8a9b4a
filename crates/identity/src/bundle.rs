//! The trust bundle: the roots behind which peers are believed. They may change at any time, by a file
//! that is watched or by whoever feeds it.

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use tokio::sync::watch;

use crate::provider::crypto_provider;
use crate::source::pem_of;

/// How often the file is read again. Reading a few kilobytes costs less than the care that watches
/// need: they miss network file systems, and Kubernetes swaps files through two levels of links.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// A longer file is not read. A root is about 1 KiB; the largest public bundles are 300 KiB.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// A set of roots. It never changes; the bundle changes by another set taking its place.
#[derive(Debug)]
pub struct Roots {
    certificates: Vec<CertificateDer<'static>>,
    pub(crate) anchors: Arc<RootCertStore>,
    pub(crate) client_verifier: Arc<dyn ClientCertVerifier>,
}

/// The roots in force. What cannot be used leaves the last good ones in force.
#[derive(Debug)]
pub struct TrustBundle {
    roots: watch::Sender<Arc<Roots>>,
    problem: ArcSwapOption<BundleError>,
}

/// Why something is no trust bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// It cannot be read.
    #[error("cannot read the trust bundle {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is no valid PEM.
    #[error("the trust bundle is not valid PEM")]
    Pem(#[source] pem::Error),
    /// It is too large.
    #[error("the trust bundle is larger than {MAX_FILE_BYTES} bytes")]
    TooLarge,
    /// It has no certificate.
    #[error("the trust bundle holds no certificate")]
    Empty,
    /// One of its certificates is no root. Then none is taken: half a bundle would cut off half the mesh.
    #[error("certificate {index} of the trust bundle cannot be a root")]
    Certificate {
        /// Its place in the file, from 1.
        index: usize,
        /// What is wrong.
        source: rustls::Error,
    },
    /// The TLS library does not take the roots.
    #[error("the trust bundle cannot be used to verify clients")]
    Verifier(#[from] VerifierBuilderError),
}

impl TrustBundle {
    /// A bundle of these roots, to begin with.
    #[must_use]
    pub fn new(roots: Roots) -> Self {
        Self { roots: watch::Sender::new(Arc::new(roots)), problem: ArcSwapOption::empty() }
    }

    /// Reads the bundle from a PEM file, to begin with.
    ///
    /// # Errors
    /// When there are no good roots in it.
    pub fn load(path: &Path) -> Result<Self, BundleError> {
        Ok(Self::new(Roots::from_pem(&read(path)?)?))
    }

    /// The roots in force.
    #[must_use]
    pub fn roots(&self) -> Arc<Roots> {
        Arc::clone(&self.roots.borrow())
    }

    /// Told of each change from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<Arc<Roots>> {
        self.roots.subscribe()
    }

    /// What is wrong with what came last, while older roots are in force. For readiness.
    #[must_use]
    pub fn problem(&self) -> Option<Arc<BundleError>> {
        self.problem.load_full()
    }

    /// Follows a PEM file until it is dropped. Run it once, in a task.
    pub async fn watch(&self, path: &Path) {
        // Contents, and whether there are any. Not those that `load` saw: the file may have changed since.
        let mut seen: Option<Option<Vec<u8>>> = None;
        loop {
            let text = read(path);
            let now = Some(text.as_ref().ok().cloned());
            if now != seen {
                self.replace(text.and_then(|text| Roots::from_pem(&text)));
                seen = now;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Puts other roots in force for all connections to come. An error is kept as [`Self::problem`], and
    /// the roots as they are.
    pub fn replace(&self, roots: Result<Roots, BundleError>) {
        match roots {
            Ok(roots) => {
                self.problem.store(None);
                if roots.certificates != self.roots().certificates {
                    tracing::info!(roots = roots.certificates.len(), "trust bundle changed");
                    self.roots.send_replace(Arc::new(roots));
                }
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "trust bundle not usable, the last good one stays in force"
                );
                self.problem.store(Some(Arc::new(error)));
            }
        }
    }
}

impl Roots {
    /// Reads certificates in PEM.
    ///
    /// # Errors
    /// When it is not PEM, or as [`Self::from_der`].
    pub fn from_pem(text: &[u8]) -> Result<Self, BundleError> {
        let certificates = CertificateDer::pem_slice_iter(text).collect::<Result<_, _>>();
        Self::from_der(certificates.map_err(BundleError::Pem)?)
    }

    /// Takes certificates.
    ///
    /// # Errors
    /// When there is none, or one cannot be a root.
    pub fn from_der(certificates: Vec<CertificateDer<'static>>) -> Result<Self, BundleError> {
        if certificates.is_empty() {
            return Err(BundleError::Empty);
        }
        let mut anchors = RootCertStore::empty();
        for (index, certificate) in (1..).zip(&certificates) {
            anchors.add(certificate.clone()).map_err(|source| BundleError::Certificate { index, source })?;
        }
        let anchors = Arc::new(anchors);
        let provider = Arc::clone(crypto_provider());
        let client_verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&anchors), provider).build()?;
        Ok(Self { certificates, anchors, client_verifier })
    }

    /// The roots, in the order they were given.
    #[must_use]
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    /// The roots as PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem_of(&self.certificates)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, BundleError> {
    let mut text = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut text))
        .map_err(|source| BundleError::Io { path: path.to_owned(), source })?;
    if text.len() as u64 > MAX_FILE_BYTES { Err(BundleError::TooLarge) } else { Ok(text) }
}
