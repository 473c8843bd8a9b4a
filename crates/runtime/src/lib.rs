//! The plumbing of a process: how it starts tasks, says whether it is ready, lets an operator in,
//! and stops.

pub mod admin;
mod drain;
pub mod http;
pub mod metrics;
pub mod readiness;
mod settings_page;
mod stop;
mod tasks;

pub use drain::{Drain, Held, Outcome};
pub use readiness::{Condition, Readiness};
pub use settings_page::settings_page;
pub use stop::{Signals, Stop};
pub use tasks::spawn;
