//! A workload's certificate with its key.

use std::sync::Arc;
use std::time::SystemTime;

use ambit_model::Identity;
use rcgen::KeyPair;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use crate::leaf::{Leaf, LeafError};
use crate::provider::crypto_provider;
use crate::source::IssuedChain;

/// A workload's certificate chain with its private key, which stays in memory.
#[derive(Debug)]
pub struct WorkloadCertificate {
    leaf: Leaf,
    key: Arc<CertifiedKey>,
}

/// Why an issued chain is not what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// It is empty, cannot be read, or is not for the key that was sent.
    #[error("it does not belong to the key of the request")]
    Key(#[from] rustls::Error),
    /// It is no workload's.
    #[error("it is no workload's")]
    Leaf(#[from] LeafError),
    /// It is for somebody else.
    #[error("it is for {got} instead of {expected}")]
    Identity {
        /// Who was asked for.
        expected: Identity,
        /// Whom it names.
        got: Identity,
    },
    /// It has expired already.
    #[error("it has expired already")]
    Expired,
}

impl WorkloadCertificate {
    /// Joins a key and the chain issued for it, and checks that they are what was asked for. Who
    /// signed the chain is not checked: that is for the peers to judge.
    pub(crate) fn new(
        identity: &Identity,
        key: &KeyPair,
        IssuedChain(chain): IssuedChain,
        now: SystemTime,
    ) -> Result<Self, ChainError> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let key = CertifiedKey::from_der(chain, key, crypto_provider())?;
        let leaf = Leaf::parse(key.end_entity_cert()?)?;
        if leaf.identity != *identity {
            return Err(ChainError::Identity { expected: identity.clone(), got: leaf.identity });
        }
        if leaf.not_after <= now {
            return Err(ChainError::Expired);
        }
        Ok(Self { leaf, key: Arc::new(key) })
    }

    /// Whose it is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.leaf.identity
    }
    /// Serial number, hexadecimal.
    #[must_use]
    pub fn serial(&self) -> &str {
        &self.leaf.serial
    }
    /// Start of its validity.
    #[must_use]
    pub fn not_before(&self) -> SystemTime {
        self.leaf.not_before
    }
    /// End of its validity.
    #[must_use]
    pub fn not_after(&self) -> SystemTime {
        self.leaf.not_after
    }
    /// The leaf, then intermediates.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.key.cert
    }
    /// What a TLS configuration shows to every peer.
    pub(crate) fn resolver(&self) -> Arc<SingleCertAndKey> {
        Arc::new(SingleCertAndKey::from(Arc::clone(&self.key)))
    }
}
