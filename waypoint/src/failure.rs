//! What went wrong, in words for operators.

use std::io;

use ambit_identity::PeerError;
pub(crate) use ambit_telemetry::error_chain;

/// Why a handshake failed: the peer's certificate first, as that is what operators can mend.
pub(crate) fn tls_failure(error: &io::Error) -> String {
    PeerError::from_io(error).map_or_else(|| error_chain(error), |peer| peer.to_string())
}
