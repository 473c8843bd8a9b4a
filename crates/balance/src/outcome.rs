//! What came of an attempt, as outlier detection sees it.

use ambit_l7::OutlierDetection;
use http::StatusCode;

/// What came of an attempt. One that its client gave up has no outcome: report nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The endpoint answered; for gRPC the status that its trailer's stands for.
    Status(StatusCode),
    /// No connection came about, or it broke before an answer.
    ConnectFailed,
    /// No answer in time.
    TimedOut,
    /// A connection that carries no requests came about.
    Connected,
}

/// What an outcome is for one count of errors in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Error,
    /// The row ends.
    Success,
    /// Says nothing of it.
    Nothing,
}

/// What an outcome is for each count of errors in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdicts {
    pub(crate) any: Verdict,
    pub(crate) gateway: Verdict,
    pub(crate) local: Verdict,
}

impl Outcome {
    pub(crate) fn judge(self, settings: &OutlierDetection) -> Verdicts {
        use Verdict::{Error, Nothing, Success};
        match self {
            Self::Status(status) if !is_error(status, settings) => {
                Verdicts { any: Success, gateway: Success, local: Success }
            }
            // Whoever answers was reached.
            Self::Status(status) if is_of_gateway(status) => Verdicts { any: Error, gateway: Error, local: Success },
            Self::Status(_) => Verdicts { any: Error, gateway: Success, local: Success },
            Self::ConnectFailed | Self::TimedOut if settings.split_local_errors => {
                Verdicts { any: Nothing, gateway: Nothing, local: Error }
            }
            Self::ConnectFailed | Self::TimedOut => Verdicts { any: Error, gateway: Error, local: Nothing },
            Self::Connected if settings.split_local_errors => {
                Verdicts { any: Nothing, gateway: Nothing, local: Success }
            }
            Self::Connected => Verdicts { any: Success, gateway: Success, local: Success },
        }
    }
}

fn is_error(status: StatusCode, settings: &OutlierDetection) -> bool {
    if settings.error_codes.is_empty() { status.is_server_error() } else { settings.error_codes.contains(&status) }
}

fn is_of_gateway(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}
