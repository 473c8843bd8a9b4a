//! The waypoint put together: what is started in which order, and how it stops.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use ambit_runtime::{Drain, Readiness, Signals, Stop, spawn};
use ambit_telemetry::{AccessLog, LevelControl, Metrics, Recorder};
use anyhow::Context;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::feed::{self, Feed};
use crate::jwt::Keys;
use crate::servers::{self, Shown};
use crate::telemetry::LogFiles;
use crate::upstream::Groups;
use crate::worker::{self, WorkerParts};
use crate::{listener, names, outlet};

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
    let certificate = control.readiness.condition("certificate");
    let feed = Feed::open(&config)?;
    let identities = feed.identities.clone();
    let (outlet, published) = outlet::channel(config.name.service(), loaded);

    let log_files = Arc::<LogFiles>::default();
    let parts = WorkerParts {
        published: published.clone(),
        tls: Arc::clone(&identities.tls),
        metrics: logs.metrics.agent.clone(),
        recorder: Recorder::new(Arc::clone(&logs.metrics.traffic), logs.access.clone()),
        requests: Arc::clone(&logs.metrics.requests),
        log: logs.access.clone(),
        log_files: Arc::clone(&log_files),
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
    let shown = Shown { published: published.clone(), identities: identities.clone() };
    servers::start(&config.servers, shown, &logs, &control)?;

    let looked_up = control.readiness.condition("host names");
    spawn(
        "host names",
        &control.drain,
        names::look_up(outlet.place(), published.clone(), config.dns_refresh, looked_up),
    );
    spawn("certificate", &control.drain, feed::certified(published, identities, certificate));
    feed.start(&config, outlet, logs.metrics.agent.clone(), &control);

    let Control { drain, readiness, stop } = control;
    let (notice, deadline) = (config.notice, config.drain);
    let stop = Stop { readiness: &readiness, drain: &drain, notice, deadline, requested: stop };
    let outcome = stop.run(async || signals.next().await, || ()).await;
    for worker in workers {
        if worker.join().is_err() {
            tracing::error!("a worker panicked");
        }
    }
    log_files.flush(FLUSH);
    if let Some(log) = logs.access
        && !log.flush(FLUSH)
    {
        tracing::warn!("the access log could not be written to its end");
    }
    Ok(outcome.into())
}
