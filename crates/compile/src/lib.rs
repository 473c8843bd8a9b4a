//! From the users' objects to the model: the one place that knows what a field means. Pure: no
//! files, no network, no clock.
//!
//! A [`Store`] holds what the last valid version of every object means by itself, and what they mean
//! together. Every kind of the model is made by one function that says what it depends on; an object
//! that changes costs what depends on it. Objects come one by one ([`Store::apply`]) or in files
//! ([`Store::replace_file`]). What comes out as it was before is the same allocation, so that whoever
//! looks for changes finds them at a glance.

mod address_book;
mod authorization;
mod compiled;
mod delta;
mod distribution;
mod endpoint_slice;
mod endpoints;
mod enrolment;
mod exports;
mod findings;
mod frontends;
mod given;
mod guards;
mod held;
mod instance;
mod l7;
mod labels;
mod locality;
mod namespace;
mod options;
mod owner;
mod peer_authentication;
mod problem;
mod replica;
mod replicas;
mod service;
mod service_entry;
mod shared;
mod store;
mod summary;
mod waypoint;
mod waypoints;
mod workload;
mod workload_entry;
mod world;

pub use compiled::Compiled;
pub use delta::{Changed, Cost, Delta, Input, Read};
pub use l7::{
    Accepted, L7Cost, L7Delta, L7Options, L7Problem, L7Services, L7Store, ParentStatus, ResolvedRefs, RouteCondition,
    RouteProblem, RouteStatus,
};
pub use options::{Options, Tunnels};
pub use problem::{Issue, Problem};
pub use store::Store;
pub use summary::Summary;
