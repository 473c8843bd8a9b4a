//! A proxy that is measured: where it is, and how its routes are changed.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use ambit_tests::Process;

/// Which proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Envoy,
    Waypoint,
}

impl Kind {
    pub(super) const ALL: [Self; 2] = [Self::Envoy, Self::Waypoint];

    /// Its own address.
    pub(super) fn address(self) -> IpAddr {
        Ipv4Addr::new(10, 1, 0, if self == Self::Waypoint { 1 } else { 2 }).into()
    }

    /// Where it says that it is ready.
    pub(super) fn readiness(self) -> &'static str {
        match self {
            Self::Envoy => "http://127.0.0.1:9901/ready",
            Self::Waypoint => "http://127.0.0.1:15021/healthz/ready",
        }
    }
}

/// One that runs.
#[derive(Debug)]
pub(super) struct Contender {
    pub(super) kind: Kind,
    pub(super) process: Process,
    /// The file that holds its routes.
    pub(super) routes: PathBuf,
}
