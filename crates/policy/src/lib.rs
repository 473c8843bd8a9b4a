//! The L4 decision, pure: policies and facts in, a [`Decision`] out. No I/O, no clock, no allocation
//! unless the answer is no. The meaning of every field is in [`ambit_model::Authorization`].

mod decision;
mod facts;
mod matching;
mod principal;

pub use decision::{Decision, Permit, Rehearsal, decide, rehearse};
pub use facts::Facts;
