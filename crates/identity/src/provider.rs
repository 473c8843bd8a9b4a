//! The cryptography of the tunnel.

use std::sync::{Arc, LazyLock};

use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};

/// The cryptography of every configuration made here: AES-GCM suites of TLS 1.3, the post-quantum
/// hybrid first. It is given to each configuration; the process default is never set or read.
#[must_use]
pub fn crypto_provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        Arc::new(CryptoProvider {
            cipher_suites: vec![cipher_suite::TLS13_AES_256_GCM_SHA384, cipher_suite::TLS13_AES_128_GCM_SHA256],
            kx_groups: vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1],
            ..default_provider()
        })
    });
    &PROVIDER
}

/// How signatures of peers are checked.
pub(crate) fn signature_algorithms() -> &'static WebPkiSupportedAlgorithms {
    &crypto_provider().signature_verification_algorithms
}
