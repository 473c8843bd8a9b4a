//! The program at both ends (`examples/l7-ends`), and what it finds.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ambit_tests::{Netns, run};
use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::contender::Contender;
use super::footprint;
use super::manifests::{CLIENT, SERVICE};

/// The program.
#[derive(Debug, Clone)]
pub(super) struct Ends {
    binary: PathBuf,
}

/// What is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Speak {
    Http1,
    Http2,
    Grpc,
}

impl Speak {
    pub(super) const ALL: [Self; 3] = [Self::Http1, Self::Http2, Self::Grpc];

    /// As in the report.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::Http2 => "http2",
            Self::Grpc => "grpc",
        }
    }

    /// The service's port.
    fn port(self) -> u16 {
        if self == Self::Http1 { 80 } else { 81 }
    }
}

/// Requests of one kind for a while.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) speak: Speak,
    pub(super) connections: u32,
    pub(super) routes: u32,
    pub(super) seconds: f64,
    /// A second; else as many as there are answers.
    pub(super) rate: Option<f64>,
}

/// What came of a load.
#[derive(Debug)]
pub(super) struct Seen {
    count: Count,
    cpu_seconds: f64,
    /// Microseconds.
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) failures: u64,
}

#[derive(Debug, Deserialize)]
struct Count {
    requests: f64,
    seconds: f64,
}

#[derive(Debug, Deserialize)]
struct Latency {
    p50: f64,
    p99: f64,
    failures: u64,
}

impl Seen {
    /// Requests a second of the proxy's processor time.
    pub(super) fn per_cpu_second(&self) -> f64 {
        self.count.requests / self.cpu_seconds
    }

    pub(super) fn per_second(&self) -> f64 {
        self.count.requests / self.count.seconds
    }
}

impl Ends {
    pub(super) fn new(binary: PathBuf) -> Self {
        Self { binary }
    }

    /// The command of a server.
    pub(super) fn server(&self, netns: &Netns, state: &Path, address: &str) -> Command {
        let mut command = netns.command(&self.binary);
        command.arg("serve").arg("--state").arg(state).args(["--address", address]);
        command
    }

    /// Writes a certificate of the mesh.
    pub(super) fn certificate(&self, state: &Path, folder: &Path, identity: &str) -> Result<()> {
        let mut command = Command::new(&self.binary);
        run(command.arg("certificate").arg("--state").arg(state).arg("--folder").arg(folder).arg(identity)).map(drop)
    }

    /// Puts a load on a contender.
    pub(super) fn load(&self, netns: &Netns, state: &Path, load: &Load, contender: &Contender) -> Result<Seen> {
        let mut command = self.way(netns, "load", state, (contender, load.speak.port()));
        command.args(["--speak", load.speak.name(), "--connections", &load.connections.to_string()]);
        command.args(["--routes", &load.routes.to_string(), "--seconds", &load.seconds.to_string()]);
        if let Some(rate) = load.rate {
            command.args(["--rate", &rate.to_string()]);
        }
        let mut child = command.stdout(Stdio::piped()).spawn().context("start the load")?;
        let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        let mut line = || lines.next().context("the load broke off")?.context("read the load's output");
        let pid = contender.process.id();
        ensure!(line()? == "counting", "the load says something else");
        let before = footprint::cpu_seconds(pid)?;
        let count = line()?;
        let cpu_seconds = footprint::cpu_seconds(pid)? - before;
        let Latency { p50, p99, failures } = serde_json::from_str(&line()?)?;
        ensure!(child.wait()?.success(), "the load failed");
        Ok(Seen { count: serde_json::from_str(&count)?, cpu_seconds, p50, p99, failures })
    }

    /// Puts a file in the place of another, and gives the milliseconds until a path is answered.
    pub(super) fn change(
        &self,
        netns: &Netns,
        state: &Path,
        contender: &Contender,
        (new, path): (&Path, &str),
    ) -> Result<f64> {
        let mut command = self.way(netns, "change", state, (contender, Speak::Http1.port()));
        command.arg("--new").arg(new).arg("--old").arg(&contender.routes).args(["--path", path]);
        run(&mut command)?.trim().parse().context("no milliseconds")
    }

    fn way(&self, netns: &Netns, what: &str, state: &Path, (to, port): (&Contender, u16)) -> Command {
        let mut command = netns.command(&self.binary);
        command.arg(what).arg("--state").arg(state).args(["--from", CLIENT]);
        command.args(["--waypoint", &format!("{}:15008", to.kind.address()), "--to", &format!("{SERVICE}:{port}")]);
        command
    }
}
