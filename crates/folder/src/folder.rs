//! The folder itself: which files there are, and what changed.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ambit_compile::Issue;
use ambit_resources::{Kind, Severity};
use ambit_telemetry::error_chain;

use crate::saved::Saved;
use crate::watch::{Changed, Watch};

/// How often files are looked at, whether an event told of them or not.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// How often a folder that is gone is looked for.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Why the folder cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It cannot be listed.
    #[error("cannot read the configuration folder {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It was removed or renamed.
    #[error("the configuration folder {} is gone", path.display())]
    Gone {
        /// Which.
        path: PathBuf,
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

/// Whoever understands manifests.
pub trait Manifests {
    /// Takes a file's new text, and says what is wrong with it. An object that has become invalid keeps its last
    /// valid version.
    fn replace_file(&mut self, name: &str, text: &str) -> Vec<Issue>;

    /// Forgets a file and all its objects.
    fn remove_file(&mut self, name: &str);

    /// Puts in force what all files mean together, and says what is wrong with them together.
    fn publish(&mut self) -> Vec<Issue>;

    /// Is told why nothing newer, or nothing at all, is in force.
    fn problem(&mut self, problem: String);
}

/// The folder, and who understands what is in it.
#[derive(Debug)]
pub struct Folder<M> {
    path: PathBuf,
    manifests: M,
    /// Files read, as they were then.
    files: BTreeMap<String, Option<Stamp>>,
    saved: Saved,
    /// Files with a policy that was never valid, and so is not in force.
    lacking: BTreeSet<String>,
    /// Whether anything was published yet.
    started: bool,
    /// What is wrong with objects together, as it was last reported.
    reported: HashSet<Issue>,
}

impl<M: Manifests> Folder<M> {
    /// A folder that nothing was read of yet. `saved` is where the last valid version of each file is kept.
    #[must_use]
    pub fn new(path: PathBuf, saved: PathBuf, manifests: M) -> Self {
        Self {
            path,
            manifests,
            files: BTreeMap::new(),
            saved: Saved(saved),
            lacking: BTreeSet::new(),
            started: false,
            reported: HashSet::new(),
        }
    }

    /// Reads everything, publishes it, and goes on with every change. Returns only if the folder cannot
    /// be read at the start.
    ///
    /// # Errors
    /// Then.
    pub async fn serve(mut self) -> Result<(), FolderError> {
        // Watched before it is read: a change in between is read twice, not missed.
        let mut watch = Watch::start(&self.path)?;
        self.read_changed()?;
        self.saved.retain(|name| self.files.contains_key(name));
        self.publish();
        loop {
            let seen = tokio::select! {
                changed = watch.changed() => self.act_on(changed),
                // What no event told: a file system of another machine, a folder below a link.
                () = tokio::time::sleep(LOOK_AGAIN) => self.read_changed(),
            };
            match seen {
                Ok(true) => self.publish(),
                Ok(false) => {}
                Err(error) => watch = self.wait_for_folder(error).await,
            }
        }
    }

    /// Whether anything may have changed.
    fn act_on(&mut self, changed: Changed) -> Result<bool, FolderError> {
        match changed {
            Changed::Files(names) => {
                let manifests = names.iter().filter(|name| is_manifest(name));
                Ok(manifests.map(|name| self.read_one(name)).count() > 0)
            }
            Changed::Unknown => self.read_changed(),
            Changed::Gone => Err(FolderError::Gone { path: self.path.clone() }),
        }
    }

    /// The folder is gone, or cannot be read. What it said stays in force, and readiness says why nothing
    /// newer is; it is watched again as soon as it is there.
    async fn wait_for_folder(&mut self, error: FolderError) -> Watch {
        tracing::error!(error = &error as &dyn std::error::Error, "what was configured before stays in force");
        self.manifests.problem(error_chain(&error));
        loop {
            tokio::time::sleep(TRY_AGAIN).await;
            if let Ok(watch) = Watch::start(&self.path)
                && self.read_changed().is_ok()
            {
                tracing::info!(path = %self.path.display(), "the configuration folder is there again");
                self.publish();
                return watch;
            }
        }
    }

    /// Reads what changed since it was read. Returns whether anything did.
    fn read_changed(&mut self) -> Result<bool, FolderError> {
        let found = list(&self.path)?;
        let gone: Vec<_> = self.files.keys().filter(|name| !found.contains(*name)).cloned().collect();
        let mut any = !gone.is_empty();
        for name in found.iter().chain(&gone) {
            let stamp = Stamp::of(&self.path.join(name));
            if stamp.is_none() || self.files.get(name) != Some(&stamp) {
                any = true;
                self.read_one(name);
            }
        }
        Ok(any)
    }

    fn read_one(&mut self, name: &str) {
        let path = self.path.join(name);
        let stamp = Stamp::of(&path);
        match fs::read_to_string(&path) {
            Ok(text) => {
                let issues = self.replace(name, &text);
                issues.iter().for_each(report);
                self.files.insert(name.to_owned(), stamp);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.files.remove(name);
                self.manifests.remove_file(name);
                self.saved.remove(name);
                self.lacking.remove(name);
            }
            Err(error) => {
                tracing::error!(file = name, %error, "cannot read a manifest; what it said before stays in force");
                if !self.files.contains_key(name) {
                    // The text of a file that is not there is never valid: so the store counts it as lacking.
                    self.replace(name, "unreadable: [");
                }
                self.files.insert(name.to_owned(), None);
            }
        }
    }

    /// Takes a file's text. The first time, where it is not valid, its last valid version is taken from
    /// before the restart, so that a mistake made since then changes nothing.
    fn replace(&mut self, name: &str, text: &str) -> Vec<Issue> {
        let mut issues = self.manifests.replace_file(name, text);
        if issues.iter().all(|issue| issue.severity != Severity::Error) {
            self.saved.keep(name, text);
            self.lacking.remove(name);
            return issues;
        }
        if self.files.contains_key(name) {
            return issues;
        }
        let mut lacks = issues.iter().any(may_hide_a_policy);
        if let Some(valid) = self.saved.text(name) {
            // Or was valid: a newer program may read it otherwise.
            lacks &= self.manifests.replace_file(name, &valid).iter().any(may_hide_a_policy);
            issues = self.manifests.replace_file(name, text);
        }
        if lacks {
            self.lacking.insert(name.to_owned());
        }
        issues
    }

    fn publish(&mut self) {
        // Without a policy that was never valid, more would be allowed than its writer meant: then nothing is
        // in force at all. Later on, everything else goes on as it was.
        if !self.started && !self.lacking.is_empty() {
            let files: Vec<_> = self.lacking.iter().map(String::as_str).collect();
            let problem =
                format!("nothing is in force: a policy was never valid (see the log) in {}", files.join(", "));
            self.manifests.problem(problem);
            return;
        }
        self.started = true;
        let issues: HashSet<_> = self.manifests.publish().into_iter().collect();
        // Each message once, not with every change.
        issues.difference(&self.reported).for_each(report);
        self.reported = issues;
    }
}

/// The texts of a folder's manifests, as they are now.
///
/// # Errors
/// If one cannot be read.
pub fn read(path: &Path) -> Result<Vec<(String, String)>, FolderError> {
    let read = |name: String| {
        let file = path.join(&name);
        match fs::read_to_string(&file) {
            Ok(text) => Ok((name, text)),
            Err(source) => Err(FolderError::Read { path: file, source }),
        }
    };
    list(path)?.into_iter().map(read).collect()
}

fn list(path: &Path) -> Result<BTreeSet<String>, FolderError> {
    let failed = |source| FolderError::Read { path: path.to_owned(), source };
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        if let Ok(name) = entry.map_err(failed)?.file_name().into_string()
            && is_manifest(&name)
        {
            names.insert(name);
        }
    }
    Ok(names)
}

/// Editors leave all sorts of files; hidden ones are theirs.
fn is_manifest(name: &str) -> bool {
    !name.starts_with('.') && [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end))
}

/// Whether what is wrong may keep a policy out of force: what cannot be read may be one.
fn may_hide_a_policy(issue: &Issue) -> bool {
    let is_policy =
        |kind| matches!(kind, Kind::AuthorizationPolicy | Kind::PeerAuthentication | Kind::RequestAuthentication);
    issue.severity == Severity::Error && issue.object.as_ref().is_none_or(|object| is_policy(object.kind))
}

fn report(issue: &Issue) {
    match issue.severity {
        Severity::Error => tracing::error!(target: "config", "{issue}"),
        Severity::Warning => tracing::warn!(target: "config", "{issue}"),
        Severity::Info => tracing::info!(target: "config", "{issue}"),
    }
}

/// A file as it was when it was read: who writes another version changes one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        Some(Self { inode: metadata.ino(), length: metadata.len(), modified })
    }
}

#[cfg(test)]
mod tests;
