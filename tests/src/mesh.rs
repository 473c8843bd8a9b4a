//! A world with manifests and agents: what most tests start from.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::{Agent, AgentOptions, ConfigDir, NameServer, Pod, PodSpec, World, manifest, until};

/// How long an agent may take to have a changed file in force.
const PATIENCE: Duration = Duration::from_secs(10);

/// Two nodes, a folder of manifests, and, once started, an agent on each node. The Kubernetes
/// namespaces are `shop`, enrolled, and `outside`, not enrolled.
#[derive(Debug)]
pub struct Mesh {
    // Dropped first: an agent is ended before its world goes.
    agents: BTreeMap<u8, Agent>,
    /// The folder both agents read.
    pub config: ConfigDir,
    /// The namespaces.
    pub world: World,
    services: u8,
}

impl Mesh {
    /// A mesh without pods and agents.
    ///
    /// # Errors
    /// Fails when the world cannot be made.
    pub fn new() -> Result<Self> {
        let world = World::new()?;
        let config = ConfigDir::new(world.directory())?;
        config.write("namespace-shop.yaml", &manifest::namespace("shop", true))?;
        config.write("namespace-outside.yaml", &manifest::namespace("outside", false))?;
        Ok(Self { agents: BTreeMap::new(), config, world, services: 10 })
    }

    /// Makes a pod and writes its manifest.
    ///
    /// # Errors
    /// Fails when the pod cannot be made.
    pub fn pod(&mut self, spec: PodSpec) -> Result<Pod> {
        let pod = self.world.pod(spec)?;
        self.config.write(&pod_file(&pod), &manifest::pod(&pod))?;
        Ok(pod)
    }

    /// Removes a pod's manifest, then the pod.
    ///
    /// # Errors
    /// Fails when one of them is not there.
    pub fn delete(&mut self, pod: &Pod) -> Result<()> {
        self.config.remove(&pod_file(pod))?;
        self.world.delete(pod)
    }

    /// Makes a Service in `shop` for the pods labelled `app: <app>`; gives the addresses of its
    /// port 80 in both families.
    ///
    /// # Errors
    /// Fails when the manifest cannot be written.
    pub fn service(&mut self, app: &str, target_port: u16) -> Result<[SocketAddr; 2]> {
        let number = self.services;
        self.services += 1;
        let text = manifest::service("shop", app, number, target_port);
        self.config.write(&format!("service-{app}.yaml"), &text)?;
        Ok(manifest::service_ips(number).map(|ip| SocketAddr::new(ip, 80)))
    }

    /// Starts an agent on each node and waits until both are ready.
    ///
    /// # Errors
    /// Fails, with its log, when one is not ready in time.
    pub fn start(&mut self) -> Result<()> {
        self.start_with(&[])
    }

    /// The same with more options, as `("--drain-seconds", "2")`.
    ///
    /// # Errors
    /// Fails, with its log, when one is not ready in time.
    pub fn start_with(&mut self, options: &[(&str, &str)]) -> Result<()> {
        for node in [1, 2] {
            self.start_agent(node, options)?;
        }
        self.agents.values_mut().try_for_each(Agent::wait_ready)
    }

    /// Starts the agent of one node, which need not be ready yet.
    ///
    /// # Errors
    /// Fails when there is no agent to start.
    pub fn start_agent(&mut self, node: u8, options: &[(&str, &str)]) -> Result<&mut Agent> {
        let defaults = AgentOptions::new(&self.world, node, self.config.path());
        let options = options.iter().fold(defaults, |all, (name, value)| all.option(name, value));
        self.agents.insert(node, Agent::start(options)?);
        self.agent(node)
    }

    /// Starts an agent on each node that asks this name server, soon again, and waits until both are ready.
    ///
    /// # Errors
    /// Fails, with its log, when one is not ready in time.
    pub fn start_resolving_by(&mut self, names: &NameServer) -> Result<()> {
        for node in [1, 2] {
            let options = AgentOptions::new(&self.world, node, self.config.path()).resolving_by(names.resolv_conf());
            self.agents.insert(node, Agent::start(options.option("--dns-refresh-seconds", "1"))?);
        }
        self.agents.values_mut().try_for_each(Agent::wait_ready)
    }

    /// The agent of node 1 or 2.
    ///
    /// # Errors
    /// Fails when it was not started.
    pub fn agent(&mut self, node: u8) -> Result<&mut Agent> {
        self.agents.get_mut(&node).with_context(|| format!("no agent was started on node {node}"))
    }

    /// Starts a node's agent again, in the place of one that has ended or is on its way out; gives
    /// the old one.
    ///
    /// # Errors
    /// Fails when it was not started before or is not ready in time.
    pub fn restart_agent(&mut self, node: u8) -> Result<Agent> {
        let current = self.agent(node)?;
        let mut new = current.start_again()?;
        new.wait_ready()?;
        Ok(std::mem::replace(current, new))
    }

    /// Writes a manifest and waits until both agents have it in force.
    ///
    /// # Errors
    /// Fails when the file cannot be written or an agent does not take it up in time.
    pub fn apply(&mut self, file: &str, text: &str, name: &str) -> Result<()> {
        self.config.write(file, text)?;
        for (node, agent) in &self.agents {
            let in_force = || agent.config_dump().is_ok_and(|dump| dump.to_string().contains(name));
            until(&format!("{name} in force on node {node}"), PATIENCE, || in_force().then_some(()))?;
        }
        Ok(())
    }
}

/// Test runners show what a failed test wrote, and hide it of the others.
impl Drop for Mesh {
    fn drop(&mut self) {
        for (node, agent) in &self.agents {
            eprintln!("the agent of node {node} logged:\n{}{}", agent.log(), agent.access_text());
        }
    }
}

/// The name of the file with a pod's manifest.
fn pod_file(pod: &Pod) -> String {
    format!("pod-{}-{}.yaml", pod.namespace(), pod.name())
}
