//! Who is at the other end of a connection.

use std::io;
use std::time::SystemTime;

use ambit_model::Identity;
use rustls::pki_types::UnixTime;
use rustls::{CertificateError, CommonState, OtherError};

use crate::leaf::{Leaf, LeafError};

/// The identity at the other end of a TLS connection. It can be had only from a connection whose
/// handshake, made with a configuration of [`crate::TlsConfigs`], has checked the chain, the time and
/// the name; so whoever holds one need not check again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VerifiedPeer {
    identity: Identity,
    not_after: SystemTime,
}

/// Why a peer is not believed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PeerError {
    /// It showed no certificate (or the handshake is not over).
    #[error("the peer showed no certificate")]
    NoCertificate,
    /// Its certificate is past its time.
    #[error("the peer's certificate expired {seconds} s ago")]
    Expired {
        /// For how long.
        seconds: u64,
    },
    /// Its certificate is before its time.
    #[error("the peer's certificate is valid only in {seconds} s: do the clocks agree?")]
    NotYetValid {
        /// How long until it is.
        seconds: u64,
    },
    /// No root of our trust bundle stands behind its certificate.
    #[error("the peer's certificate was issued by nobody in our trust bundle")]
    UnknownIssuer,
    /// Its chain is wrong in another way.
    #[error("the peer's certificate chain is not valid: {0}")]
    Chain(CertificateError),
    /// Its certificate is no workload's.
    #[error("the peer's certificate is no workload's")]
    Leaf(#[from] LeafError),
    /// It belongs to another mesh.
    #[error("the peer {got} is of another trust domain than {expected}")]
    TrustDomain {
        /// Ours.
        expected: String,
        /// Who it is.
        got: Identity,
    },
    /// It is somebody else than it was connected to as.
    #[error("the peer is {got}, expected was {}", list(.expected))]
    Identity {
        /// Who it may be.
        expected: Vec<Identity>,
        /// Who it is.
        got: Identity,
    },
}

fn list(identities: &[Identity]) -> String {
    let texts: Vec<_> = identities.iter().map(ToString::to_string).collect();
    if texts.is_empty() { "nobody".to_owned() } else { texts.join(" or ") }
}

impl VerifiedPeer {
    /// The peer of a `rustls::ClientConnection` or `rustls::ServerConnection` after its handshake.
    ///
    /// # Errors
    /// [`PeerError::NoCertificate`] before the end of the handshake. Nothing else, if the connection's
    /// configuration is one of [`crate::TlsConfigs`].
    pub fn of(connection: &CommonState) -> Result<Self, PeerError> {
        let leaf = connection.peer_certificates().and_then(<[_]>::first).ok_or(PeerError::NoCertificate)?;
        let Leaf { identity, not_after, .. } = Leaf::parse(leaf)?;
        Ok(Self { identity, not_after })
    }

    /// Who it is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Until when its certificate proves that. An open connection may go on, a new one needs a new proof.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }
}

impl PeerError {
    /// The reason in a failed handshake as tokio-rustls reports it; `None` when it failed for another
    /// reason than the peer's certificate.
    #[must_use]
    pub fn from_io(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().and_then(Self::from_tls)
    }

    /// The reason in a failed handshake; `None` when it failed for another reason than the peer's
    /// certificate.
    #[must_use]
    #[expect(clippy::wildcard_enum_match_arm, reason = "rustls' enums are open; the rest is carried as it is")]
    pub fn from_tls(error: &rustls::Error) -> Option<Self> {
        let error = match error {
            rustls::Error::NoCertificatesPresented => return Some(Self::NoCertificate),
            rustls::Error::InvalidCertificate(error) => error,
            _ => return None,
        };
        Some(match error {
            CertificateError::ExpiredContext { time, not_after } => {
                Self::Expired { seconds: between(*not_after, *time) }
            }
            CertificateError::NotValidYetContext { time, not_before } => {
                Self::NotYetValid { seconds: between(*time, *not_before) }
            }
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::Other(OtherError(error)) if error.is::<Self>() => error.downcast_ref::<Self>()?.clone(),
            other => Self::Chain(other.clone()),
        })
    }
}

/// The way out of a rustls verifier, see [`PeerError::from_tls`] for the way back.
impl From<PeerError> for rustls::Error {
    fn from(error: PeerError) -> Self {
        CertificateError::Other(OtherError(std::sync::Arc::new(error))).into()
    }
}

fn between(earlier: UnixTime, later: UnixTime) -> u64 {
    later.as_secs().saturating_sub(earlier.as_secs())
}
