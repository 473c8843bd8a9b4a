//! From the users' objects to what a waypoint does: the other half of the compiler, for requests.
//!
//! [`L7Store`] holds what the last valid version of every object means by itself, and what they mean together for
//! each of the services that the waypoint serves. Every kind has a file that says what its fields mean; what
//! depends on what is said in the store alone.

mod at;
mod authorization;
mod credentials;
mod cx;
mod destination;
mod destination_rule;
mod directory;
#[cfg(test)]
mod fixtures;
mod gateway_api;
mod hosts;
mod mesh_config;
mod options;
mod own_wish;
mod problem;
mod rate_limit;
mod request_authentication;
mod store;
mod targets;
mod telemetry;
mod text;
mod topology;
mod virtual_service;

pub use directory::L7Services;
pub use gateway_api::{Accepted, ParentStatus, ResolvedRefs, RouteCondition, RouteProblem, RouteStatus};
pub use options::L7Options;
pub use problem::L7Problem;
pub use store::{L7Cost, L7Delta, L7Store};
