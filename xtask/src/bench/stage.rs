//! The stage of all contenders: two nodes, and for each contender a client pod on node 1 and a server
//! pod on node 2 of its own.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use ambit_tests::{Mesh, Pod, PodSpec, Process, manifest};
use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::held::HeldConnections;
use super::{proxy, servers};

/// Ports of every server, of the Service and of the bare proxies alike.
pub(super) const HTTP: u16 = 8080;
pub(super) const BULK: u16 = 5201;
pub(super) const ECHO: u16 = 9000;

/// Which service address of the world is the benchmark's.
const SERVICE: u8 = 200;

/// Who carries the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// The kernel alone.
    NoMesh,
    /// A plain TCP proxy on each node.
    TwoHop,
    /// An agent on each node.
    Mesh,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::NoMesh, Self::TwoHop, Self::Mesh];

    /// As in the report.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::NoMesh => "no_mesh",
            Self::TwoHop => "two_hop",
            Self::Mesh => "mesh",
        }
    }
}

/// A pair of pods and what is between them.
#[derive(Debug)]
pub(super) struct Contender {
    pub(super) kind: Kind,
    pub(super) client: Pod,
    pub(super) server: Pod,
    /// The address the client asks.
    pub(super) address: IpAddr,
    /// The processes that carry its traffic.
    pub(super) proxies: Vec<u32>,
}

impl Contender {
    /// A port of the server, as the client asks for it.
    pub(super) fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.address, port)
    }

    /// What `look` finds in the process where it finds most; 0 without processes.
    pub(super) fn largest(&self, look: fn(u32) -> Result<f64>) -> Result<f64> {
        self.proxies.iter().map(|pid| look(*pid)).try_fold(0.0, |most: f64, found| Ok(most.max(found?)))
    }
}

/// Everything that runs; ended when dropped.
#[derive(Debug)]
pub(super) struct Stage {
    contenders: Vec<Contender>,
    // Dropped in this order: the world goes last.
    _processes: Vec<Process>,
    pub(super) mesh: Mesh,
}

impl Stage {
    /// Sets everything up and sees that each contender gets an answer.
    pub(super) fn set(proxy: &Path, with_mesh: bool) -> Result<Self> {
        let mut mesh = Mesh::new()?;
        let mut contenders = vec![contender(&mut mesh, Kind::NoMesh)?, contender(&mut mesh, Kind::TwoHop)?];
        if with_mesh {
            contenders.push(contender(&mut mesh, Kind::Mesh)?);
        }
        let mut processes = Vec::new();
        for contender in &mut contenders {
            widen_port_range(&contender.client)?;
            widen_port_range(&contender.server)?;
            processes.extend(servers::start(mesh.world.directory(), &contender.server)?);
            if contender.kind == Kind::TwoHop {
                let pair = proxy::start(&mesh.world, proxy, &contender.server)?;
                contender.proxies = pair.iter().map(Process::id).collect();
                processes.extend(pair);
            }
        }
        let mut stage = Self { contenders, _processes: processes, mesh };
        if with_mesh {
            stage.start_mesh()?;
        }
        for contender in &stage.contenders {
            HeldConnections::open(contender, 1).with_context(|| format!("{:?} does not work", contender.kind))?;
        }
        if with_mesh {
            let opened = stage.mesh.agent(1)?.metrics()?.opened("source");
            ensure!(opened > 0.0, "the mesh's connections do not pass its agents");
        }
        Ok(stage)
    }

    fn start_mesh(&mut self) -> Result<()> {
        self.mesh.start()?;
        let proxies = [1, 2].map(|node| self.mesh.agent(node).map(|agent| agent.process().id()));
        let proxies = proxies.into_iter().collect::<Result<Vec<_>>>()?;
        let of_mesh = self.contenders.iter_mut().filter(|contender| contender.kind == Kind::Mesh);
        of_mesh.for_each(|contender| contender.proxies.clone_from(&proxies));
        Ok(())
    }

    /// All contenders, starting with another one each round.
    pub(super) fn contenders_from(&self, round: u32) -> impl Iterator<Item = &Contender> {
        let skip = round as usize % self.contenders.len();
        self.contenders.iter().cycle().skip(skip).take(self.contenders.len())
    }

    /// The mesh's contender and its agents, if it takes part.
    pub(super) fn mesh_contender(&self) -> Option<&Contender> {
        self.contenders.iter().find(|contender| contender.kind == Kind::Mesh)
    }
}

fn contender(mesh: &mut Mesh, kind: Kind) -> Result<Contender> {
    let name = kind.name().replace('_', "-");
    let namespace = if kind == Kind::Mesh { "shop" } else { "outside" };
    let client = mesh.pod(PodSpec::new(namespace, &format!("client-{name}"), 1))?;
    let server = mesh.pod(PodSpec::new(namespace, &format!("server-{name}"), 2))?;
    let address = match kind {
        Kind::NoMesh => server.ip4().into(),
        Kind::TwoHop => mesh.world.node(1).ip4().into(),
        Kind::Mesh => {
            mesh.config.write("service-bench.yaml", &service(&server))?;
            let [address, _] = manifest::service_ips(SERVICE);
            address
        }
    };
    Ok(Contender { kind, client, server, address, proxies: Vec::new() })
}

/// A Service in front of all ports of one pod.
fn service(server: &Pod) -> String {
    let [address, _] = manifest::service_ips(SERVICE);
    let port = |name: &str, port: u16| json!({"name": name, "port": port, "targetPort": port});
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "bench", "namespace": server.namespace()},
        "spec": {
            "clusterIP": address,
            "clusterIPs": [address],
            "selector": {"app": server.name()},
            "ports": [port("http", HTTP), port("tcp-bulk", BULK), port("tcp-echo", ECHO)],
        },
    })
    .to_string()
}

/// More local ports than the default 28,232: a closed connection keeps its own for a minute, and one
/// load opens that many.
fn widen_port_range(pod: &Pod) -> Result<()> {
    let path = "/proc/sys/net/ipv4/ip_local_port_range";
    for netns in [pod.netns(), pod.node().netns()] {
        netns.run(|| fs::write(path, "20000 65535"))?.with_context(|| format!("write {path}"))?;
    }
    Ok(())
}
