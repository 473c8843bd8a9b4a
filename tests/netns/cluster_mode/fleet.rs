//! A world whose agents are in cluster mode, with their control plane.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;

use ambit_model::{Application, Identity, TunnelProtocol, WaypointFailure, Workload, WorkloadKind, WorkloadUid};
use anyhow::{Context, Result};

use ambit_tests::{Agent, AgentOptions, Pod, PodSpec, World};

use super::control_plane::{ControlPlane, NAME};

pub(crate) struct Fleet {
    // Dropped first: an agent is ended before its world goes.
    agents: BTreeMap<u8, Agent>,
    pub(crate) control_plane: ControlPlane,
    pub(crate) world: World,
}

impl Fleet {
    /// Without pods and agents.
    pub(crate) fn new() -> Result<Self> {
        let world = World::new()?;
        let control_plane = ControlPlane::start(&world)?;
        for node in world.nodes() {
            fs::create_dir(world.directory().join(format!("netns-{}", node.name())))?;
        }
        Ok(Self { agents: BTreeMap::new(), control_plane, world })
    }

    /// Makes a pod whose namespace is where container runtimes keep theirs. Nobody is told of it.
    pub(crate) fn pod(&mut self, name: &str, node: u8) -> Result<Pod> {
        self.place(PodSpec::new("shop", name, node))
    }

    /// The same, of any kind.
    pub(crate) fn place(&mut self, spec: PodSpec) -> Result<Pod> {
        let pod = self.world.pod(spec)?;
        symlink(pod.netns().path(), self.netns_file(&pod))?;
        Ok(pod)
    }

    /// Deletes a pod. Nobody is told.
    pub(crate) fn delete(&mut self, pod: &Pod) -> Result<()> {
        fs::remove_file(self.netns_file(pod))?;
        self.world.delete(pod)
    }

    /// Hides a pod's namespace from who looks where container runtimes keep theirs.
    pub(crate) fn hide(&self, pod: &Pod) -> Result<()> {
        Ok(fs::remove_file(self.netns_file(pod))?)
    }

    /// Where the container runtime of a pod's node keeps its namespaces.
    pub(crate) fn netns_folder(&self, pod: &Pod) -> PathBuf {
        self.world.directory().join(format!("netns-{}", pod.node().name()))
    }

    /// A pod's namespace there, named as containerd does.
    fn netns_file(&self, pod: &Pod) -> PathBuf {
        self.netns_folder(pod).join(format!("cni-{}", pod.name()))
    }

    /// Starts an agent on each node and waits until both are ready.
    pub(crate) fn start(&mut self) -> Result<()> {
        for node in [1, 2] {
            self.start_agent(node, &[])?;
        }
        self.agents.values_mut().try_for_each(Agent::wait_ready)
    }

    /// Starts the agent of one node, which need not be ready yet.
    pub(crate) fn start_agent(&mut self, node: u8, options: &[(&str, &str)]) -> Result<&mut Agent> {
        let directory = self.world.directory();
        let name = self.world.node(node).name();
        let token = directory.join(format!("token-{name}"));
        fs::write(&token, &name)?;
        let netns = directory.join(format!("netns-{name}"));
        let (roots, address) = (self.control_plane.roots(), self.control_plane.address.to_string());
        let own = [
            ("--control-plane", address.as_str()),
            ("--control-plane-name", NAME),
            ("--control-plane-roots", &*roots.to_string_lossy()),
            ("--token", &*token.to_string_lossy()),
            ("--netns-dirs", &*netns.to_string_lossy()),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let defaults = AgentOptions::in_cluster(&self.world, node);
        let options = own.into_iter().chain(options).fold(defaults, |all, (name, value)| all.option(&name, &value));
        self.agents.insert(node, Agent::start(options)?);
        self.agent(node)
    }

    /// The agent of a node.
    pub(crate) fn agent(&mut self, node: u8) -> Result<&mut Agent> {
        self.agents.get_mut(&node).with_context(|| format!("no agent was started on node {node}"))
    }

    /// Starts a node's agent again after its end; it need not be ready yet.
    pub(crate) fn restart_agent(&mut self, node: u8) -> Result<&mut Agent> {
        let again = self.agent(node)?.start_again()?;
        self.agents.insert(node, again);
        self.agent(node)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for (node, agent) in &self.agents {
            eprintln!("the agent of node {node} logged:\n{}{}", agent.log(), agent.access_text());
        }
    }
}

/// A pod's workload, not captured, with these addresses.
pub(crate) fn workload(pod: &Pod, addresses: &[IpAddr]) -> Workload {
    Workload {
        uid: WorkloadUid::pod("Kubernetes", pod.namespace(), pod.name()),
        addresses: addresses.iter().copied().collect(),
        node: pod.node().name().into(),
        locality: None,
        tunnel_protocol: TunnelProtocol::None,
        native_tunnel: false,
        healthy: true,
        host_network: false,
        same_node: None,
        application: Arc::new(Application {
            namespace: pod.namespace().into(),
            identity: Identity::new("cluster.local", pod.namespace(), pod.account()),
            canonical_name: pod.name().into(),
            canonical_revision: "latest".into(),
            kind: WorkloadKind::Pod,
            workload_name: pod.name().into(),
            services: Arc::default(),
            authorization_policies: Arc::default(),
            waypoint: None,
            waypoint_failure: WaypointFailure::default(),
            labels: Arc::default(),
            cluster: "Kubernetes".into(),
            hostname: None,
            weight: 1,
        }),
    }
}

/// A running pod's workload.
pub(crate) fn running(pod: &Pod) -> Workload {
    workload(pod, &[pod.ip4().into(), pod.ip6().into()])
}
