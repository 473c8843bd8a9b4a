//! TLS to the application: who is believed, and what we show.

mod files;
mod verifier;

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use ambit_identity::CertificateUnavailable;
use ambit_l7::{Credential, CredentialError, Credentials, Tls, TlsMode, TrafficPolicy};
use ambit_model::Identity;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{ServerName, pem};
use rustls::{ClientConfig, RootCertStore};
use smallvec::SmallVec;

use super::dial::Wanted;
use crate::worker::Worker;
use files::Loaded;

/// Configurations kept; beyond, all are forgotten and come back as they are used.
const MAX_KEPT: usize = 1024;

/// What is spoken inside of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Inside {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// Whatever the client speaks.
    Bytes,
}

impl Inside {
    fn alpn(self) -> Vec<Vec<u8>> {
        match self {
            Self::Http1 => vec![b"http/1.1".to_vec()],
            Self::Http2 => vec![b"h2".to_vec()],
            Self::Bytes => Vec::new(),
        }
    }
}

/// Why there is no configuration. Then there is no connection: nothing is ever sent in the clear instead.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file is longer than any such file.
    #[error("{} is too long", path.display())]
    TooLong {
        /// Which.
        path: PathBuf,
    },
    /// Something is no PEM.
    #[error("{what} is not valid PEM")]
    Pem {
        /// What.
        what: &'static str,
        /// Why not.
        source: pem::Error,
    },
    /// A certificate without its key, or the other way round, or neither where one is to be shown.
    #[error("a client certificate needs a certificate and its key")]
    NoCertificate,
    /// There are no roots.
    #[error("there are no roots to believe")]
    NoRoots,
    /// The TLS library does not take it.
    #[error("the credentials cannot be used")]
    Unusable(#[from] rustls::Error),
    /// The TLS library does not take the roots or the revocation list.
    #[error("the roots cannot be used")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// A Secret or ConfigMap that was not delivered, or is none to use.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The server name is none.
    #[error("{0:?} is no server name")]
    ServerName(Arc<str>),
    /// We have no certificate of the mesh's.
    #[error(transparent)]
    Own(#[from] CertificateUnavailable),
}

/// Configurations made by this worker.
#[derive(Default)]
pub(super) struct Configurations {
    kept: RefCell<HashMap<Key, Kept>>,
}

#[derive(PartialEq, Eq, Hash)]
struct Key {
    /// By address: [`Kept`] keeps it from being another's.
    policy: *const TrafficPolicy,
    inside: Inside,
}

struct Kept {
    _policy: Arc<TrafficPolicy>,
    /// What the files looked like.
    stamps: Vec<files::Stamp>,
    /// What was given.
    given: Option<Credential>,
    config: Arc<ClientConfig>,
}

/// The configuration for a connection, and the name its server has.
pub(super) async fn configuration(
    worker: &Rc<Worker>,
    wanted: &Wanted,
) -> Result<(Arc<ClientConfig>, ServerName<'static>), TlsError> {
    let tls = &wanted.policy.tls;
    if tls.mode == TlsMode::MeshMutual {
        let name = ServerName::IpAddress(wanted.address.ip().into());
        return Ok((of_mesh(worker, wanted).await?, name));
    }
    Ok((of_policy(worker, wanted).await?, server_name(wanted)?))
}

/// What the policy says, else what the client asked for, else the address.
fn server_name(wanted: &Wanted) -> Result<ServerName<'static>, TlsError> {
    match wanted.policy.tls.server_name.as_ref().or(wanted.server_name.as_ref()) {
        Some(name) => ServerName::try_from(name.to_string()).map_err(|_| TlsError::ServerName(Arc::clone(name))),
        None => Ok(ServerName::IpAddress(wanted.address.ip().into())),
    }
}

/// The mesh's own certificates: the peer must be the workload, or whom the policy names.
async fn of_mesh(worker: &Worker, wanted: &Wanted) -> Result<Arc<ClientConfig>, TlsError> {
    let mut expected: SmallVec<[Identity; 2]> = SmallVec::new();
    expected.extend(wanted.workload.as_ref().map(|workload| workload.identity.clone()));
    // A name that is no identity admits nobody.
    expected.extend(wanted.policy.tls.subject_alt_names.iter().filter_map(|name| name.parse().ok()));
    let config = worker.tls.client_config(&wanted.own, &expected).await?;
    let mut config = ClientConfig::clone(&config);
    config.alpn_protocols = wanted.inside.alpn();
    Ok(Arc::new(config))
}

/// Made once, and again when a file or what was given has changed.
async fn of_policy(worker: &Worker, wanted: &Wanted) -> Result<Arc<ClientConfig>, TlsError> {
    let policy = &wanted.policy;
    let given = worker.in_force().config.credentials.find(&policy.tls.credentials)?;
    let stamps = files::stamps(&policy.tls.credentials).await?;
    let key = Key { policy: Arc::as_ptr(policy), inside: wanted.inside };
    let kept = &worker.upstreams.tls.kept;
    if let Some(kept) = kept.borrow().get(&key)
        && kept.stamps == stamps
        && kept.given == given
    {
        return Ok(Arc::clone(&kept.config));
    }
    let loaded = match &given {
        Some(given) => files::given(given)?,
        None => files::load(&policy.tls.credentials).await?,
    };
    let config = Arc::new(client_config(&policy.tls, loaded, wanted.inside)?);
    let mut kept = kept.borrow_mut();
    if kept.len() >= MAX_KEPT {
        kept.clear();
    }
    kept.insert(key, Kept { _policy: Arc::clone(policy), stamps, given, config: Arc::clone(&config) });
    Ok(config)
}

fn client_config(tls: &Tls, loaded: Loaded, inside: Inside) -> Result<ClientConfig, TlsError> {
    // Not the mesh's own choice of cryptography: an application outside may know no TLS 1.3.
    let provider = Arc::new(default_provider());
    let verifier = verifier::of(tls, loaded.roots, loaded.revoked, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match (tls.mode, loaded.own) {
        (TlsMode::Mutual, Some((certificates, key))) => builder.with_client_auth_cert(certificates, key)?,
        (TlsMode::Mutual, None) => return Err(TlsError::NoCertificate),
        (TlsMode::Simple | TlsMode::Disable | TlsMode::MeshMutual, _) => builder.with_no_client_auth(),
    };
    config.alpn_protocols = inside.alpn();
    Ok(config)
}

/// No roots are none to believe, unless nobody is asked for any.
fn some(roots: RootCertStore, tls: &Tls) -> Result<RootCertStore, TlsError> {
    if roots.is_empty() && !tls.insecure_skip_verify { Err(TlsError::NoRoots) } else { Ok(roots) }
}

/// Whether credentials are in files, which change.
fn paths(credentials: &Credentials) -> impl Iterator<Item = PathBuf> {
    let named = match credentials {
        Credentials::Files { certificate, key, roots, revoked } => {
            [certificate, key, roots, revoked].map(Option::as_ref)
        }
        Credentials::System | Credentials::Named { .. } | Credentials::Authorities(_) | Credentials::Roots(_) => {
            [None; 4]
        }
    };
    named.into_iter().flatten().map(|path| PathBuf::from(&**path))
}
