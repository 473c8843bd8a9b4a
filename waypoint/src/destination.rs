//! Where something goes: what was asked for, or the backend that a rule chose in its place.

use std::net::SocketAddr;
use std::sync::Arc;

use ambit_l7::{Backend, TrafficPolicy};
use ambit_model::CloseReason;
use http::StatusCode;
use rand::RngExt;

use crate::connection::{Asked, Connection};
use crate::in_force::InForce;
use crate::plan::Destination;
use crate::worker::Worker;

/// A destination that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} does not exist, or may not be used")]
pub(crate) struct Missing {
    /// What a request for it is answered.
    pub(crate) status: StatusCode,
    /// What was looked for.
    pub(crate) what: String,
    port: u16,
}

impl From<Missing> for CloseReason {
    fn from(missing: Missing) -> Self {
        Self::NoSuchPort { service: missing.what, port: missing.port }
    }
}

/// Where something goes, and how the endpoints there are used.
pub(crate) fn of(
    in_force: &InForce,
    connection: &Connection,
    backend: Option<&Backend>,
) -> Result<(Destination, Arc<TrafficPolicy>), Missing> {
    let asked = connection.target.socket();
    let missing = |status, what: String, port| Missing { status, what, port };
    let (service, port, subset) = match (backend, &connection.to) {
        (Some(Backend::Service { service, port, subset }), _) => (service, *port, subset.clone()),
        (Some(Backend::Invalid { status, reference }), _) => {
            return Err(missing(*status, reference.to_string(), asked.port()));
        }
        (None, Asked::Service { service, .. }) => (service, asked.port(), None),
        (None, Asked::Workload { workload, .. }) => {
            let gone = || missing(StatusCode::SERVICE_UNAVAILABLE, workload.to_string(), asked.port());
            let workload = Arc::clone(in_force.snapshot.workload(workload).ok_or_else(gone)?);
            let address = SocketAddr::new(asked.ip(), asked.port());
            return Ok((Destination::Workload { workload, address }, Arc::default()));
        }
    };
    let known = in_force.snapshot.service(service);
    let known = known.filter(|known| known.ports.iter().any(|known| known.port == port));
    let gone = || missing(StatusCode::SERVICE_UNAVAILABLE, format!("{service}:{port}"), port);
    let service = Arc::clone(known.ok_or_else(gone)?);
    let policy = in_force.traffic(&service.key, port, subset.as_deref());
    Ok((Destination::Service { service, port, subset }, policy))
}

/// A number, evenly from all.
pub(crate) fn draw(worker: &Worker) -> u64 {
    worker.rng.borrow_mut().random()
}

/// A number, evenly from a million.
pub(crate) fn draw_of_million(worker: &Worker) -> u32 {
    worker.rng.borrow_mut().random_range(0..1_000_000)
}
