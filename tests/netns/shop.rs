//! The mesh most tests use: `client` and `other` on node 1, `web` on node 2 with an echo server and
//! a Service, all enrolled; `plain` on node 2, not enrolled.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Result;

use ambit_tests::{Agent, Behaviour, Mesh, Netns, Outcome, Pod, PodSpec, Server, ask, until};

/// The port of every server.
pub(crate) const PORT: u16 = 8080;

/// How long a change may take to be felt.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Shop {
    pub(crate) server: Server,
    pub(crate) client: Pod,
    pub(crate) other: Pod,
    pub(crate) web: Pod,
    pub(crate) plain: Pod,
    /// Port 80 of the Service in front of `web`.
    pub(crate) service: SocketAddr,
    /// The same in IPv6.
    pub(crate) service6: SocketAddr,
    pub(crate) mesh: Mesh,
}

impl Shop {
    /// Without agents yet.
    pub(crate) fn closed() -> Result<Self> {
        let mut mesh = Mesh::new()?;
        let client = mesh.pod(PodSpec::new("shop", "client", 1))?;
        let other = mesh.pod(PodSpec::new("shop", "other", 1))?;
        let web = mesh.pod(PodSpec::new("shop", "web", 2))?;
        let plain = mesh.pod(PodSpec::new("outside", "plain", 2))?;
        let [service, service6] = mesh.service("web", PORT)?;
        let server = Server::start(&web.netns(), PORT, Behaviour::Whoami)?;
        Ok(Self { server, client, other, web, plain, service, service6, mesh })
    }

    /// With an agent on each node, ready.
    pub(crate) fn open() -> Result<Self> {
        let mut shop = Self::closed()?;
        shop.mesh.start()?;
        Ok(shop)
    }
}

/// The address a server that says who asks has seen.
pub(crate) fn seen(from: &Netns, to: SocketAddr) -> Result<IpAddr> {
    Ok(ask(from, to, "who")?.answer()?.parse::<SocketAddr>()?.ip())
}

/// Asks until the attempt is turned down.
pub(crate) fn wait_turned_down(from: &Netns, to: SocketAddr) -> Result<()> {
    wait_outcome(from, to, "is turned down", Outcome::is_turned_down)
}

/// Asks until there is an answer.
pub(crate) fn wait_answered(from: &Netns, to: SocketAddr) -> Result<()> {
    wait_outcome(from, to, "is answered", |outcome| matches!(outcome, Outcome::Answered(_)))
}

/// Connects until the agent logs a connection from `pod`, that is, until it is captured.
pub(crate) fn wait_captured(agent: &Agent, pod: &Pod, to: SocketAddr) -> Result<()> {
    until(&format!("{} captured", pod.name()), PATIENCE, || {
        ask(&pod.netns(), to, "who").ok()?;
        agent.access_log().iter().any(|line| line.field("src.workload") == pod.name()).then_some(())
    })
}

fn wait_outcome(from: &Netns, to: SocketAddr, what: &str, wanted: impl Fn(&Outcome) -> bool) -> Result<()> {
    until(&format!("a connection to {to} that {what}"), PATIENCE, || {
        ask(from, to, "who").ok().filter(&wanted).map(drop)
    })
}
