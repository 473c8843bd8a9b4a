//! How much a caller may ask for.

use crate::Caller;

/// What of a caller's words is kept, at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Budget {
    /// Bytes of one request.
    pub(super) request: usize,
    /// Names that a stream may ask for of one type.
    pub(super) names: usize,
}

/// Of agents and waypoints: a client that comes again names all it holds, at 100 bytes each.
const AGENT: Budget = Budget { request: 64 << 20, names: 200_000 };
/// Any pod's token opens a stream, and all of them together must not take the memory that the agents' need.
const OTHER: Budget = Budget { request: 256 << 10, names: 500 };

impl Budget {
    pub(super) fn of(caller: &Caller) -> Self {
        if caller.place().is_some() { AGENT } else { OTHER }
    }
}
