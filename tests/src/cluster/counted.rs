//! Packets as a node's network sees them.

use anyhow::{Context as _, Result};

use super::Node;

/// Counts the packets that come to a node from its pods or from elsewhere, before anything translates them;
/// until dropped.
#[derive(Debug)]
pub struct Counted {
    node: Node,
    table: String,
}

impl Counted {
    /// Those that an nftables expression matches, under a name of the test's own.
    ///
    /// # Errors
    /// Fails when nft refuses it.
    pub fn new(node: Node, name: &str, expression: &str) -> Result<Self> {
        let counted = Self { node, table: format!("inet {name}") };
        let table = &counted.table;
        node.exec(&format!("nft delete table {table} 2>/dev/null; nft add table {table}"))?;
        // Of what a hook does, that of the lowest priority is first: kube-proxy translates at -100.
        for rule in [
            format!("add counter {table} seen"),
            format!("add chain {table} arriving '{{ type filter hook prerouting priority -300; }}'"),
            format!("add rule {table} arriving {expression} counter name seen"),
        ] {
            node.exec(&format!("nft {rule}"))?;
        }
        Ok(counted)
    }

    /// How many there were.
    ///
    /// # Errors
    /// Fails when nft does.
    pub fn packets(&self) -> Result<u64> {
        let said = self.node.exec(&format!("nft list counter {} seen", self.table))?;
        let number = said.split("packets ").nth(1).and_then(|rest| rest.split(' ').next());
        number.with_context(|| format!("nft said {said}"))?.parse().context("no number")
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.node.exec(&format!("nft delete table {}", self.table)).ok();
    }
}
