//! A node below Kubernetes.

use std::env;
use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{Netns, run};

/// A node of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node(u8);

impl Node {
    /// Both.
    pub const ALL: [Self; 2] = [Self(1), Self(2)];

    pub(super) fn named(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|node| node.name() == name).with_context(|| format!("no node {name:?}"))
    }

    /// Its name in Kubernetes.
    #[must_use]
    pub fn name(self) -> String {
        format!("node{}", self.0)
    }

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        Self(3 - self.0)
    }

    /// Its address.
    #[must_use]
    pub fn ip(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 243, 0, 10 + self.0)
    }

    /// Its network namespace.
    #[must_use]
    pub fn netns(self) -> Netns {
        Netns::named(&format!("kube-{}", self.name()))
    }

    /// Its link to the other node.
    #[must_use]
    pub fn link(self) -> &'static str {
        "eth0"
    }

    /// Runs a shell command on it, in its file system and its network.
    ///
    /// # Errors
    /// Fails when the command does.
    pub fn exec(self, command: &str) -> Result<String> {
        run(xtask().args(["cluster", "exec-node", &self.0.to_string(), "--", "sh", "-c", command]))
    }

    /// Pulls its plug.
    ///
    /// # Errors
    /// Fails when it does not end.
    pub fn stop(self) -> Result<()> {
        run(xtask().args(["cluster", "node-stop", &self.0.to_string()])).map(drop)
    }

    /// Starts it again.
    ///
    /// # Errors
    /// Fails when it does not start.
    pub fn start(self) -> Result<()> {
        run(xtask().args(["cluster", "node-start", &self.0.to_string()])).map(drop)
    }
}

/// The program that made the cluster.
#[must_use]
pub fn xtask() -> Command {
    Command::new(env::var_os("AMBIT_XTASK").unwrap_or_else(|| OsString::from("xtask")))
}
