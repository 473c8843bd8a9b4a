//! A node's programs in place, one pod enrolled, and this process where its agent would be.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::Duration;

use ambit_ebpf_loader::{Enrolment, Node, NodeOptions, OriginalDestinations, default_cgroup, ip as mapped};
use ambit_ebpf_types::{ListenerKey, NodeConfig};
use ambit_sys::{AGENT_MARK, AGENT_MARK_MASK, NetNs};
use anyhow::{Context, Result, ensure};

use ambit_tests::{Netns, Pod, PodSpec, World};

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Kernel {
    pub(crate) node: Node,
    pub(crate) originals: OriginalDestinations,
    pub(crate) options: NodeOptions,
    /// Enrolled, on node 1.
    pub(crate) pod: Pod,
    pub(crate) cookie: u64,
    /// In the mesh's destinations; on node 2, not enrolled.
    pub(crate) web: Pod,
    /// Nothing of the mesh's; beside the pod.
    pub(crate) plain: Pod,
    pub(crate) agent: Option<Listeners>,
    pub(crate) world: World,
}

/// The agent's listeners in the pod.
pub(crate) struct Listeners {
    outbound: [TcpListener; 2],
    inbound: [TcpListener; 2],
}

impl Kernel {
    pub(crate) fn new() -> Result<Self> {
        let mut world = World::new()?;
        let pod = world.pod(PodSpec::new("shop", "pod", 1))?;
        let plain = world.pod(PodSpec::new("outside", "plain", 1))?;
        let web = world.pod(PodSpec::new("shop", "web", 2))?;
        let host_netns = NetNs::open(world.node(1).netns().path())?.cookie();
        let options = NodeOptions {
            cgroup: default_cgroup().context("no cgroup v2 hierarchy is mounted")?,
            pins: world.bpffs().join("node-1"),
            config: NodeConfig {
                host_netns,
                agent_mark: AGENT_MARK,
                agent_mark_mask: AGENT_MARK_MASK,
                ..NodeConfig::default()
            },
        };
        let mut node = Node::load(&options)?;
        node.set_destinations([IpAddr::from(web.ip4()), web.ip6().into()].into_iter())?;
        let originals = node.original_destinations()?;
        let cookie = NetNs::open(pod.netns().path())?.cookie();
        let mut kernel = Self { node, originals, options, pod, cookie, web, plain, agent: None, world };
        kernel.enrol()?;
        Ok(kernel)
    }

    /// Opens the agent's listeners in the pod, and has it captured.
    pub(crate) fn enrol(&mut self) -> Result<()> {
        let netns = self.pod.netns();
        let agent = Listeners { outbound: listeners(&netns)?, inbound: listeners(&netns)? };
        let [ip4, ip6] = [IpAddr::from(self.pod.ip4()), IpAddr::from(self.pod.ip6())].map(mapped);
        let key = |ip, port| ListenerKey { ip, port, worker: 0 };
        let [[outbound4, outbound6], [inbound4, inbound6]] = [&agent.outbound, &agent.inbound];
        let listeners = [
            (key(ip4, 15001), outbound4.as_raw_fd()),
            (key(ip6, 15001), outbound6.as_raw_fd()),
            (key(ip4, 15006), inbound4.as_raw_fd()),
            (key(ip6, 15006), inbound6.as_raw_fd()),
        ];
        let pod = ambit_ebpf_types::Pod { ip4, ip6 };
        let file = File::open(netns.path())?;
        self.node.enrol(&Enrolment {
            netns: file.as_fd(),
            cookie: self.cookie,
            pod,
            listeners: &listeners,
            interfaces: &[],
        })?;
        self.agent = Some(agent);
        Ok(())
    }

    /// Connects from the pod; gives both ends, the agent's being that of the capture port.
    pub(crate) fn captured(&self, to: SocketAddr) -> Result<(TcpStream, TcpStream)> {
        let agent = self.agent.as_ref().context("there is no agent")?;
        arrive(&self.pod.netns(), to, &agent.outbound)
    }

    /// Connects to the pod from elsewhere; gives both ends, the agent's being that of the inbound port.
    pub(crate) fn intercepted(&self, from: &Netns, to: SocketAddr) -> Result<(TcpStream, TcpStream)> {
        let agent = self.agent.as_ref().context("there is no agent")?;
        arrive(from, to, &agent.inbound)
    }

    /// Checks that no program met a fault.
    pub(crate) fn check_no_faults(&self) -> Result<()> {
        for fault in self.node.faults()? {
            ensure!(fault.count == 0, "{} was met {} times", fault.name, fault.count);
        }
        Ok(())
    }
}

/// One for each family.
fn listeners(netns: &Netns) -> Result<[TcpListener; 2]> {
    let open = |family: IpAddr| netns.run(|| ambit_sys::agent_listener(family));
    Ok([open(Ipv4Addr::UNSPECIFIED.into())??, open(Ipv6Addr::UNSPECIFIED.into())??])
}

/// Connects, and finds the other end at the listener of the same family on the wire.
fn arrive(from: &Netns, to: SocketAddr, [v4, v6]: &[TcpListener; 2]) -> Result<(TcpStream, TcpStream)> {
    let app = from.run(|| TcpStream::connect_timeout(&to, PATIENCE))?.with_context(|| format!("connect to {to}"))?;
    let listener = if to.ip().to_canonical().is_ipv4() { v4 } else { v6 };
    // What has connected is in the queue already: not there means it went elsewhere.
    listener.set_nonblocking(true)?;
    let accepted = ambit_tests::until("the connection at the agent's listener", PATIENCE, || listener.accept().ok())?;
    Ok((app, accepted.0))
}
