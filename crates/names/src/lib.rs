//! Host names of endpoints: looked up in the background, and again before what was found is old. Who asks is
//! answered from memory, and what was found stays where nobody can look any more.

mod book;
mod look_up;

pub use ambit_sys::ResolveError;
pub use book::{Book, Found};
pub use look_up::system;
