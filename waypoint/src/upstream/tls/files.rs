//! Credentials as users keep them: files, the system's roots, texts.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ambit_l7::{Credential, Credentials};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use tokio::fs;

use super::{TlsError, paths};

/// A longer file is not read. The largest public bundles of roots are 300 KiB; revocation lists are longer.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// Where distributions keep the roots they trust; the first that is there counts.
const SYSTEM_ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// What tells a file from the one that was there before.
pub(super) type Stamp = (Option<SystemTime>, u64);

/// Credentials, read.
pub(super) struct Loaded {
    pub(super) own: Option<Pair>,
    pub(super) roots: RootCertStore,
    pub(super) revoked: Vec<CertificateRevocationListDer<'static>>,
}

/// What the files of the credentials look like now.
pub(super) async fn stamps(credentials: &Credentials) -> Result<Vec<Stamp>, TlsError> {
    let mut stamps = Vec::new();
    for path in paths(credentials) {
        let metadata = fs::metadata(&path).await.map_err(|source| TlsError::Io { path, source })?;
        stamps.push((metadata.modified().ok(), metadata.len()));
    }
    Ok(stamps)
}

/// Reads credentials.
pub(super) async fn load(credentials: &Credentials) -> Result<Loaded, TlsError> {
    match credentials {
        Credentials::System => Ok(Loaded { own: None, roots: system_roots().await?, revoked: Vec::new() }),
        Credentials::Roots(text) => Ok(Loaded { own: None, roots: roots(text.as_bytes())?, revoked: Vec::new() }),
        // What is given is read by `given`.
        Credentials::Named { .. } | Credentials::Authorities(_) => Err(TlsError::NoRoots),
        Credentials::Files { certificate, key, roots: of, revoked: list } => Ok(Loaded {
            own: own(certificate.as_deref(), key.as_deref()).await?,
            roots: match of {
                Some(path) => roots(&read(&**path).await?)?,
                None => system_roots().await?,
            },
            revoked: match list {
                Some(path) => revoked(&read(&**path).await?)?,
                None => Vec::new(),
            },
        }),
    }
}

/// Reads what was given. Without authorities of its own there are none: the system's are not what was asked for.
pub(super) fn given(given: &Credential) -> Result<Loaded, TlsError> {
    Ok(Loaded {
        own: match (&given.certificate, &given.key) {
            (Some(certificate), Some(key)) => Some(pair(certificate.as_bytes(), key.as_bytes())?),
            (_, _) => None,
        },
        roots: roots(given.roots.as_deref().unwrap_or_default().as_bytes())?,
        revoked: revoked(given.revoked.as_deref().unwrap_or_default().as_bytes())?,
    })
}

type Pair = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

async fn own(certificate: Option<&str>, key: Option<&str>) -> Result<Option<Pair>, TlsError> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => pair(&read(certificate).await?, &read(key).await?).map(Some),
        (None, None) => Ok(None),
        (Some(_), None) | (None, Some(_)) => Err(TlsError::NoCertificate),
    }
}

fn pair(certificate: &[u8], key: &[u8]) -> Result<Pair, TlsError> {
    let chain = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<_, _>>()
        .map_err(|source| TlsError::Pem { what: "the client certificate", source })?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|source| TlsError::Pem { what: "the key", source })?;
    Ok((chain, key))
}

fn revoked(text: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    CertificateRevocationListDer::pem_slice_iter(text)
        .collect::<Result<_, _>>()
        .map_err(|source| TlsError::Pem { what: "the revocation list", source })
}

/// What a system trusts may hold what our library does not take; what a user names may not.
async fn system_roots() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for path in SYSTEM_ROOTS {
        if let Ok(text) = read(path).await {
            roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&text).filter_map(Result::ok));
            break;
        }
    }
    Ok(roots)
}

fn roots(text: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(text) {
        roots.add(certificate.map_err(|source| TlsError::Pem { what: "the roots", source })?)?;
    }
    Ok(roots)
}

async fn read(path: impl AsRef<Path>) -> Result<Vec<u8>, TlsError> {
    let path: PathBuf = path.as_ref().to_owned();
    let length = fs::metadata(&path).await.map(|metadata| metadata.len());
    match length {
        Ok(length) if length > MAX_FILE_BYTES => Err(TlsError::TooLong { path }),
        Ok(_) => fs::read(&path).await.map_err(|source| TlsError::Io { path, source }),
        Err(source) => Err(TlsError::Io { path, source }),
    }
}
