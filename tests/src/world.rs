//! Two nodes and their pods, out of network namespaces: dual stack, routed, pod addresses on the
//! wire, no NAT, no packet filter.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::geteuid;

use crate::network::{self, Guest};
use crate::{Capture, Netns};

/// A world that was given no name is `<this>-<process id>-<count>`.
const PREFIX: &str = "mesh";

/// A node: a namespace that routes between its pods and the other node.
#[derive(Debug, Clone)]
pub struct Node {
    prefix: String,
    number: u8,
}

impl Node {
    fn new(prefix: &str, number: u8) -> Self {
        Self { prefix: prefix.to_owned(), number }
    }

    /// `node-1` or `node-2`, as manifests and agents call it.
    #[must_use]
    pub fn name(&self) -> String {
        format!("node-{}", self.number)
    }

    /// Its namespace.
    #[must_use]
    pub fn netns(&self) -> Netns {
        Netns::named(&self.netns_name())
    }

    /// Its IPv4 address on the link between the nodes.
    #[must_use]
    pub fn ip4(&self) -> Ipv4Addr {
        Ipv4Addr::new(192, 168, 101, self.number)
    }

    /// Its IPv6 address on the link between the nodes.
    #[must_use]
    pub fn ip6(&self) -> Ipv6Addr {
        Ipv6Addr::new(0xfd00, 0x100, 0, 0, 0, 0, 0, self.number.into())
    }

    pub(crate) fn netns_name(&self) -> String {
        format!("{}-{}", self.prefix, self.name())
    }

    pub(crate) fn pod_ip4(&self, index: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 101, self.number, index)
    }

    pub(crate) fn pod_ip6(&self, index: u8) -> Ipv6Addr {
        Ipv6Addr::new(0xfd00, 0x101, self.number.into(), 0, 0, 0, 0, index.into())
    }
}

/// A pod to be made.
#[derive(Debug, Clone)]
pub struct PodSpec {
    namespace: String,
    name: String,
    account: String,
    node: u8,
    index: Option<u8>,
    guest: Option<Guest>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

impl PodSpec {
    /// A pod of node 1 or 2; its service account and its label `app` are its name.
    #[must_use]
    pub fn new(namespace: &str, name: &str, node: u8) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            account: name.to_owned(),
            node,
            index: None,
            guest: None,
            labels: BTreeMap::from([("app".to_owned(), name.to_owned())]),
            annotations: BTreeMap::new(),
        }
    }

    /// Another service account than its name.
    #[must_use]
    pub fn account(mut self, account: &str) -> Self {
        account.clone_into(&mut self.account);
        self
    }

    /// The last number of its addresses, instead of the next free one.
    #[must_use]
    pub fn index(mut self, index: u8) -> Self {
        self.index = Some(index);
        self
    }

    /// A virtual machine: its namespace has none of its addresses, and passes on what is for them.
    #[must_use]
    pub fn guest(mut self, guest: Guest) -> Self {
        self.guest = Some(guest);
        self
    }

    /// One more label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// One more annotation.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.to_owned(), value.to_owned());
        self
    }
}

/// A pod: a namespace linked to its node.
#[derive(Debug, Clone)]
pub struct Pod {
    spec: PodSpec,
    index: u8,
    node: Node,
}

impl Pod {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Its Kubernetes namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.spec.namespace
    }

    /// Its service account.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.spec.account
    }

    /// Its labels.
    #[must_use]
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.spec.labels
    }

    /// Its annotations, that of its network namespace included.
    #[must_use]
    pub fn annotations(&self) -> BTreeMap<String, String> {
        let mut annotations = self.spec.annotations.clone();
        let path = self.outer_netns().path().display().to_string();
        annotations.entry("ambit.io/netns".to_owned()).or_insert(path);
        annotations
    }

    /// Its node.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The network namespace its programs run in.
    #[must_use]
    pub fn netns(&self) -> Netns {
        Netns::named(&self.netns_name())
    }

    /// The network namespace that its node knows: of a virtual machine the one around the guest, else the
    /// same.
    #[must_use]
    pub fn outer_netns(&self) -> Netns {
        Netns::named(&self.outer_netns_name())
    }

    pub(crate) fn outer_netns_name(&self) -> String {
        let name = self.netns_name();
        if self.spec.guest.is_some() { format!("{name}-vm") } else { name }
    }

    /// What it is if it is a virtual machine.
    pub(crate) fn guest(&self) -> Option<Guest> {
        self.spec.guest
    }

    /// Its IPv4 address.
    #[must_use]
    pub fn ip4(&self) -> Ipv4Addr {
        self.node.pod_ip4(self.index)
    }

    /// Its IPv6 address.
    #[must_use]
    pub fn ip6(&self) -> Ipv6Addr {
        self.node.pod_ip6(self.index)
    }

    /// A port at its IPv4 address.
    #[must_use]
    pub fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.ip4()), port)
    }

    /// A port at its IPv6 address.
    #[must_use]
    pub fn at6(&self, port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V6(self.ip6()), port)
    }

    /// Its SPIFFE id in the default trust domain.
    #[must_use]
    pub fn identity(&self) -> String {
        format!("spiffe://cluster.local/ns/{}/sa/{}", self.spec.namespace, self.spec.account)
    }

    /// The last number of its addresses.
    #[must_use]
    pub fn index(&self) -> u8 {
        self.index
    }

    pub(crate) fn netns_name(&self) -> String {
        format!("{}-{}", self.node.prefix, self.spec.name)
    }
}

/// Two nodes and their pods; taken away when dropped.
#[derive(Debug)]
pub struct World {
    prefix: String,
    directory: PathBuf,
    nodes: [Node; 2],
    next_index: u8,
    kept: bool,
}

impl World {
    /// A world of its own, apart from every other one on this machine.
    ///
    /// # Errors
    /// Fails without root, and when the kernel or iproute2 refuses.
    pub fn new() -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        sweep();
        let unique = format!("{PREFIX}-{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self::named(&unique, &std::env::temp_dir().join(&unique))
    }

    /// A world whose namespaces are `<prefix>-<node or pod>` and whose files are in `directory`.
    ///
    /// # Errors
    /// Fails without root, and when the kernel or iproute2 refuses.
    pub fn named(prefix: &str, directory: &Path) -> Result<Self> {
        ensure!(geteuid().is_root(), "network namespaces and eBPF need root: run as root");
        fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
        let nodes = [Node::new(prefix, 1), Node::new(prefix, 2)];
        // From here on Drop cleans up what a failure leaves.
        let world =
            Self { prefix: prefix.to_owned(), directory: directory.to_owned(), nodes, next_index: 2, kept: false };
        let [one, two] = &world.nodes;
        network::make_nodes(one, two)?;
        let bpffs = world.bpffs();
        fs::create_dir_all(&bpffs)?;
        mount(Some("bpf"), &bpffs, Some("bpf"), MsFlags::empty(), None::<&str>).context("mount a bpf file system")?;
        Ok(world)
    }

    /// Takes away what a world of this name has left, if anything.
    ///
    /// # Errors
    /// Fails when a namespace or a file cannot be removed.
    pub fn remove(prefix: &str, directory: &Path) -> Result<()> {
        let names = namespaces(|name| name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('-')));
        network::remove(names.iter().map(String::as_str))?;
        // Pins vanish with their file system.
        umount2(&directory.join("bpffs"), MntFlags::MNT_DETACH).ok();
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("remove {}", directory.display()))
            }
            _ => Ok(()),
        }
    }

    /// Node 1 or, for any other number, node 2.
    #[must_use]
    pub fn node(&self, number: u8) -> &Node {
        let [one, two] = &self.nodes;
        if number == 1 { one } else { two }
    }

    /// Both nodes.
    #[must_use]
    pub fn nodes(&self) -> &[Node; 2] {
        &self.nodes
    }

    /// The world's own folder, for files that live as long as it does.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The world's own bpf file system.
    #[must_use]
    pub fn bpffs(&self) -> PathBuf {
        self.directory.join("bpffs")
    }

    /// Makes a pod.
    ///
    /// # Errors
    /// Fails when the kernel or iproute2 refuses, as for a name that is taken.
    pub fn pod(&mut self, spec: PodSpec) -> Result<Pod> {
        let node = self.node(spec.node).clone();
        let index = spec.index.unwrap_or(self.next_index);
        self.next_index = self.next_index.max(index.saturating_add(1));
        let pod = Pod { spec, index, node };
        network::make_pod(&pod.node, &pod).with_context(|| format!("make pod {}", pod.name()))?;
        Ok(pod)
    }

    /// Deletes a pod; its name and addresses are free again.
    ///
    /// # Errors
    /// Fails when iproute2 refuses.
    pub fn delete(&mut self, pod: &Pod) -> Result<()> {
        network::remove_pod(pod)
    }

    /// Starts to record what passes between the nodes.
    ///
    /// # Errors
    /// Fails when tcpdump cannot be started.
    pub fn capture(&self) -> Result<Capture> {
        Capture::start(self)
    }

    /// Leaves everything in place when this value is dropped; see [`World::remove`].
    pub fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        if let Err(error) = Self::remove(&self.prefix, &self.directory) {
            eprintln!("{}: {error:#}", self.prefix);
        }
    }
}

/// Takes away the worlds of test processes that were killed before they could do so.
fn sweep() {
    let dead = |name: &str| {
        let mut parts = name.strip_prefix(PREFIX)?.strip_prefix('-')?.split('-');
        let (pid, count) = (parts.next()?.parse::<u32>().ok()?, parts.next()?.parse::<u32>().ok()?);
        (!Path::new(&format!("/proc/{pid}")).exists()).then(|| format!("{PREFIX}-{pid}-{count}"))
    };
    let mut worlds: Vec<String> = namespaces(|_| true).iter().filter_map(|name| dead(name)).collect();
    worlds.dedup();
    for world in worlds {
        // Best effort: this world does not need them gone.
        World::remove(&world, &std::env::temp_dir().join(&world)).ok();
    }
}

fn namespaces(wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let entries = fs::read_dir("/run/netns").into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| wanted(name));
    names.sort();
    names
}
