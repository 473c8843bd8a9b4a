//! `cargo xtask cluster`: a real Kubernetes of two nodes on this machine. API server, kubelets,
//! containerd and kube-proxies are the real programs; a node is a network namespace and a mount
//! namespace, so that each has the paths every chart names. Neither registry nor virtual machine.
//!
//! One cluster a machine, whatever tree it was started from: all of it is in [`layout::STATE`].

mod build;
mod cgroups;
mod control_plane;
mod dns;
mod down;
mod gateway_api;
mod kubeconfig;
mod layout;
mod mounts;
mod network;
mod node;
mod own_images;
mod processes;
mod programs;
mod shell;
mod status;
mod sysctls;

use std::{ffi::OsString, fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use nix::fcntl::{Flock, FlockArg};

use crate::{command, images, packages};
use layout::{NODES, Node};

#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    /// Start the cluster, or what of it does not run; the first time builds Kubernetes (some minutes).
    Up,
    /// Import image archives on both nodes; without a name build those of the working tree.
    Load {
        /// Archives as `docker save` writes them
        archives: Vec<PathBuf>,
        #[command(flatten)]
        images: images::Args,
    },
    /// A shell, or one command, with kubectl and helm on the path and the cluster as their default.
    Shell {
        /// The command, after `--`
        #[arg(last = true)]
        command: Vec<OsString>,
    },
    /// Run a command in a node's network and mount namespaces.
    ExecNode {
        node: Node,
        /// The command, after `--`
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
    /// End everything on a node at once, as pulling its plug would.
    NodeStop { node: Node },
    /// Start a node again: what was on its disk is there, what was in memory is not.
    NodeStart { node: Node },
    /// A step of a node's start that ends the process.
    #[command(hide = true)]
    HoldNamespaces { node: Node },
    /// Tell what runs and where things are.
    Status,
    /// End the cluster and take away everything of it but the built programs.
    Down,
}

pub(crate) fn run(verb: &Verb) -> Result<()> {
    ensure!(command::is_root(), "a cluster takes namespaces, mounts and cgroups: run as root");
    match verb {
        Verb::Up => up(),
        Verb::Load { archives, images } => load(archives, images),
        Verb::Shell { command } => shell::run(command),
        Verb::ExecNode { node, command } => shell::exec_node(*node, command),
        Verb::NodeStop { node } => locked(|| node::stop(*node)),
        Verb::NodeStart { node } => locked(|| node::start(*node)),
        Verb::HoldNamespaces { node } => node::make_namespaces(*node),
        Verb::Status => status::show(),
        Verb::Down => locked(down::all),
    }
}

/// Whether any of it runs.
pub(crate) fn is_up() -> bool {
    NODES.into_iter().any(|node| node.holder().is_ok())
}

/// What commands for the cluster need in their environment.
pub(crate) fn environment() -> Result<[(&'static str, OsString); 4]> {
    shell::environment()
}

/// Where Helm is, which is built if need be.
pub(crate) fn helm() -> Result<PathBuf> {
    build::one("helm")
}

/// Where fortio is, which is built if need be.
pub(crate) fn fortio() -> Result<PathBuf> {
    build::one("fortio")
}

/// Where h2spec is, which is built if need be.
pub(crate) fn h2spec() -> Result<PathBuf> {
    build::one("h2spec")
}

/// The folder with the Gateway API's definitions, which are fetched if need be.
pub(crate) fn gateway_api() -> Result<PathBuf> {
    gateway_api::definitions()
}

/// The folder with Kubernetes' programs, which are built if need be.
pub(crate) fn kubernetes() -> Result<PathBuf> {
    build::kubernetes()?;
    Ok(programs::folder())
}

/// What the programs come in, and what the harness itself calls.
const PACKAGES: [&str; 9] = [
    "busybox-static",
    "containerd",
    "containernetworking-plugins",
    "iproute2",
    "iptables",
    "nftables",
    "openssl",
    "runc",
    "util-linux",
];

fn up() -> Result<()> {
    locked(|| {
        packages::install(&PACKAGES)?;
        build::all()?;
        own_images::write()?;
        sysctls::note()?;
        network::make()?;
        control_plane::start()?;
        NODES.into_iter().try_for_each(node::start)?;
        dns::start()?;
        status::show()
    })
}

fn load(archives: &[PathBuf], images: &images::Args) -> Result<()> {
    let archives = if archives.is_empty() { images::build(images)? } else { archives.to_vec() };
    for archive in &archives {
        NODES.into_iter().try_for_each(|node| node::import(node, archive))?;
        println!("{} is on both nodes", archive.display());
    }
    Ok(())
}

/// Does `work` while no other process changes the cluster.
fn locked(work: impl FnOnce() -> Result<()>) -> Result<()> {
    let file = fs::File::open(layout::LOCK).with_context(|| format!("opening {}", layout::LOCK))?;
    let _lock = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| error)?;
    work()
}
