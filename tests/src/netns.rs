//! A network namespace: code and programs run inside it.

use std::ffi::OsStr;
use std::fs::File;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns};

/// A network namespace, by the file that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Netns {
    path: PathBuf,
}

impl Netns {
    /// The namespace that `ip netns` knows by `name`; it need not exist yet.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { path: Path::new("/run/netns").join(name) }
    }

    /// The namespace's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `work` on a fresh thread inside the namespace. Sockets it opens stay in the namespace
    /// and may be used anywhere afterwards.
    ///
    /// # Errors
    /// Fails when the namespace cannot be entered; a panic of `work` goes on in the caller.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let inside = || {
            let file = File::open(&self.path).with_context(|| format!("open {}", self.path.display()))?;
            setns(file, CloneFlags::CLONE_NEWNET).with_context(|| format!("enter {}", self.path.display()))?;
            Ok(work())
        };
        thread::scope(|scope| scope.spawn(inside).join()).unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// A command that will run inside the namespace, and in no other namespace than the caller's
    /// otherwise: `ip netns exec` would remount /sys, which hides the cgroup tree.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path.display())).arg("--").arg(program);
        command
    }

    /// Reads `/proc/<name>` as seen from inside the namespace.
    ///
    /// # Errors
    /// Fails when the namespace cannot be entered or the file not be read.
    pub fn proc_file(&self, name: &str) -> Result<String> {
        let path = Path::new("/proc/thread-self").join(name);
        self.run(|| std::fs::read_to_string(&path))?.with_context(|| format!("read {name} in {}", self.path.display()))
    }
}
