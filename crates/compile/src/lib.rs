//! From the users' objects to the model: the one place that knows what a field means. Pure: no
//! files, no network, no clock.
//!
//! A [`Store`] holds what the last valid version of every object means by itself; [`Store::compile`]
//! says what they mean together. Every kind of the model is made by one function that says what it
//! depends on. A store is compiled as a whole, in time that grows with its size and no faster; what
//! comes out as it was before is the same allocation, so that whoever looks for changes finds them at
//! a glance.

mod address_book;
mod authorization;
mod bindings;
mod compiled;
mod enrolment;
mod findings;
mod held;
mod labels;
mod options;
mod owner;
mod peer_authentication;
mod place;
mod problem;
mod replica;
mod service;
mod shared;
mod store;
mod summary;
mod workload;

pub use compiled::Compiled;
pub use options::Options;
pub use problem::{Issue, Problem};
pub use store::Store;
pub use summary::Summary;
