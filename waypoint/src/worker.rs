//! A worker: one thread, one single-threaded runtime, and everything of the connections it accepted: their
//! sockets, streams and buffers never leave it, so nothing on the data path is locked or shared.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ambit_identity::TlsConfigs;
use ambit_runtime::Drain;
use ambit_telemetry::{AccessLog, AgentMetrics, Recorder, Requests};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::task::LocalSet;

use crate::in_force::InForce;
use crate::judged::OpenConnections;
use crate::jwt::{self, Keys, Tokens};
use crate::listener;
use crate::outlet::Published;
use crate::telemetry::{Exports, LogFiles};
use crate::upstream::{self, Groups, Upstreams};

/// What every worker is given.
#[derive(Clone)]
pub(crate) struct WorkerParts {
    /// What is in force.
    pub(crate) published: Published,
    /// Certificates and trust.
    pub(crate) tls: Arc<TlsConfigs>,
    /// Counters of the process.
    pub(crate) metrics: AgentMetrics,
    /// Opens records of connections.
    pub(crate) recorder: Recorder,
    /// Counters of requests.
    pub(crate) requests: Arc<Requests>,
    /// Where requests are logged; none when it is switched off.
    pub(crate) log: Option<AccessLog>,
    /// Files of logs that objects name.
    pub(crate) log_files: Arc<LogFiles>,
    /// Stop order.
    pub(crate) drain: Drain,
    /// What it may have open.
    pub(crate) limits: Limits,
    /// Endpoints of backends, and what is known of them by their use: all workers share them.
    pub(crate) groups: Arc<Groups>,
    /// Keys of the issuers of tokens: all workers share them.
    pub(crate) keys: Arc<Keys>,
}

/// What a worker may have open, and how long it waits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Most tunnels.
    pub(crate) max_tunnels: usize,
    /// How long a client of an unknown protocol may take for its first bytes before it counts as one that waits
    /// for its server's.
    pub(crate) sniffing: Duration,
}

/// What a worker's connections work with: one per worker, on its thread.
pub(crate) struct Worker {
    /// What is in force.
    pub(crate) published: Published,
    /// Certificates and trust.
    pub(crate) tls: Arc<TlsConfigs>,
    /// Counters of the process.
    pub(crate) metrics: AgentMetrics,
    /// Opens records of connections.
    pub(crate) recorder: Recorder,
    /// Counters of requests.
    pub(crate) requests: Arc<Requests>,
    /// Where requests are logged; none when it is switched off.
    pub(crate) log: Option<AccessLog>,
    /// Files of logs that objects name.
    pub(crate) log_files: Arc<LogFiles>,
    /// What waits for collectors.
    pub(crate) exports: Exports,
    /// Stop order.
    pub(crate) drain: Drain,
    /// What it may have open.
    pub(crate) limits: Limits,
    /// Tunnels it has open.
    pub(crate) tunnels: Cell<usize>,
    /// Connections to backends, and what is known of their endpoints.
    pub(crate) upstreams: Upstreams,
    /// Keys of the issuers of tokens.
    pub(crate) keys: Arc<Keys>,
    /// Tokens that were found good.
    pub(crate) tokens: Tokens,
    /// Connections that are judged again when policy changes.
    pub(crate) connections: Rc<OpenConnections>,
    /// For choosing endpoints, and what is done to a share of requests.
    pub(crate) rng: RefCell<SmallRng>,
    /// When a dry-run policy's denial was last logged.
    pub(crate) dry_run_logged: Cell<Option<Instant>>,
    /// When it was last logged that a rate limit service could not be asked.
    pub(crate) limits_logged: Cell<Option<Instant>>,
}

impl Worker {
    /// What is in force, for one decision.
    pub(crate) fn in_force(&self) -> Arc<InForce> {
        self.published.load()
    }

    /// The worker of these parts, on the current thread.
    pub(crate) fn new(parts: WorkerParts) -> Rc<Self> {
        Rc::new(Self {
            published: parts.published,
            tls: parts.tls,
            metrics: parts.metrics,
            recorder: parts.recorder,
            requests: parts.requests,
            log: parts.log,
            log_files: parts.log_files,
            exports: Exports::default(),
            drain: parts.drain,
            limits: parts.limits,
            tunnels: Cell::default(),
            upstreams: Upstreams::new(parts.groups),
            keys: parts.keys,
            tokens: Tokens::default(),
            connections: Rc::default(),
            rng: RefCell::new(SmallRng::from_rng(&mut rand::rng())),
            dry_run_logged: Cell::default(),
            limits_logged: Cell::default(),
        })
    }
}

/// Starts a worker that serves `listener` until the drain has ended.
pub(crate) fn spawn(index: usize, parts: WorkerParts, listener: TcpListener) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
        let local = LocalSet::new();
        local.block_on(&runtime, run(parts, listener));
    })
}

async fn run(parts: WorkerParts, listener: TcpListener) {
    let worker = Worker::new(parts);
    tokio::task::spawn_local(follow(Rc::clone(&worker)));
    listener::serve(&worker, listener).await;
    // Until then connections end here, or are cut.
    worker.drain.cut_off().cancelled().await;
    // Cut connections write their last log line on their next turn.
    tokio::task::yield_now().await;
    worker.exports.flush(&worker).await;
}

/// Acts on each change of what is in force.
pub(crate) async fn follow(worker: Rc<Worker>) {
    let mut published = worker.published.clone();
    loop {
        published.changed().await;
        upstream::in_force_changed(&worker);
        jwt::in_force_changed(&worker);
        let cut = worker.connections.judge_again(&worker.in_force());
        if cut > 0 {
            worker.metrics.policy_cuts.inc_by(u64::try_from(cut).unwrap_or(u64::MAX));
            tracing::info!(connections = cut, "cut open connections that are no longer allowed");
        }
    }
}
