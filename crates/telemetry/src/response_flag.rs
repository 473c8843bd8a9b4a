//! What went wrong with a request, in the letters that users' dashboards know.

use std::fmt;

/// One thing that went wrong, or was done on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ResponseFlag {
    /// The backend's endpoints are all unhealthy, or there are none.
    NoHealthyUpstream,
    /// No connection to the backend.
    UpstreamConnectionFailure,
    /// A limit of the backend's connection pool.
    UpstreamOverflow,
    /// No route.
    NoRoute,
    /// The backend does not exist.
    NoCluster,
    /// All attempts failed.
    UpstreamRetryLimitExceeded,
    /// No answer in time.
    UpstreamRequestTimeout,
    /// The backend hung up.
    UpstreamConnectionTermination,
    /// The backend reset the stream.
    UpstreamRemoteReset,
    /// We reset the stream.
    LocalReset,
    /// The backend broke the protocol.
    UpstreamProtocolError,
    /// The client hung up.
    DownstreamConnectionTermination,
    /// The client broke the protocol.
    DownstreamProtocolError,
    /// Too many requests.
    RateLimited,
    /// The rate limit service did not answer.
    RateLimitServiceError,
    /// An external authorizer refused.
    UnauthorizedExternalService,
    /// A delay was put in.
    DelayInjected,
    /// A fault was put in.
    FaultInjected,
    /// No data for too long.
    StreamIdleTimeout,
    /// The connection was at its longest life.
    DurationTimeout,
    /// The overload of this process.
    OverloadManager,
}

/// All, in the order in which they are written, with their letters.
const ALL: [(ResponseFlag, &str); 21] = [
    (ResponseFlag::NoHealthyUpstream, "UH"),
    (ResponseFlag::UpstreamConnectionFailure, "UF"),
    (ResponseFlag::UpstreamOverflow, "UO"),
    (ResponseFlag::NoRoute, "NR"),
    (ResponseFlag::UpstreamRetryLimitExceeded, "URX"),
    (ResponseFlag::NoCluster, "NC"),
    (ResponseFlag::UpstreamRequestTimeout, "UT"),
    (ResponseFlag::DownstreamConnectionTermination, "DC"),
    (ResponseFlag::LocalReset, "LR"),
    (ResponseFlag::UpstreamRemoteReset, "UR"),
    (ResponseFlag::UpstreamConnectionTermination, "UC"),
    (ResponseFlag::DelayInjected, "DI"),
    (ResponseFlag::FaultInjected, "FI"),
    (ResponseFlag::RateLimited, "RL"),
    (ResponseFlag::UnauthorizedExternalService, "UAEX"),
    (ResponseFlag::RateLimitServiceError, "RLSE"),
    (ResponseFlag::StreamIdleTimeout, "SI"),
    (ResponseFlag::DownstreamProtocolError, "DPE"),
    (ResponseFlag::UpstreamProtocolError, "UPE"),
    (ResponseFlag::OverloadManager, "OM"),
    (ResponseFlag::DurationTimeout, "DT"),
];

/// Any number of them. Written with commas between, `-` where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ResponseFlags(u32);

impl ResponseFlags {
    /// Adds one.
    pub fn insert(&mut self, flag: ResponseFlag) {
        self.0 |= bit(flag);
    }

    /// Takes one away.
    pub fn remove(&mut self, flag: ResponseFlag) {
        self.0 &= !bit(flag);
    }

    /// Whether one is among them.
    #[must_use]
    pub fn contains(self, flag: ResponseFlag) -> bool {
        self.0 & bit(flag) != 0
    }

    /// Those of both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether nothing went wrong.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl From<ResponseFlag> for ResponseFlags {
    fn from(flag: ResponseFlag) -> Self {
        Self(bit(flag))
    }
}

fn bit(flag: ResponseFlag) -> u32 {
    1 << flag as u8
}

impl fmt::Display for ResponseFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("-");
        }
        let mut between = "";
        for (_, letters) in ALL.iter().filter(|(flag, _)| self.contains(*flag)) {
            write!(f, "{between}{letters}")?;
            between = ",";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_written_as_dashboards_know_them() {
        let mut flags = ResponseFlags::default();
        assert_eq!(flags.to_string(), "-");
        flags.insert(ResponseFlag::UpstreamRetryLimitExceeded);
        flags.insert(ResponseFlag::UpstreamConnectionFailure);
        assert_eq!(flags.to_string(), "UF,URX");
        assert_eq!(ALL.iter().map(|(flag, _)| bit(*flag)).fold(0, |all, bit| all | bit), (1 << ALL.len()) - 1);
    }
}
