//! The world as this replica sees it: the one task that owns the compiler's store. Whatever is queued when
//! it wakes is one batch; nothing waits for more to come.

mod batch;

use std::collections::BTreeSet;
use std::sync::Arc;

use ambit_compile::{Options, Store, Tunnels};
use ambit_identity::Roots;
use ambit_model::WorkloadUid;
use ambit_resources::Kind;
use ambit_runtime::Condition;
use ambit_xds::{Cache, Entry};
use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use crate::config::MeshConfig;
use crate::credentials::Wanted;
use crate::findings::Findings;
use crate::gauges::Gauges;
use crate::kinds::WATCHED;
use crate::pods::Pods;
use crate::watch::Change;
use crate::waypoints::review::Inbox;
use crate::waypoints::{self, Gateways};

use batch::Batch;

/// Most messages of one batch: bounds how long a first change waits behind others.
const MAX_BATCH: usize = 4096;
/// Messages that may wait. Watches wait when the world does.
pub(crate) const QUEUE: usize = 1024;

/// What the world is told.
#[derive(Debug)]
pub(crate) enum Message {
    /// An object changed.
    Object(Change),
    /// All objects of the kind have been told of.
    Listed(Kind),
    /// A node's agent captured a pod, or let it go.
    Report {
        /// The pod.
        uid: WorkloadUid,
        /// Its `metadata.uid`: by the time the world hears of it, another pod may have the name.
        pod_uid: Arc<str>,
        /// Which of both.
        enrolled: bool,
    },
}

/// What others see of the world.
#[derive(Clone)]
pub(crate) struct Outlet {
    /// What nodes may ask for.
    pub(crate) cache: Arc<Cache>,
    /// Who runs where.
    pub(crate) pods: Arc<Pods>,
    /// Which Gateways are waypoints.
    pub(crate) gateways: Arc<Gateways>,
    /// What is to be said about objects.
    pub(crate) findings: Arc<Findings>,
    /// What is to be looked at as waypoints do.
    pub(crate) review: Arc<Inbox>,
    /// The credentials that waypoints need.
    pub(crate) credentials: Arc<watch::Sender<Wanted>>,
    /// Counters.
    pub(crate) gauges: Gauges,
}

/// What the compiler is told.
pub(crate) fn options(config: &MeshConfig) -> Options {
    Options {
        trust_domain: Arc::clone(&config.trust_domain),
        cluster: Arc::clone(&config.cluster),
        root_namespace: Arc::clone(&config.root_namespace),
        tunnels: Tunnels::AsReported,
        dissolve: config.dissolve,
        labels: true,
    }
}

/// The world.
pub(crate) struct World {
    store: Store,
    objects: waypoints::Objects,
    outlet: Outlet,
    /// Kinds whose first list is not complete.
    awaited: BTreeSet<Kind>,
    condition: Condition,
    roots: watch::Receiver<Arc<Roots>>,
    ready: watch::Sender<bool>,
}

impl World {
    /// A world that knows nothing yet. `ready` is set once it knows everything.
    pub(crate) fn new(
        config: &MeshConfig,
        outlet: Outlet,
        roots: watch::Receiver<Arc<Roots>>,
        condition: Condition,
        ready: watch::Sender<bool>,
    ) -> Self {
        let awaited = WATCHED.iter().map(|watched| watched.kind).collect();
        let objects = waypoints::Objects::new(Arc::clone(&config.root_namespace));
        Self { store: Store::new(options(config)), objects, outlet, awaited, condition, roots, ready }
    }

    /// Lives until nobody has anything to tell.
    pub(crate) async fn run(mut self, mut messages: mpsc::Receiver<Message>) {
        self.publish_roots();
        self.say_awaited();
        let mut waiting = Vec::new();
        loop {
            tokio::select! {
                received = messages.recv_many(&mut waiting, MAX_BATCH) => match received {
                    0 => return,
                    _ => self.take(waiting.drain(..)),
                },
                changed = self.roots.changed() => match changed {
                    Ok(()) => self.publish_roots(),
                    Err(_) => return, // the authority is gone: the process is ending
                },
            }
        }
    }

    fn take(&mut self, messages: impl Iterator<Item = Message>) {
        let mut batch = Batch::default();
        for message in messages {
            match message {
                Message::Object(change) => batch.object(change, &self.outlet.pods),
                Message::Report { uid, pod_uid, enrolled } => batch.report(uid, &pod_uid, enrolled, &self.outlet.pods),
                Message::Listed(kind) => drop(self.awaited.remove(&kind)),
            }
        }
        batch.publish(&mut self.store, &mut self.objects, &self.outlet);
        if !*self.ready.borrow() {
            self.say_awaited();
        }
    }

    /// Before the first list of every kind there would be answers that leave things out, and a policy may be
    /// among them.
    fn say_awaited(&self) {
        if self.awaited.is_empty() {
            self.outlet.cache.synced();
            self.condition.ok();
            self.ready.send_replace(true);
        } else {
            let kinds: Vec<_> = self.awaited.iter().map(|kind| kind.word()).collect();
            self.condition.failed(format!("not listed yet: {}", kinds.join(", ")));
        }
    }

    fn publish_roots(&mut self) {
        let roots = Arc::clone(&self.roots.borrow_and_update());
        let ders: Vec<_> = roots.certificates().iter().map(|root| Bytes::copy_from_slice(root)).collect();
        self.outlet.cache.publish(vec![Entry::trust_bundle(&ders)]);
    }
}
