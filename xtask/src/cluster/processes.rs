//! Processes that outlive this program: noted down, so that a later one ends exactly these.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    time::Duration,
};

use ambit_tests::until;
use anyhow::{Context, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::layout;
use crate::command::started;

/// How long a killed process may take to be gone.
const END_TIME: Duration = Duration::from_secs(10);

/// Starts `command` as the process `name`, unless that runs; gives its id.
pub(super) fn ensure(name: &str, command: impl FnOnce() -> Result<Command>) -> Result<u32> {
    match running(name) {
        Some(pid) => Ok(pid),
        None => start(name, command()?),
    }
}

fn start(name: &str, mut command: Command) -> Result<u32> {
    for folder in ["processes", "log"] {
        fs::create_dir_all(layout::file(folder))?;
    }
    let log = File::options().append(true).create(true).open(layout::file(&format!("log/{name}.log")))?;
    // A process group of its own: an interrupt typed at the terminal is not for it.
    let child = command.process_group(0).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn();
    let pid = child.with_context(|| format!("starting {name}"))?.id();
    let start = started(pid).with_context(|| format!("{name} ended at once; see {}/log", layout::STATE))?;
    fs::write(layout::file(&format!("processes/{name}")), format!("{pid} {start}"))?;
    Ok(pid)
}

/// The id of the process noted down as `name`, if it still is that one and not a later one of its
/// number.
pub(super) fn running(name: &str) -> Option<u32> {
    let note = fs::read_to_string(layout::file(&format!("processes/{name}"))).ok()?;
    let (pid, start) = note.split_once(' ')?;
    let pid = pid.parse().ok()?;
    started(pid).is_some_and(|now| now == start).then_some(pid)
}

/// Everything ever noted down, by name.
pub(super) fn names() -> Vec<String> {
    let entries = fs::read_dir(layout::file("processes")).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// Kills the process noted down as `name`, if it runs, and waits for its end.
pub(super) fn end(name: &str) -> Result<()> {
    if let Some(pid) = running(name) {
        kill_one(pid);
        until(&format!("the end of {name}"), END_TIME, || running(name).is_none().then_some(()))?;
    }
    Ok(())
}

/// Kills a process; one that is gone already is as good.
pub(super) fn kill_one(pid: u32) {
    if let Ok(pid) = i32::try_from(pid) {
        kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
    }
}
