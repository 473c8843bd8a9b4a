//! A node agent under observation: started in its node's namespace, its logs collected, its
//! endpoints asked.

mod access_log;
pub(crate) mod http;
mod metrics;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;

pub use access_log::AccessLine;
pub use metrics::Metrics;

use crate::{Node, Process, World, resolving_by, until};

/// How long an agent may take to be ready, to write a log line, to end. Generous: machines are slow.
const PATIENCE: Duration = Duration::from_secs(15);

/// The agent's ports on its node's loopback: admin, metrics, readiness.
const ADMIN: u16 = 15000;
const METRICS: u16 = 15020;
const READINESS: u16 = 15021;

/// How an agent is started.
#[derive(Debug, Clone)]
pub struct AgentOptions {
    node: Node,
    directory: PathBuf,
    arguments: BTreeMap<String, OsString>,
    resolv_conf: Option<PathBuf>,
}

impl AgentOptions {
    /// The agent of a node of a world, on the folder `config` and the state all agents of the world
    /// share.
    #[must_use]
    pub fn new(world: &World, node: u8, config: &Path) -> Self {
        let node = world.node(node).clone();
        let directory = world.directory().to_owned();
        let arguments = BTreeMap::from([
            ("--node".to_owned(), node.name().into()),
            ("--config".to_owned(), config.into()),
            ("--state".to_owned(), directory.join("state").into()),
            ("--bpffs".to_owned(), world.bpffs().into()),
        ]);
        Self { node, directory, arguments, resolv_conf: None }
    }

    /// The agent of a node of a world in cluster mode, with no control plane named yet and a state of its
    /// own.
    #[must_use]
    pub fn in_cluster(world: &World, node: u8) -> Self {
        let mut options = Self::new(world, node, Path::new(""));
        options.arguments.remove("--config");
        let state = options.directory.join(format!("state-{}", options.node.name()));
        options.arguments.insert("--state".to_owned(), state.into());
        options
    }

    /// Another file in the place of /etc/resolv.conf.
    #[must_use]
    pub fn resolving_by(mut self, resolv_conf: PathBuf) -> Self {
        self.resolv_conf = Some(resolv_conf);
        self
    }

    /// An option with its value, as `("--drain-seconds", "2")`; the last word on each counts.
    #[must_use]
    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.arguments.insert(name.to_owned(), value.into());
        self
    }
}

/// A running agent; stopped when dropped.
#[derive(Debug)]
pub struct Agent {
    process: Process,
    options: AgentOptions,
}

impl Agent {
    /// Starts an agent; it need not be ready yet.
    ///
    /// # Errors
    /// Fails when there is no agent to start.
    pub fn start(options: AgentOptions) -> Result<Self> {
        let binary = ztunnel_binary()?;
        let mut command = options.node.netns().command(binary);
        for (name, value) in &options.arguments {
            command.arg(name).arg(value);
        }
        if let Some(resolv_conf) = &options.resolv_conf {
            command = resolving_by(resolv_conf, &command);
        }
        let process = Process::start(command, &options.directory, &options.node.name())?;
        Ok(Self { process, options })
    }

    /// Starts another agent the same way; this one may be gone, or be on its way out. Both write to
    /// the same log files.
    ///
    /// # Errors
    /// Fails when it cannot be started.
    pub fn start_again(&self) -> Result<Self> {
        Self::start(self.options.clone())
    }

    /// Waits until it says that all its pods are enrolled.
    ///
    /// # Errors
    /// Fails, with its log, when it ends or is not ready in time.
    pub fn wait_ready(&mut self) -> Result<()> {
        let mut last = String::new();
        let mut ended = None;
        until("the agent's readiness", PATIENCE, || {
            ended = self.process.ended();
            last =
                self.readiness().map_or_else(|error| format!("{error:#}"), |(status, body)| format!("{status} {body}"));
            (ended.is_some() || last.starts_with("200")).then_some(())
        })
        .and_then(|()| ended.map_or(Ok(()), |status| Err(anyhow::anyhow!("the agent ended with {status}"))))
        .with_context(|| format!("{last}; the log of {}:\n{}", self.options.node.name(), self.log()))
    }

    /// Status and text of its readiness.
    ///
    /// # Errors
    /// Fails when it does not answer.
    pub fn readiness(&self) -> Result<(u16, String)> {
        self.http("GET", READINESS, "/healthz/ready")
    }

    /// Its metrics.
    ///
    /// # Errors
    /// Fails when it does not answer.
    pub fn metrics(&self) -> Result<Metrics> {
        let (status, body) = self.http("GET", METRICS, "/metrics")?;
        ensure!(status == 200, "metrics: {status} {body}");
        Ok(Metrics::parse(&body))
    }

    /// What it has in force.
    ///
    /// # Errors
    /// Fails when it does not answer with JSON.
    pub fn config_dump(&self) -> Result<Value> {
        let (status, body) = self.http("GET", ADMIN, "/config_dump")?;
        ensure!(status == 200, "config dump: {status} {body}");
        serde_json::from_str(&body).context("config dump")
    }

    /// Asks its admin endpoint, giving status and text.
    ///
    /// # Errors
    /// Fails when it does not answer.
    pub fn admin(&self, method: &str, path: &str) -> Result<(u16, String)> {
        self.http(method, ADMIN, path)
    }

    /// All lines of its access log so far.
    #[must_use]
    pub fn access_log(&self) -> Vec<AccessLine> {
        self.access_text().lines().filter_map(AccessLine::parse).collect()
    }

    /// Its access log so far, as it is.
    #[must_use]
    pub fn access_text(&self) -> String {
        self.process.output()
    }

    /// Waits for a line of its access log.
    ///
    /// # Errors
    /// Fails, with the log, when none comes.
    pub fn wait_access(&self, wanted: impl Fn(&AccessLine) -> bool) -> Result<AccessLine> {
        until("an access log line", PATIENCE, || self.access_log().into_iter().find(&wanted))
            .with_context(|| format!("the access log:\n{}", self.access_text()))
    }

    /// Its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.errors()
    }

    /// Waits for its log to contain a text.
    ///
    /// # Errors
    /// Fails, with the log, when it does not come.
    pub fn wait_log(&self, text: &str) -> Result<()> {
        until(&format!("{text:?} in the log"), PATIENCE, || self.log().contains(text).then_some(()))
            .with_context(|| format!("the log:\n{}", self.log()))
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Ends it as an operator would, and waits for that.
    ///
    /// # Errors
    /// Fails when it was gone, or does not end.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.process.signal(Signal::SIGTERM)?;
        self.process.wait(PATIENCE)
    }

    /// Lets it run on after this process has ended.
    pub fn leave(self) {
        self.process.leave();
    }

    fn http(&self, method: &str, port: u16, path: &str) -> Result<(u16, String)> {
        let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
        self.options.node.netns().run(|| http::request(method, address, path))?
    }
}

/// The agent's binary: what `AMBIT_ZTUNNEL` names, else the release build.
///
/// # Errors
/// Fails when it is not there.
pub fn ztunnel_binary() -> Result<PathBuf> {
    let target = || match std::env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => PathBuf::from(directory),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"),
    };
    let binary = std::env::var_os("AMBIT_ZTUNNEL").map_or_else(|| target().join("release/ztunnel"), PathBuf::from);
    ensure!(binary.is_file(), "no agent at {}: build it, or name it in AMBIT_ZTUNNEL", binary.display());
    Ok(binary)
}
