//! A chosen endpoint, and what came of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use crate::{Endpoint, EndpointId, Group, Outcome};

/// A chosen endpoint. Counts as one of its requests under way until dropped: keep it until the answer's last
/// byte, or the connection's.
#[derive(Debug)]
#[must_use = "a request under way counts only as long as this lives"]
pub struct Pick {
    group: Arc<Group>,
    endpoint: Option<Arc<Endpoint>>,
    address: SocketAddr,
}

impl Pick {
    /// Where to connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The endpoint; none where PASSTHROUGH goes to an address that is none's.
    #[must_use]
    pub fn endpoint(&self) -> Option<&Arc<Endpoint>> {
        self.endpoint.as_ref()
    }

    /// Which endpoint, to be told to [`Ask::tried`](crate::Ask::tried).
    #[must_use]
    pub fn id(&self) -> Option<EndpointId> {
        self.endpoint.as_ref().map(|endpoint| endpoint.id())
    }

    /// Tells what came of an attempt. Once for each attempt; a TCP connection's is its coming about.
    pub fn report(&self, outcome: Outcome, now: Instant) {
        if let Some(endpoint) = &self.endpoint {
            self.group.report(endpoint, outcome, now);
        }
    }

    pub(crate) fn of(group: Arc<Group>, endpoint: Arc<Endpoint>) -> Self {
        endpoint.state.active.fetch_add(1, Relaxed);
        Self { group, address: endpoint.spec.address, endpoint: Some(endpoint) }
    }

    /// Of an address that is no endpoint's.
    pub(crate) fn untouched(group: Arc<Group>, address: SocketAddr) -> Self {
        Self { group, endpoint: None, address }
    }
}

impl Drop for Pick {
    fn drop(&mut self) {
        if let Some(endpoint) = &self.endpoint {
            endpoint.state.active.fetch_sub(1, Relaxed);
        }
    }
}

/// There is no endpoint to choose. All answer 503 (`UH`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoPick {
    /// The group has no endpoints, or none where the policy lets clients of this place go.
    #[error("there are no endpoints")]
    NoEndpoints,
    /// None of them is ready.
    #[error("no endpoint is ready")]
    NoneReady,
    /// All that are ready are ejected.
    #[error("all endpoints are ejected after errors")]
    AllEjected,
}
