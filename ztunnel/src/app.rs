//! The agent put together: what is started in which order, and how it stops.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ambit_ebpf_loader::{FaultCount, Node, NodeOptions};
use ambit_ebpf_types::NodeConfig;
use ambit_model::WorkloadUid;
use ambit_runtime::{Condition, Drain, Readiness, Signals, Stop, spawn};
use ambit_sys::{AGENT_MARK, AGENT_MARK_MASK, NetNs};
use ambit_telemetry::{AccessLog, LevelControl, Metrics, Recorder};
use anyhow::Context;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::enrolment::{Enrolment, Status};
use crate::folder::{self, Folder, Outlet, Published};
use crate::identities::Identities;
use crate::saved;
use crate::servers::{self, Shown};
use crate::worker::{Kernel, WorkerHandle, WorkerParts};

/// How often failed enrolments are tried again, and pods looked after whose namespace may have gone.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

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
#[derive(Debug, Default)]
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
    pub(crate) pods: BTreeMap<WorkloadUid, Status>,
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
    let identities = Identities::open(&config.identity, tokio::runtime::Handle::current())?;
    let bundle = Arc::clone(&identities.bundle);
    spawn("trust bundle", drain, async move { bundle.watch().await });

    let host = NetNs::own()?;
    let node = Node::load(&NodeOptions {
        cgroup: config.capture.cgroup.clone(),
        pins: config.capture.pins.clone(),
        config: NodeConfig {
            host_netns: host.cookie(),
            agent_mark: AGENT_MARK,
            agent_mark_mask: AGENT_MARK_MASK,
            workers: u32::try_from(config.workers.count.get()).unwrap_or(u32::MAX),
            ..NodeConfig::default()
        },
    })?;
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
        max_connections_per_pod: config.workers.max_connections_per_pod,
    };
    let mut workers = Vec::new();
    for index in 0..config.workers.count.get() {
        workers.push(WorkerHandle::spawn(index, parts.clone(), Kernel::of(&node)?)?);
    }
    drop(parts);
    let enrolment = Enrolment::new(node, host.cookie(), workers, &identities, agent.clone())?;

    let overview = Arc::new(Mutex::new(Overview::default()));
    let shown = Shown { state: Arc::clone(&state), identities, overview: Arc::clone(&overview) };
    servers::start(&config.servers, shown, &logs, &control)?;

    let outlet = Outlet { state: Arc::clone(&state), version, published, metrics: agent };
    watch_folder(&config, outlet, &control);
    let keeper = Keeper { enrolment, state, publications, loaded, condition: pods, overview, drain: drain.clone() };
    let keeper = tokio::spawn(keeper.run());

    let stop = Stop { readiness, drain, deadline: config.drain, requested: stop.clone() };
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

/// Serves the folder; if it can no longer be watched the agent stops, rather than enforce what its
/// users changed long ago.
fn watch_folder(config: &Config, outlet: Outlet, control: &Control) {
    let options = folder::options(&config.identity.trust_domain, &config.node.cluster, &config.node.root_namespace);
    let saved = saved::path(&config.identity.state, &config.node.name);
    let folder = Folder::new(config.folder.clone(), saved, config.node.name.clone(), options, outlet);
    let stop = control.stop.clone();
    spawn("configuration", &control.drain, async move {
        if let Err(error) = folder.serve().await {
            tracing::error!(error = &error as &dyn std::error::Error, "stopping: the configuration is not to be had");
            stop.cancel();
        }
    });
}

/// Keeps enrolment in line with what is published.
struct Keeper {
    enrolment: Enrolment,
    state: Arc<ambit_state::Shared>,
    publications: watch::Receiver<Published>,
    loaded: Condition,
    condition: Condition,
    overview: Arc<Mutex<Overview>>,
    drain: Drain,
}

impl Keeper {
    async fn run(mut self) -> Enrolment {
        loop {
            tokio::select! {
                () = self.drain.cut_off().cancelled() => return self.enrolment,
                changed = self.publications.changed() => if changed.is_err() {
                    self.drain.cut_off().cancelled().await;
                    return self.enrolment;
                },
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
            // Nothing is enrolled any more once the drain has begun, and nothing let go.
            if !self.drain.begun().is_cancelled() {
                self.pass().await;
            }
        }
    }

    async fn pass(&mut self) {
        let Published { pods, problem } = self.publications.borrow_and_update().clone();
        match problem {
            None => self.loaded.ok(),
            Some(problem) => self.loaded.failed(problem),
        }
        if self.state.version() == 0 {
            return; // nothing was published yet: nobody is let go, nobody enrolled
        }
        self.enrolment.reconcile(&self.state.load(), &pods).await;
        let problems = self.enrolment.problems();
        if problems.is_empty() {
            self.condition.ok()
        } else {
            self.condition.failed(problems.join("; "))
        }
        let overview = Overview { pods: self.enrolment.status(), faults: self.enrolment.faults() };
        *self.overview.lock().unwrap_or_else(PoisonError::into_inner) = overview;
    }
}

/// Counters shared by `main` and [`run`].
#[must_use]
pub(crate) fn metrics() -> Metrics {
    Metrics::new("ztunnel", env!("CARGO_PKG_VERSION"))
}
