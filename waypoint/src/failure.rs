//! What went wrong, in words for operators.

use std::error::Error;
use std::io;

use ambit_identity::PeerError;

/// Why a handshake failed: the peer's certificate first, as that is what operators can mend.
pub(crate) fn tls_failure(error: &io::Error) -> String {
    PeerError::from_io(error).map_or_else(|| error_chain(error), |peer| peer.to_string())
}

/// An error with its causes, on one line.
pub(crate) fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
