//! What `--keep`, or a demo that was killed, leaves: processes are noted down as they are started, so
//! that `--down` ends them and no others.

use std::fs;
use std::path::{Path, PathBuf};

use ambit_tests::{World, until};
use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::stage::{DIRECTORY, PREFIX};
use crate::command::started;

/// Writes down which processes run.
pub(super) fn note(pids: &[u32]) -> Result<()> {
    let line = |pid: &u32| Ok(format!("{pid} {}\n", started(*pid).context("a process has ended at once")?));
    let lines: Vec<String> = pids.iter().map(line).collect::<Result<_>>()?;
    fs::write(list(), lines.concat()).context("note the processes")
}

/// Ends the processes noted down, and takes away namespaces, pins and files.
pub(super) fn remove() -> Result<()> {
    for line in fs::read_to_string(list()).unwrap_or_default().lines() {
        let Some((pid, start)) = line.split_once(' ') else { continue };
        end(pid.parse()?, start)?;
    }
    World::remove(PREFIX, Path::new(DIRECTORY))
}

/// Ends a process, if it still is the one that was noted down and not a later one of its number.
fn end(pid: u32, start: &str) -> Result<()> {
    let is_it = || started(pid).is_some_and(|now| now == start);
    if is_it() {
        kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGKILL)?;
        until(&format!("the end of process {pid}"), super::stage::PATIENCE, || (!is_it()).then_some(()))?;
    }
    Ok(())
}

fn list() -> PathBuf {
    Path::new(DIRECTORY).join("processes")
}
