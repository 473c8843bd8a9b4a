//! Loads, attaches and pins the kernel programs, and keeps their maps a projection of what the agent
//! wants. Nobody else writes maps.

mod bpffs;
mod host_ports;
mod interfaces;
mod lookup;
mod maps;
mod node;
mod pins;
mod uninstall;

pub use bpffs::{MountError, default_cgroup};
pub use interfaces::{Interface, Side};
pub use maps::{AgentSockets, FaultCount, MapFault, OriginalDestinations, ip};
pub use node::{Enrolment, LoadError, LoadStage, Node, NodeOptions};
pub use uninstall::{UninstallError, captured, uninstall};
