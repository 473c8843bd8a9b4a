//! From the users' objects to the model: the one place that knows what a field means. Pure: no
//! files, no network, no clock.
//!
//! A [`Store`] holds the last valid version of every object; [`Store::compile`] says what that means.
//! Every kind of the model is made by one function that says what it depends on, so that a change
//! of one object need not cost more than the things that depend on it.

mod authorization;
mod compiled;
mod enrolment;
mod findings;
mod index;
mod options;
mod owner;
mod peer_authentication;
mod problem;
mod service;
mod store;
mod summary;
mod workload;

pub use compiled::Compiled;
pub use options::Options;
pub use problem::{Issue, Problem};
pub use store::Store;
pub use summary::Summary;
