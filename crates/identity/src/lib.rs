//! Who a workload is, proved: keys and signing requests, the certificate authority, certificates that
//! renew themselves, the trust bundle, and the TLS configurations of the tunnel and of the way to the
//! control plane.
//!
//! [`CertificateAuthority`] (or another [`CertificateSource`]) issues → [`CertificateStore`] keeps →
//! [`TlsConfigs`] joins them with the [`TrustBundle`] → after the handshake [`VerifiedPeer`] says who
//! is at the other end.

mod bundle;
mod ca;
mod certificate;
mod clock;
mod dump;
#[cfg(test)]
mod fixture;
mod identities;
mod leaf;
mod peer;
mod provider;
mod serving;
mod source;
mod store;
mod tls;

pub use bundle::{BundleError, Roots, TrustBundle};
pub use ca::{
    CaOptions, CertificateAuthority, GenerateError, IssueError, LeafTemplate, LoadError, NewRoot, NotTrusted, OpenError,
};
pub use certificate::{ChainError, WorkloadCertificate};
pub use clock::Clock;
pub use dump::dump;
pub use identities::{Identities, IdentitiesError, IdentityOptions};
pub use leaf::LeafError;
pub use peer::{PeerError, VerifiedPeer};
pub use provider::crypto_provider;
pub use serving::{ServingError, control_plane_client_config, serving_config};
pub use source::{CertificateSource, FetchError, FetchFuture, IssuedChain, SigningRequest};
pub use store::{CertificateStore, CertificateUnavailable, DEFAULT_LIFETIME, StoreOptions};
pub use tls::TlsConfigs;
