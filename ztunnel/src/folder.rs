//! Configuration from a folder of manifests, watched: every change is compiled and published at once.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ambit_compile::{Compiled, Issue, Options, Store};
use ambit_model::LocalPod;
use ambit_resources::Severity;
use ambit_state::{Interner, Shared};
use ambit_telemetry::AgentMetrics;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent};
use tokio::sync::{mpsc, watch};

/// Why the folder cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FolderError {
    /// It cannot be listed.
    #[error("cannot read the configuration folder {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It cannot be watched.
    #[error("cannot watch the configuration folder {}", path.display())]
    Watch {
        /// Which.
        path: PathBuf,
        /// Why.
        source: nix::Error,
    },
}

/// What a publication changes, for whoever acts on it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Published {
    /// Pods of this node that are to be enrolled.
    pub(crate) pods: Arc<[LocalPod]>,
    /// Whether everything that was ever asked for is in force, in this version or an earlier one. A
    /// policy that was wrong from the start is not.
    pub(crate) complete: bool,
}

/// The folder, and where what it says is published.
pub(crate) struct Folder {
    path: PathBuf,
    node: String,
    options: Options,
    store: Store,
    /// Files read, to notice the ones that are gone.
    files: BTreeSet<String>,
    interner: Interner,
    state: Arc<Shared>,
    version: watch::Sender<u64>,
    published: watch::Sender<Published>,
    metrics: AgentMetrics,
    /// What is wrong with objects together, as it was last reported.
    reported: Vec<String>,
}

/// Where a folder publishes.
pub(crate) struct Outlet {
    /// The snapshot.
    pub(crate) state: Arc<Shared>,
    /// Its version, for the workers.
    pub(crate) version: watch::Sender<u64>,
    /// The pods, for enrolment.
    pub(crate) published: watch::Sender<Published>,
    /// Counters.
    pub(crate) metrics: AgentMetrics,
}

impl Folder {
    /// A folder that nothing was read of yet.
    pub(crate) fn new(path: PathBuf, node: String, options: Options, outlet: Outlet) -> Self {
        Self {
            path,
            node,
            options,
            store: Store::default(),
            files: BTreeSet::new(),
            interner: Interner::default(),
            state: outlet.state,
            version: outlet.version,
            published: outlet.published,
            metrics: outlet.metrics,
            reported: Vec::new(),
        }
    }

    /// Reads everything, publishes it, and goes on with every change. Returns only on failure.
    pub(crate) async fn serve(mut self) -> Result<(), FolderError> {
        // Watched before it is read: a change in between is read twice, not missed.
        let mut watch = Watch::start(&self.path)?;
        self.read_all()?;
        self.publish();
        loop {
            let changed =
                watch.changed().await.map_err(|source| FolderError::Watch { path: self.path.clone(), source })?;
            match changed {
                Changed::Files(names) if names.iter().any(|name| is_manifest(name)) => {
                    names.iter().for_each(|name| self.read_one(name));
                }
                Changed::Files(_) => continue,
                Changed::Unknown => self.read_all()?,
            }
            self.publish();
        }
    }

    fn read_all(&mut self) -> Result<(), FolderError> {
        let mut found = BTreeSet::new();
        for name in list(&self.path)? {
            self.read_one(&name);
            found.insert(name);
        }
        for gone in self.files.difference(&found).cloned().collect::<Vec<_>>() {
            self.read_one(&gone);
        }
        Ok(())
    }

    fn read_one(&mut self, name: &str) {
        if !is_manifest(name) {
            return;
        }
        match fs::read_to_string(self.path.join(name)) {
            Ok(text) => {
                self.files.insert(name.to_owned());
                for issue in self.store.replace_file(name, &text) {
                    report(&issue);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.files.remove(name);
                self.store.remove_file(name);
            }
            // What it said before stays in force.
            Err(error) => {
                tracing::error!(file = name, %error, "cannot read a manifest; what it said before stays in force")
            }
        }
    }

    /// Reports what is wrong with objects together: each message once, not with every change.
    fn report_together(&mut self, compiled: &Compiled) {
        let reported = compiled.issues.iter().map(ToString::to_string).collect();
        let before = std::mem::replace(&mut self.reported, reported);
        compiled.issues.iter().filter(|issue| !before.contains(&issue.to_string())).for_each(report);
        self.metrics.config_issues.set(i64::try_from(compiled.issues.len()).unwrap_or(i64::MAX));
    }

    fn publish(&mut self) {
        let compiled = self.store.compile(&self.options);
        self.report_together(&compiled);
        let pods = compiled.local_pods_of(&self.node).into();
        let workloads = compiled.workloads.into_iter().map(|workload| self.interner.workload(workload)).collect();
        let (snapshot, changes) = self.state.load().replace_all(workloads, compiled.services, compiled.authorizations);
        tracing::debug!(
            workloads = changes.workloads.len(),
            services = changes.services.len(),
            policies = changes.policies.len(),
            "publishing changes"
        );
        let version = self.state.publish(snapshot);
        self.version.send_replace(version);
        self.published.send_replace(Published { pods, complete: self.store.is_complete() });
    }
}

/// Reads a folder once.
pub(crate) fn check(path: &Path, options: &Options) -> Result<(Compiled, Vec<Issue>), FolderError> {
    let mut store = Store::default();
    let mut issues = Vec::new();
    for name in list(path)? {
        let file = path.join(&name);
        let text = fs::read_to_string(&file).map_err(|source| FolderError::Read { path: file, source })?;
        issues.extend(store.replace_file(&name, &text));
    }
    let compiled = store.compile(options);
    issues.extend(compiled.issues.iter().cloned());
    Ok((compiled, issues))
}

/// What the folder is compiled with.
pub(crate) fn options(trust_domain: &str, cluster: &str, root_namespace: &str) -> Options {
    Options { trust_domain: trust_domain.into(), cluster: cluster.into(), root_namespace: root_namespace.into() }
}

fn list(path: &Path) -> Result<Vec<String>, FolderError> {
    let failed = |source| FolderError::Read { path: path.to_owned(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        if let Ok(name) = entry.map_err(failed)?.file_name().into_string()
            && is_manifest(&name)
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Editors leave all sorts of files; hidden ones are theirs.
fn is_manifest(name: &str) -> bool {
    !name.starts_with('.') && [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end))
}

fn report(issue: &Issue) {
    match issue.severity {
        Severity::Error => tracing::error!(target: "config", "{issue}"),
        Severity::Warning => tracing::warn!(target: "config", "{issue}"),
        Severity::Info => tracing::info!(target: "config", "{issue}"),
    }
}

/// What happened in the folder.
enum Changed {
    /// These files were written, moved or removed.
    Files(BTreeSet<String>),
    /// Too much at once for the kernel to tell.
    Unknown,
}

/// Tells what changes in a folder: a thread that does nothing but wait for the kernel to say so.
struct Watch(mpsc::UnboundedReceiver<Result<Changed, nix::Error>>);

impl Watch {
    fn start(path: &Path) -> Result<Self, FolderError> {
        let failed = |source| FolderError::Watch { path: path.to_owned(), source };
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC).map_err(failed)?;
        let changes = AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_DELETE;
        inotify.add_watch(path, changes).map_err(failed)?;
        let (changes, receiver) = mpsc::unbounded_channel();
        // It ends with the process, or with the first change after nobody listens any more.
        std::thread::Builder::new()
            .name("folder".to_owned())
            .spawn(move || while changes.send(inotify.read_events().map(summarise)).is_ok() {})
            .map_err(|source| FolderError::Read { path: path.to_owned(), source })?;
        Ok(Self(receiver))
    }

    /// Waits for the next changes.
    async fn changed(&mut self) -> Result<Changed, nix::Error> {
        self.0.recv().await.unwrap_or(Err(nix::Error::EPIPE))
    }
}

fn summarise(events: Vec<InotifyEvent>) -> Changed {
    if events.iter().any(|event| event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW)) {
        return Changed::Unknown;
    }
    Changed::Files(events.into_iter().filter_map(|event| event.name?.into_string().ok()).collect())
}
