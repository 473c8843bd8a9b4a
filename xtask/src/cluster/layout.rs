//! What the cluster consists of: its names, addresses and files.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    str::FromStr,
};

use ambit_tests::Netns;
use anyhow::{Context, Result};

use super::processes;

/// Everything of a cluster but the programs. A machine has room for one: nodes are found by name.
pub(super) const STATE: &str = "/var/lib/ambit-cluster";
/// Locked while the cluster is changed: a folder that is there anyway, as nothing is to be left behind.
pub(super) const LOCK: &str = "/var/lib";
/// The link between the members, and the machine's own address on it.
pub(super) const BRIDGE: &str = "kube-nodes";
/// All pods and all Services, both families.
pub(super) const PODS: &str = "10.244.0.0/16,fd00:244::/32";
pub(super) const SERVICES: &str = "10.96.0.0/16,fd00:96::/112";
/// Where the cluster's DNS answers.
pub(super) const DNS: &str = "10.96.0.10";
/// Both nodes.
pub(super) const NODES: [Node; 2] = [Node(1), Node(2)];

/// A file or folder of the cluster.
pub(super) fn file(name: &str) -> PathBuf {
    Path::new(STATE).join(name)
}

/// A network namespace on the bridge: the control plane or a node.
#[derive(Clone, Copy)]
pub(super) enum Member {
    ControlPlane,
    Node(Node),
}

impl Member {
    /// Of its network namespace and of its end of the link on the bridge. Not `ambit-`: the demo
    /// takes those away.
    pub(super) fn netns_name(self) -> String {
        match self {
            Self::ControlPlane => "kube-control".to_owned(),
            Self::Node(node) => format!("kube-{node}"),
        }
    }

    pub(super) fn netns(self) -> Netns {
        Netns::named(&self.netns_name())
    }

    pub(super) fn ip4(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 243, 0, 10 + self.number())
    }

    pub(super) fn ip6(self) -> Ipv6Addr {
        Ipv6Addr::new(0xfd00, 0x243, 0, 0, 0, 0, 0, u16::from(0x10 + self.number()))
    }

    fn number(self) -> u8 {
        match self {
            Self::ControlPlane => 0,
            Self::Node(node) => node.0,
        }
    }
}

/// What keeps a node's namespaces, by its name among the node's processes.
pub(super) const HOLDER: &str = "holder";

/// A node, 1 or 2.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Node(u8);

impl Node {
    pub(super) fn member(self) -> Member {
        Member::Node(self)
    }

    /// The ranges of its pods' addresses.
    pub(super) fn pods(self) -> [String; 2] {
        [format!("10.244.{}.0/24", self.0), format!("fd00:244:{}::/64", self.0)]
    }

    /// What the node has on disk, laid out as from its root.
    pub(super) fn disk(self) -> PathBuf {
        file(&self.to_string())
    }

    /// Name of its cgroup, in every hierarchy.
    pub(super) fn cgroup(self) -> String {
        format!("kube-{self}")
    }

    /// Name of one of its processes.
    pub(super) fn process(self, program: &str) -> String {
        format!("{self}-{program}")
    }

    /// The process that holds its namespaces.
    pub(super) fn holder(self) -> Result<u32> {
        processes::running(&self.process(HOLDER)).with_context(|| format!("{self} does not run"))
    }
}

impl fmt::Display for Node {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&format!("node{}", self.0))
    }
}

impl FromStr for Node {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wanted = text.strip_prefix("node").unwrap_or(text);
        NODES.into_iter().find(|node| node.0.to_string() == wanted).ok_or("the nodes are 1 and 2")
    }
}

#[cfg(test)]
mod tests {
    use super::Node;

    #[test]
    fn nodes_go_by_number_and_by_name() {
        for (text, expected) in
            [("1", Some("node1")), ("node2", Some("node2")), ("3", None), ("node", None), ("", None), ("01", None)]
        {
            assert_eq!(text.parse().ok().map(|node: Node| node.to_string()).as_deref(), expected, "{text}");
        }
    }
}
