//! Waypoints: which of users' objects each is told of, what is deployed for it, and what is said of it.

mod attached;
pub(crate) mod bound;
pub(crate) mod deploy;
pub(crate) mod deployer;
pub(crate) mod gateways;
pub(crate) mod objects;
mod relevance;
pub(crate) mod review;
mod scope;
mod sent;
mod status;

pub(crate) use gateways::Gateways;
pub(crate) use objects::Objects;
pub(crate) use review::Review;
pub(crate) use sent::Sent;
