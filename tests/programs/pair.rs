//! A client pod and a server pod on two nodes, with a Service in front of the server, and maybe a waypoint
//! between them.

mod waypoint;

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use ambit_tests::{Mesh, Pod, PodSpec, Process, run, until};

/// How long a server may take to serve.
const START_TIME: Duration = Duration::from_secs(60);

pub(crate) struct Pair {
    // Server and waypoint end before their mesh goes.
    server: Option<Process>,
    waypoint: Option<(Pod, Process)>,
    pub(crate) client: Pod,
    /// The Service's address.
    pub(crate) service: SocketAddr,
    pod: Pod,
    mesh: Mesh,
}

impl Pair {
    /// Two pods with an agent on each node; the server is to listen on `port`.
    pub(crate) fn new(port: u16) -> Result<Self> {
        let mut mesh = Mesh::new()?;
        let client = mesh.pod(PodSpec::new("shop", "client", 1))?;
        let pod = mesh.pod(PodSpec::new("shop", "server", 2))?;
        let [service, _] = mesh.service("server", port)?;
        mesh.start()?;
        Ok(Self { server: None, waypoint: None, client, service, pod, mesh })
    }

    /// The same behind a waypoint. Each port of the Service is its name and number, and the server's.
    pub(crate) fn behind_waypoint(ports: &[(&str, u16, u16)]) -> Result<Self> {
        let mut mesh = Mesh::new()?;
        let client = mesh.pod(PodSpec::new("shop", "client", 1))?;
        let pod = mesh.pod(PodSpec::new("shop", "server", 2))?;
        let place = waypoint::place(&mut mesh, ports)?;
        mesh.start()?;
        let process = waypoint::start(&mesh, &place)?;
        let (_, port, _) = ports.first().context("a Service without ports")?;
        let service = SocketAddr::new(waypoint::address(), *port);
        Ok(Self { server: None, waypoint: Some((place, process)), client, service, pod, mesh })
    }

    /// An empty folder for the server, owned by `user`.
    pub(crate) fn folder(&self, user: &str) -> Result<PathBuf> {
        let folder = self.mesh.world.directory().join("server");
        fs::create_dir_all(&folder)?;
        run(Command::new("chown").arg(user).arg(&folder))?;
        Ok(folder)
    }

    /// Starts the server and waits until `probe`, run beside it, succeeds.
    pub(crate) fn serve(&mut self, server: &[impl AsRef<OsStr>], probe: &[&str]) -> Result<()> {
        let process = Process::start(self.command(server)?, self.mesh.world.directory(), "server")?;
        let process = self.server.insert(process);
        let (program, arguments) = probe.split_first().context("no probe")?;
        let pod = self.pod.netns();
        until("the server's start", START_TIME, || run(pod.command(program).args(arguments)).ok())
            .with_context(|| process.errors())?;
        Ok(())
    }

    /// The pod the server runs in.
    pub(crate) fn server_pod(&self) -> &Pod {
        &self.pod
    }

    /// The pod of the waypoint.
    pub(crate) fn waypoint_pod(&self) -> Result<&Pod> {
        self.waypoint.as_ref().map(|(pod, _)| pod).context("no waypoint")
    }

    /// Starts another program in a pod; it is to end before this pair does.
    pub(crate) fn start_in(&self, pod: &Pod, program: &[&str], name: &str) -> Result<Process> {
        let (program, arguments) = program.split_first().context("no program")?;
        let mut command = pod.netns().command(program);
        command.args(arguments);
        Process::start(command, self.mesh.world.directory(), name)
    }

    /// Runs a client to its end; gives its output.
    pub(crate) fn ask(&self, client: &[&str]) -> Result<String> {
        let (program, arguments) = client.split_first().context("no program")?;
        run(self.client.netns().command(program).args(arguments))
    }

    /// Checks that all this went through the mesh, as the client.
    pub(crate) fn check_tunnelled(&mut self) -> Result<()> {
        let identity = self.client.identity();
        for node in [1, 2] {
            self.mesh
                .agent(node)?
                .wait_access(|line| line.field("src.identity") == identity && line.field("dst.workload") == "server")?;
        }
        Ok(())
    }

    /// Checks that the client's agent went to the waypoint, and that the server's was told by it who the client is.
    /// Ends the waypoint, whose connections to the server would be kept open.
    pub(crate) fn check_by_waypoint(&mut self) -> Result<()> {
        let (_, mut waypoint) = self.waypoint.take().context("no waypoint")?;
        waypoint.kill()?;
        let identity = self.client.identity();
        for (node, to) in [(1, "wp"), (2, "server")] {
            self.mesh
                .agent(node)?
                .wait_access(|line| line.field("src.identity") == identity && line.field("dst.workload") == to)?;
        }
        Ok(())
    }

    fn command(&self, server: &[impl AsRef<OsStr>]) -> Result<Command> {
        let (program, arguments) = server.split_first().context("no program")?;
        let mut command = self.pod.netns().command(program);
        command.args(arguments);
        Ok(command)
    }
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is not UTF-8")
}
