//! What goes wrong on a tunnel, without a word of the codec's types.

use std::fmt;

use h2::Reason;

/// A failure of a tunnel or of one stream in it.
#[derive(Debug)]
pub struct Fault(h2::Error);

/// What a stream is reset with (RFC 9113 §7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetCode {
    /// Nobody wants the stream any more: policy, drain, a cut.
    Cancel,
    /// The TCP connection behind the stream broke (RFC 9113 §8.5).
    ConnectError,
    /// The stream was never looked at and may be tried elsewhere.
    Refused,
}

impl From<ResetCode> for Reason {
    fn from(code: ResetCode) -> Self {
        match code {
            ResetCode::Cancel => Self::CANCEL,
            ResetCode::ConnectError => Self::CONNECT_ERROR,
            ResetCode::Refused => Self::REFUSED_STREAM,
        }
    }
}

impl Fault {
    /// The fault of a stream that was reset with `reason`.
    pub(crate) fn reset(reason: Reason) -> Self {
        Self(reason.into())
    }

    /// Whether a request that met this fault before its response may be sent again on another tunnel:
    /// the peer refused to look at it, or the whole tunnel is gone. In the second case the peer may
    /// have connected upstream already, which does no harm: no byte of the client has been sent yet.
    pub(crate) fn may_retry(&self) -> bool {
        self.0.is_go_away() || self.0.is_io() || self.0.reason() == Some(Reason::REFUSED_STREAM)
    }
}

impl From<h2::Error> for Fault {
    fn from(error: h2::Error) -> Self {
        Self(error)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Fault {}
