//! The only home of raw system calls: entering network namespaces, sockets that are marked,
//! transparent or bound to another's address, process limits, the system's resolver of host names.

mod limits;
mod netns;
mod resolve;
mod socket;

pub use limits::raise_open_files;
pub use netns::{NetNs, NetNsError};
pub use resolve::{ResolveError, resolve};
pub use socket::{
    AGENT_MARK, AGENT_MARK_MASK, TRANSPARENT_MARK, agent_listener, agent_socket, guest_listener, guest_socket,
    transparent_socket,
};
