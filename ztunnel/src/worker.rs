//! A worker: one thread, one single-threaded runtime, and everything of the connections it accepted:
//! their sockets, tunnels and buffers never leave it, so nothing on the data path is locked or shared.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ambit_ebpf_loader::{AgentSockets, MapFault, Node, OriginalDestinations};
use ambit_hbone::Settings;
use ambit_identity::TlsConfigs;
use ambit_runtime::Drain;
use ambit_state::{Shared, Snapshot};
use ambit_telemetry::{AgentMetrics, Recorder};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;

use crate::judged::OpenConnections;
use crate::pod::{Listeners, SharedPod};
use crate::tunnel::Tunnels;
use crate::{gauges, listener};

/// How long a tunnel without connections is kept, as the field's node proxies keep it.
const TUNNEL_IDLE: Duration = Duration::from_secs(300);

/// What every worker is given.
#[derive(Clone)]
pub(crate) struct WorkerParts {
    /// The mesh.
    pub(crate) state: Arc<Shared>,
    /// Told of each publication.
    pub(crate) published: watch::Receiver<u64>,
    /// Certificates and trust.
    pub(crate) tls: Arc<TlsConfigs>,
    /// Counters.
    pub(crate) metrics: AgentMetrics,
    /// Opens connection records.
    pub(crate) recorder: Recorder,
    /// Stop order.
    pub(crate) drain: Drain,
    /// Cancelled when no more connections are accepted.
    pub(crate) closed: CancellationToken,
    /// Most open connections of one pod, each way.
    pub(crate) max_connections_per_pod: usize,
}

/// A worker's own handles on the kernel's maps.
pub(crate) struct Kernel {
    originals: OriginalDestinations,
    agent_sockets: AgentSockets,
}

impl Kernel {
    /// Opens them.
    pub(crate) fn of(node: &Node) -> Result<Self, MapFault> {
        Ok(Self { originals: node.original_destinations()?, agent_sockets: node.agent_sockets()? })
    }
}

/// What a worker's connections work with: one per worker, on its thread.
pub(crate) struct Worker {
    /// The mesh.
    pub(crate) state: Arc<Shared>,
    /// Certificates and trust.
    pub(crate) tls: Arc<TlsConfigs>,
    /// Counters.
    pub(crate) metrics: AgentMetrics,
    /// Opens connection records.
    pub(crate) recorder: Recorder,
    /// Stop order.
    pub(crate) drain: Drain,
    /// What captured connections were meant for.
    pub(crate) originals: RefCell<OriginalDestinations>,
    /// Sockets of ours that leave a pod.
    pub(crate) agent_sockets: RefCell<AgentSockets>,
    /// Open tunnels.
    pub(crate) tunnels: Tunnels,
    /// Open connections.
    pub(crate) connections: Rc<OpenConnections>,
    /// For choosing endpoints.
    pub(crate) rng: RefCell<SmallRng>,
    /// Most open connections of one pod, each way.
    pub(crate) max_connections_per_pod: usize,
    /// When a dry-run policy's denial was last logged.
    pub(crate) dry_run_logged: Cell<Option<Instant>>,
}

impl Worker {
    /// The state for one decision.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.state.load()
    }
}

/// What enrolment tells a worker.
pub(crate) enum Command {
    /// Serve a pod; in place of what it was served by before.
    Add(SharedPod, Listeners),
    /// Let go of a pod, by namespace cookie: its listeners, tunnels and open connections.
    Remove(u64),
}

/// A running worker, as enrolment sees it.
pub(crate) struct WorkerHandle {
    commands: mpsc::UnboundedSender<Command>,
    thread: JoinHandle<()>,
}

impl WorkerHandle {
    /// Starts a worker.
    pub(crate) fn spawn(index: usize, parts: WorkerParts, kernel: Kernel) -> io::Result<Self> {
        let (commands, receiver) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
            let local = LocalSet::new();
            local.block_on(&runtime, run(parts, kernel, receiver));
        })?;
        Ok(Self { commands, thread })
    }

    /// Tells it something. A worker ends only when the whole agent does, so nothing is lost.
    pub(crate) fn tell(&self, command: Command) {
        if self.commands.send(command).is_err() {
            tracing::debug!("a worker has ended; nothing more to tell it");
        }
    }

    /// Waits for its end, which the drain brings about.
    pub(crate) fn join(self) {
        drop(self.commands);
        if self.thread.join().is_err() {
            tracing::error!("a worker panicked");
        }
    }
}

async fn run(parts: WorkerParts, kernel: Kernel, mut commands: mpsc::UnboundedReceiver<Command>) {
    let (published, closed) = (parts.published.clone(), parts.closed);
    let worker = Rc::new(Worker {
        state: parts.state,
        tls: parts.tls,
        metrics: parts.metrics,
        recorder: parts.recorder,
        drain: parts.drain,
        originals: RefCell::new(kernel.originals),
        agent_sockets: RefCell::new(kernel.agent_sockets),
        tunnels: Tunnels::new(Settings::client(), TUNNEL_IDLE),
        connections: Rc::default(),
        rng: RefCell::new(SmallRng::from_rng(&mut rand::rng())),
        max_connections_per_pod: parts.max_connections_per_pod,
        dry_run_logged: Cell::default(),
    });
    tokio::task::spawn_local(judge_again_on_change(Rc::clone(&worker), published));
    tokio::task::spawn_local(gauges::show_pool(Rc::clone(&worker)));
    let mut pods: HashMap<u64, CancellationToken> = HashMap::new();
    // Ends when enrolment lets go of it, after the drain: until then connections end here, or are cut.
    while let Some(command) = commands.recv().await {
        match command {
            Command::Add(pod, listeners) => {
                let stop = closed.child_token();
                if let Some(before) = pods.insert(pod.netns.cookie(), stop.clone()) {
                    before.cancel();
                }
                listener::serve(&worker, &pod, listeners, &stop);
            }
            Command::Remove(cookie) => {
                if let Some(stop) = pods.remove(&cookie) {
                    stop.cancel();
                }
                // Whatever holds a socket in the pod's namespace keeps the namespace from ending.
                worker.tunnels.close(|key| key.pod == cookie);
                worker.connections.cut_pod(cookie);
            }
        }
    }
}

/// Judges all open connections again after each publication.
async fn judge_again_on_change(worker: Rc<Worker>, mut published: watch::Receiver<u64>) {
    while published.changed().await.is_ok() {
        let cut = worker.connections.judge_again(&worker.snapshot());
        if cut > 0 {
            worker.metrics.policy_cuts.inc_by(u64::try_from(cut).unwrap_or(u64::MAX));
            tracing::info!(connections = cut, "cut open connections that are no longer allowed");
        }
    }
}
