//! What runs, and where it is.

use anyhow::Result;

use super::{
    kubeconfig,
    layout::{NODES, STATE},
    node, processes, programs,
    shell::kubectl,
};
use crate::command;

/// Prints it.
pub(super) fn show() -> Result<()> {
    let names = processes::names();
    if names.is_empty() {
        println!("no cluster; `cargo xtask cluster up` starts one");
        return Ok(());
    }
    for name in names {
        match processes::running(&name) {
            Some(pid) => println!("{name:24} process {pid}"),
            None => println!("{name:24} has ended; see {STATE}/log/{name}.log"),
        }
    }
    for node in NODES {
        match node::root(node) {
            Ok(root) => {
                println!("{node:24} files {}, network namespace {}", root.display(), node.member().netns_name())
            }
            Err(error) => println!("{node:24} {error}"),
        }
    }
    println!("{:24} {}", "kubeconfig", kubeconfig::path(kubeconfig::ADMIN).display());
    println!("{:24} {} (kubectl, helm, fortio)", "programs", programs::folder().display());
    command::run(kubectl().args(["get", "nodes,pods", "--all-namespaces", "--output=wide"]))
}
