//! Watching one kind: from the API server's events to changes for the world.

mod discovery;
mod health;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use ambit_resources::{Issue, ObjectId, Parsed, Problem, Refusal, TargetRef, parse_object};
use ambit_runtime::Condition;
use futures::StreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::failure::error_chain;
use crate::kinds::{Watched, has_status};
use crate::raw::{Key, Raw};
use crate::relist::Relist;
use crate::standing::Standing;
use crate::waypoints::{Sent, review};
use crate::world::Message;
use discovery::{is_gone, served};
use health::{Health, QUIET};

/// How often a kind is asked for that the API server does not have: its definition may come at any time, and
/// with it a policy.
const ABSENT_RETRY: Duration = Duration::from_secs(2);
/// Pauses after other failures.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// What stands for a file in messages.
pub(crate) const SOURCE: &str = "kubernetes";

/// What became of an object.
#[derive(Debug)]
pub(crate) struct Change {
    /// The object.
    pub(crate) id: ObjectId,
    /// What it is now.
    pub(crate) what: What,
    /// When it was told of.
    pub(crate) seen: Instant,
}

/// What an object is now.
#[derive(Debug)]
pub(crate) enum What {
    /// There, and readable.
    Put {
        /// What it says.
        parsed: Box<Parsed>,
        /// What is to be said about that.
        issues: Vec<Issue<Problem>>,
        /// What is to be said about it by itself, for waypoints.
        own: Vec<ambit_compile::Issue>,
        /// Its status, where that is ours to write.
        standing: Option<Box<Standing>>,
        /// What waypoints are told of it.
        sent: Option<Box<Sent>>,
    },
    /// There, and not readable: the last version that was stays in force.
    Refused {
        /// Why.
        issues: Vec<Issue<Problem>>,
        /// What it is attached to, where it is a policy.
        targets: Vec<TargetRef>,
        /// Its status, where that is ours to write.
        standing: Option<Box<Standing>>,
        /// What waypoints are told of it.
        sent: Option<Box<Sent>>,
    },
    /// Gone.
    Removed,
}

/// One kind's watch.
pub(crate) struct Watch {
    watched: Watched,
    health: Health,
    relist: Relist,
    world: mpsc::Sender<Message>,
    count: Gauge,
    /// What stands for a file in messages.
    source: Arc<str>,
    /// The namespace whose objects hold for the whole mesh.
    root_namespace: Arc<str>,
}

impl Watch {
    /// A watch that tells `world`, counts the objects there are in `count`, and says in `condition` when it has
    /// failed for long.
    pub(crate) fn new(
        watched: &Watched,
        world: mpsc::Sender<Message>,
        count: Gauge,
        condition: Condition,
        root_namespace: &Arc<str>,
    ) -> Self {
        let (health, root_namespace) = (Health::new(condition), Arc::clone(root_namespace));
        Self {
            watched: *watched,
            health,
            relist: Relist::default(),
            world,
            count,
            source: SOURCE.into(),
            root_namespace,
        }
    }

    /// Watches until the world is gone.
    pub(crate) async fn run(mut self, client: Client) {
        // Whoever has no more to listen is about to end too.
        while self.watch_present(&client).await.is_ok() && self.look(&client).await.is_ok() {}
    }

    /// Watches as long as the API server has the kind, by its version.
    async fn watch_present(&mut self, client: &Client) -> Result<(), WorldGone> {
        let api = Api::<Raw>::all_with(client.clone(), &self.watched);
        let mut events = std::pin::pin!(watcher(api, self.config()));
        let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = tokio::time::sleep(QUIET), if self.health.is_failing() => {
                    self.health.works();
                    continue;
                }
            };
            match event {
                None => return Ok(()),
                // No more than an intention.
                Some(Ok(Event::Init)) => self.take(Event::Init).await?,
                Some(Ok(event)) => {
                    backoff.reset();
                    self.health.works();
                    self.take(event).await?;
                }
                Some(Err(error)) if is_absent(&error) => return Ok(()),
                // The API server no longer remembers what came after; the next event begins a new list.
                Some(Err(watcher::Error::WatchError(status))) if status.code == 410 => {}
                Some(Err(error)) => {
                    let pause = backoff.next();
                    self.failed(&error);
                    if is_gone(client, &self.watched).await {
                        return Ok(());
                    }
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    /// Looks why the kind is not there: by another version it may be, and a policy must not be lost for that.
    async fn look(&mut self, client: &Client) -> Result<(), WorldGone> {
        match served(client, &self.watched).await {
            Ok(Some(found)) => {
                tracing::info!(kind = %found.kind, version = found.version, "watching another version");
                self.watched = found;
                return Ok(());
            }
            Ok(None) => {
                self.health.works();
                self.absent().await?;
            }
            // What was there, stays.
            Err(error) => self.failed(&error),
        }
        tokio::time::sleep(ABSENT_RETRY).await;
        Ok(())
    }

    fn failed(&mut self, error: &dyn Error) {
        let error = error_chain(error);
        tracing::warn!(kind = %self.watched.kind, error, "watch failed");
        self.health.failed(&error);
    }

    fn config(&self) -> watcher::Config {
        let config = watcher::Config::default();
        self.watched.labels.map_or(config.clone(), |labels| config.labels(labels))
    }

    async fn take(&mut self, event: Event<Raw>) -> Result<(), WorldGone> {
        match event {
            Event::Init => self.relist.begin(),
            Event::InitApply(raw) | Event::Apply(raw) => {
                self.relist.seen(raw.key());
                self.tell(self.read(raw)).await?;
            }
            Event::Delete(raw) => {
                self.relist.gone(&raw.key());
                self.tell(self.removed(raw.key())).await?;
            }
            Event::InitDone => self.listed().await?,
        }
        self.count.set(i64::try_from(self.relist.len()).unwrap_or(i64::MAX));
        Ok(())
    }

    /// There is no such kind (any more), in no version: as good as a list of none.
    async fn absent(&mut self) -> Result<(), WorldGone> {
        self.relist.begin();
        self.count.set(0);
        self.listed().await
    }

    async fn listed(&mut self) -> Result<(), WorldGone> {
        for key in self.relist.done() {
            self.tell(self.removed(key)).await?;
        }
        self.world.send(Message::Listed(self.watched.kind)).await.map_err(|_| WorldGone)
    }

    async fn tell(&self, (id, what): (ObjectId, What)) -> Result<(), WorldGone> {
        let change = Change { id, what, seen: Instant::now() };
        self.world.send(Message::Object(change)).await.map_err(|_| WorldGone)
    }

    fn removed(&self, key: Key) -> (ObjectId, What) {
        (self.id(&key), What::Removed)
    }

    fn id(&self, key: &Key) -> ObjectId {
        ObjectId { kind: self.watched.kind, namespace: (*key.namespace).into(), name: (*key.name).into() }
    }

    fn read(&self, raw: Raw) -> (ObjectId, What) {
        let id = self.id(&raw.key());
        let kind = id.kind;
        let standing = has_status(kind).then(|| Box::new(Standing::of(kind, &raw.object, self.watched.version)));
        let object = raw.into_object(&self.watched);
        let sent = Sent::of(&id, &object).map(Box::new);
        let refused = |sent: Option<Box<Sent>>| sent.map(|sent| Box::new(sent.refused()));
        let what = match parse_object(object, &self.source) {
            Ok((Some(parsed), issues)) => {
                let own = sent.as_ref().map(|_| review::issues_of(&parsed, &self.root_namespace)).unwrap_or_default();
                let sent = if own.iter().any(ambit_compile::Issue::is_error) { refused(sent) } else { sent };
                What::Put { parsed: Box::new(parsed), issues, own, standing, sent }
            }
            Ok((None, issues)) => What::Refused { issues, targets: Vec::new(), standing, sent: refused(sent) },
            Err(Refusal { issues, targets, .. }) => What::Refused { issues, targets, standing, sent: refused(sent) },
        };
        (id, what)
    }
}

/// Nobody is there to be told.
#[derive(Debug)]
struct WorldGone;

/// Whether the API server does not know the kind.
fn is_absent(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.code == 404,
        watcher::Error::WatchError(status) => status.code == 404,
        watcher::Error::InitialListFailed(_)
        | watcher::Error::WatchStartFailed(_)
        | watcher::Error::WatchFailed(_)
        | watcher::Error::NoResourceVersion => false,
    }
}
