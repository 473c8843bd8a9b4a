//! The waypoint put together: what is started in which order, and how it stops.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use ambit_folder::Folder;
use ambit_identity::CertificateAuthority;
use ambit_runtime::{Drain, Readiness, Signals, Stop, spawn};
use ambit_telemetry::{AccessLog, LevelControl, Metrics, Recorder};
use anyhow::Context;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::identities::Identities;
use crate::jwt::Keys;
use crate::manifests::Standalone;
use crate::servers::{self, Shown};
use crate::upstream::Groups;
use crate::worker::{self, WorkerParts};
use crate::{listener, outlet};

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

/// How the waypoint is told to stop, and says whether it is ready.
#[derive(Debug, Clone, Default)]
pub(crate) struct Control {
    /// What is open.
    pub(crate) drain: Drain,
    /// What must hold before traffic may come.
    pub(crate) readiness: Readiness,
    /// Cancelled by whoever asks the process to stop.
    pub(crate) stop: CancellationToken,
}

/// Runs the waypoint until it is told to stop.
pub(crate) async fn run(config: Config, logs: Logs) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen().context("cannot handle signals")?;
    ambit_sys::raise_open_files().context("cannot raise the limit on open files")?;
    let control = Control::default();
    let loaded = control.readiness.condition("configuration");
    let identities = Identities::embedded(&config.identity, Handle::current())?;
    let (outlet, published) = outlet::channel(config.name.service(), loaded);

    let parts = WorkerParts {
        published: published.clone(),
        tls: Arc::clone(&identities.tls),
        metrics: logs.metrics.agent.clone(),
        recorder: Recorder::new(Arc::clone(&logs.metrics.traffic), logs.access.clone()),
        requests: Arc::clone(&logs.metrics.requests),
        log: logs.access.clone(),
        groups: Arc::<Groups>::default(),
        keys: Arc::<Keys>::default(),
        drain: control.drain.clone(),
        limits: config.workers.limits,
    };
    let mut workers = Vec::new();
    for index in 0..config.workers.count.get() {
        let address = config.workers.listen;
        let listener = listener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
        workers.push(worker::spawn(index, parts.clone(), listener)?);
    }
    drop(parts);
    let shown = Shown { published, identities: identities.clone() };
    servers::start(&config.servers, shown, &logs, &control)?;

    let manifests = Standalone::new(config.name.clone(), config.options.clone(), outlet, logs.metrics.agent.clone());
    follow(&config, manifests, &identities, &control);

    let Control { drain, readiness, stop } = control;
    let stop = Stop { readiness: &readiness, drain: &drain, deadline: config.drain, requested: stop };
    let outcome = stop.run(async || signals.next().await, || ()).await;
    for worker in workers {
        if worker.join().is_err() {
            tracing::error!("a worker panicked");
        }
    }
    if let Some(log) = logs.access
        && !log.flush(FLUSH)
    {
        tracing::warn!("the access log could not be written to its end");
    }
    Ok(outcome.into())
}

/// Serves the folder; if it can no longer be watched the waypoint stops, rather than enforce what its users changed
/// long ago.
fn follow(config: &Config, manifests: Standalone, identities: &Identities, control: &Control) {
    let roots = CertificateAuthority::roots_path(&config.identity.state);
    let bundle = Arc::clone(&identities.bundle);
    spawn("trust bundle", &control.drain, async move { bundle.watch(&roots).await });
    let saved =
        config.identity.state.join("manifests").join(format!("waypoint-{}", config.name.gateway).replace('/', "."));
    let folder = Folder::new(config.folder.clone(), saved, manifests);
    let stop = control.stop.clone();
    spawn("configuration", &control.drain, async move {
        if let Err(error) = folder.serve().await {
            tracing::error!(error = &error as &dyn std::error::Error, "stopping: the configuration is not to be had");
            stop.cancel();
        }
    });
}
