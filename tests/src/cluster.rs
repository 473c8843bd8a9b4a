//! A real Kubernetes of two nodes, driven by its own tools. `cargo xtask cluster shell` puts what is
//! needed into the environment: kubectl, helm, the kubeconfig, and xtask itself for what is below
//! Kubernetes.
//!
//! - [`Namespace`] holds what a test makes and takes it away again; [`Pod`] is a pod in it.
//! - [`Load`] asks a server again and again and counts the failures.
//! - [`Node`] is a machine: commands on it, its plug.
//! - [`Counted`] counts packets on a node.
//! - [`Agent`] is the node agent there: its connections, its figures.

mod agent;
mod counted;
mod kubectl;
mod load;
mod manifest;
mod namespace;
mod node;
mod pod;

pub use agent::{Agent, SYSTEM};
pub use counted::Counted;
pub use kubectl::{apply, helm, kubectl, object};
pub use load::{Load, Report};
pub use manifest::{App, client, deployment, policy, server, service, strictness};
pub use namespace::Namespace;
pub use node::{Node, xtask};
pub use pod::Pod;

use std::time::Duration;

/// How long Kubernetes may take for what takes it a second on a machine at rest.
pub const PATIENCE: Duration = Duration::from_secs(60);
