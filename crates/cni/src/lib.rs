//! What the CNI plugin and the node agent say to each other, and the files they share.

mod client;
pub mod conflist;
pub mod meshed;
mod message;
mod network_config;
mod replace;

pub use client::{AskError, ask};
pub use message::{ANSWER_WITHIN, Answer, Command, MAX_MESSAGE, Request, RequestError};
pub use network_config::{MAX_CONFIG, NetworkConfig, NetworkConfigError, Previous};
pub use replace::replace;

/// The plugin's name: that of its file in the runtime's folder of plugins, and its `type` in a
/// network's list.
pub const PLUGIN: &str = "ambit-cni";

/// Where the agent listens, on the node.
pub const SOCKET: &str = "/var/run/ambit/cni.sock";

/// The namespaces last known as meshed, on the node: below /var/lib, since /var/run is empty after a
/// boot, when pods may start before the agent.
pub const MESHED_NAMESPACES: &str = "/var/lib/ambit/cni/meshed-namespaces.json";
