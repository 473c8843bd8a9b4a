//! The agent put together: what is started in which order, and how it stops.

use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ambit_ebpf_loader::{FaultCount, LoadError, Node, NodeOptions};
use ambit_ebpf_types::NodeConfig;
use ambit_runtime::{Drain, Readiness, Signals, Stop, spawn};
use ambit_sys::{AGENT_MARK, AGENT_MARK_MASK, NetNs};
use ambit_telemetry::{AccessLog, LevelControl, Metrics, Recorder};
use anyhow::Context;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, SourceConfig};
use crate::enrolment::{Enrolment, Standings};
use crate::feed::Feed;
use crate::keeper::Keeper;
use crate::names;
use crate::outlet::{Outlet, Published};
use crate::servers::{self, Shown};
use crate::worker::{Kernel, WorkerHandle, WorkerParts};

/// How long the access log may take to be written at the end.
const FLUSH: Duration = Duration::from_secs(2);

/// Outputs set up by `main`.
pub(crate) struct Logs {
    /// Changes the log level.
    pub(crate) level: LevelControl,
    /// None when it is switched off.
    pub(crate) access: Option<AccessLog>,
    /// Counters, the access log's among them.
    pub(crate) metrics: Arc<Metrics>,
}

/// How the agent is told to stop, and says whether it is ready.
#[derive(Debug, Clone, Default)]
pub(crate) struct Control {
    /// What is open.
    pub(crate) drain: Drain,
    /// What must hold before traffic may come.
    pub(crate) readiness: Readiness,
    /// Cancelled by whoever asks the agent to stop.
    pub(crate) stop: CancellationToken,
}

/// How pods and kernel programs stand, as the admin page shows it.
#[derive(Debug, Default)]
pub(crate) struct Overview {
    /// Pods of this node.
    pub(crate) pods: Standings,
    /// What kernel programs counted.
    pub(crate) faults: Vec<FaultCount>,
}

/// Runs the agent until it is told to stop.
pub(crate) async fn run(config: Config, logs: Logs) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen().context("cannot handle signals")?;
    ambit_sys::raise_open_files().context("cannot raise the limit on open files")?;
    let control = Control::default();
    let Control { drain, readiness, stop } = &control;
    let loaded = readiness.condition("configuration");
    let pods = readiness.condition("pods");
    let mut feed = Feed::open(&config)?;
    let identities = feed.identities.clone();

    let host = NetNs::own()?;
    let node = load(&config, host.cookie())?;
    let state = Arc::<ambit_state::Shared>::default();
    let (version, versions) = watch::channel(0);
    let (published, publications) = watch::channel(Published::default());
    let agent = logs.metrics.agent.clone();
    let parts = WorkerParts {
        state: Arc::clone(&state),
        published: versions,
        tls: Arc::clone(&identities.tls),
        metrics: agent.clone(),
        recorder: Recorder::new(Arc::clone(&logs.metrics.traffic), logs.access.clone()),
        drain: drain.clone(),
        closed: closed(&config.source, drain),
        max_connections_per_pod: config.workers.max_connections_per_pod,
    };
    let mut workers = Vec::new();
    for index in 0..config.workers.count.get() {
        workers.push(WorkerHandle::spawn(index, parts.clone(), Kernel::of(&node)?)?);
    }
    drop(parts);
    let enrolment = Enrolment::new(node, host.cookie(), workers, &identities, agent.clone())?.with(feed.finder.take());

    let overview = Arc::new(Mutex::new(Overview::default()));
    let shown = Shown { state: Arc::clone(&state), identities, overview: Arc::clone(&overview) };
    servers::start(&config.servers, shown, &logs, &control)?;

    let outlet = Outlet { state: Arc::clone(&state), version, published, metrics: agent };
    let (standings, standing) = watch::channel(Standings::default());
    let looked_up = readiness.condition("host names");
    spawn("host names", drain, names::look_up(outlet.clone(), config.dns_refresh, looked_up));
    feed.start(&config, outlet, standing, &control);
    let keeper =
        Keeper { enrolment, state, publications, standings, loaded, condition: pods, overview, drain: drain.clone() };
    let keeper = tokio::spawn(keeper.run());

    let stop = Stop { readiness, drain, notice: Duration::ZERO, deadline: config.drain, requested: stop.clone() };
    let outcome = stop.run(async || signals.next().await, || ()).await;
    if let Ok(enrolment) = keeper.await {
        enrolment.join();
    }
    if let Some(log) = logs.access
        && !log.flush(FLUSH)
    {
        tracing::warn!("the access log could not be written to its end");
    }
    Ok(outcome.into())
}

/// When no more connections are accepted. A DaemonSet starts the next agent when this one has ended: until
/// then there is nobody else to take them. Elsewhere a successor may be there already.
fn closed(source: &SourceConfig, drain: &Drain) -> CancellationToken {
    match source {
        SourceConfig::Folder(_) => drain.begun().clone(),
        SourceConfig::ControlPlane(_) => drain.cut_off().clone(),
    }
}

/// The kernel side.
fn load(config: &Config, host_netns: u64) -> Result<Node, LoadError> {
    Node::load(&NodeOptions {
        cgroup: config.capture.cgroup.clone(),
        pins: config.capture.pins.clone(),
        config: NodeConfig {
            host_netns,
            agent_mark: AGENT_MARK,
            agent_mark_mask: AGENT_MARK_MASK,
            workers: u32::try_from(config.workers.count.get()).unwrap_or(u32::MAX),
            ..NodeConfig::default()
        },
    })
}

/// Counters shared by `main` and [`run`].
#[must_use]
pub(crate) fn metrics() -> Metrics {
    Metrics::new("ztunnel", env!("CARGO_PKG_VERSION"))
}
