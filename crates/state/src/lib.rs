//! What the mesh looks like: an immutable [`Snapshot`] of workloads, services and policies, its
//! look-ups, the choice of endpoints, and its publication. One writer makes each snapshot from the one
//! before it; they share everything that did not change, so one changed workload among a hundred
//! thousand costs microseconds. Readers load one snapshot for each decision and never wait.

mod alias;
mod choose;
mod dump;
mod endpoints;
#[cfg(test)]
mod fixtures;
mod names;
mod policies;
mod route;
mod sharded;
mod shared;
mod snapshot;
mod table;
mod update;
mod waypoint;

pub use route::{Candidate, Route, RouteError, Via};
pub use shared::Shared;
pub use snapshot::{Snapshot, takes_tunnels};
pub use update::{Change, Changes, Update};
