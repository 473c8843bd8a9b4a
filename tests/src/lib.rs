//! What the suites, the demo and the benchmark stand on: nodes and pods made of network namespaces,
//! agents on them, and eyes on the wire. Everything is real (kernel, TLS, processes) and everything
//! is taken away again when its owner is dropped.
//!
//! - [`World`]: two nodes and any number of pods, routed, without NAT or packet filters.
//! - [`Mesh`]: a world, a folder of manifests and an agent on each node.
//! - [`Netns`]: code and programs inside a namespace; [`Server`] and [`Connection`] in it.
//! - [`Capture`]: what passed on the link between the nodes.
//! - [`cluster`]: a real Kubernetes instead, driven by its own tools.

mod agent;
mod capture;
mod client;
pub mod cluster;
mod config;
mod dns;
mod envoy;
pub mod manifest;
mod mesh;
mod netns;
mod network;
mod process;
mod server;
mod wait;
mod waypoint;
mod world;

pub use agent::{AccessLine, Agent, AgentOptions, Metrics, ztunnel_binary};
pub use capture::{Capture, Packet, Stream, Traffic};
pub use client::{Connection, Outcome, ask, knock};
pub use config::ConfigDir;
pub use dns::{NameServer, resolving_by};
pub use envoy::{envoy_binary, envoy_tls};
pub use mesh::Mesh;
pub use netns::Netns;
pub use network::Guest;
pub use process::{Process, run};
pub use server::{Behaviour, Server};
pub use wait::until;
pub use waypoint::waypoint_binary;
pub use world::{Node, Pod, PodSpec, World};
