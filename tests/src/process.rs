//! A program this process started and will end.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use crate::until;

/// How long a program may take to end after it was asked to; then it is killed.
const STOP_TIME: Duration = Duration::from_secs(3);

/// A running program with its output in files; ended when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Process {
    /// Starts `command`; its output goes to `<directory>/<name>.out` and `.err`, appended.
    ///
    /// # Errors
    /// Fails when the files cannot be opened or the program not be started.
    pub fn start(mut command: Command, directory: &Path, name: &str) -> Result<Self> {
        let stdout = directory.join(format!("{name}.out"));
        let stderr = directory.join(format!("{name}.err"));
        let append = |path: &Path| File::options().append(true).create(true).open(path);
        let child = command
            .stdin(Stdio::null())
            .stdout(append(&stdout)?)
            .stderr(append(&stderr)?)
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        Ok(Self { name: name.to_owned(), child, stdout, stderr })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to its standard output so far.
    #[must_use]
    pub fn output(&self) -> String {
        read(&self.stdout)
    }

    /// What it wrote to its standard error so far.
    #[must_use]
    pub fn errors(&self) -> String {
        read(&self.stderr)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// Fails when it is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.child.id())?);
        signal::kill(pid, signal).with_context(|| format!("send {signal} to {}", self.name))
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// Fails when it still runs after `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let name = self.name.clone();
        until(&format!("the end of {name}"), limit, || self.ended())
    }

    /// Kills it without a chance to clean up, and waits for its end.
    ///
    /// # Errors
    /// Fails when it was gone already.
    pub fn kill(&mut self) -> Result<()> {
        self.signal(Signal::SIGKILL)?;
        self.wait(STOP_TIME).map(drop)
    }

    /// Lets it run on after this process has ended.
    pub fn leave(self) {
        std::mem::forget(self);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_none() && (self.signal(Signal::SIGTERM).is_err() || self.wait(STOP_TIME).is_err()) {
            // Nothing better to do for a process that cannot be killed.
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

/// Runs `command` to its end and gives its standard output.
///
/// # Errors
/// Fails, with its standard error, when it cannot be started or ends otherwise than with 0.
pub fn run(command: &mut Command) -> Result<String> {
    let Output { status, stdout, stderr } = command.output().with_context(|| format!("start {command:?}"))?;
    ensure!(status.success(), "{command:?} ended with {status}: {}", String::from_utf8_lossy(&stderr).trim());
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}

fn read(path: &Path) -> String {
    std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
