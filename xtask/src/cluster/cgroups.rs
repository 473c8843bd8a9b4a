//! A node's cgroup: everything that runs on the node is below it, so that the end of the node finds it
//! all. On the node it is the root, so that an agent's programs there see the node's pods and no
//! others. The same in every hierarchy, of version 1 and 2.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use ambit_tests::until;
use anyhow::{Context, Result};

use super::processes;

/// The node's own programs, apart from the pods the kubelet puts beside them.
const PROGRAMS: &str = "programs";
/// How long everything on a node may take to die.
const END_TIME: Duration = Duration::from_secs(20);

/// Makes the cgroup `name` in every hierarchy.
pub(super) fn make(name: &str) -> Result<()> {
    for hierarchy in hierarchies()? {
        let mut folder = hierarchy;
        for part in [name, PROGRAMS] {
            let parent = folder.clone();
            folder.push(part);
            fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
            inherit_cpus(&parent, &folder)?;
        }
    }
    Ok(())
}

/// Moves a process to the top, whence it can make a namespace with that as its root.
pub(super) fn enter_top(name: &str, pid: u32) -> Result<()> {
    enter(Path::new(name), pid)
}

/// Moves a process to the node's own programs, with all it will start.
pub(super) fn enter_programs(name: &str, pid: u32) -> Result<()> {
    enter(&Path::new(name).join(PROGRAMS), pid)
}

fn enter(cgroup: &Path, pid: u32) -> Result<()> {
    for hierarchy in hierarchies()? {
        let list = hierarchy.join(cgroup).join("cgroup.procs");
        fs::write(&list, pid.to_string()).with_context(|| format!("writing to {}", list.display()))?;
    }
    Ok(())
}

/// Kills everything below and takes the cgroup away, if it is there.
pub(super) fn remove(name: &str) -> Result<()> {
    let folders: Vec<_> = hierarchies()?.into_iter().map(|hierarchy| hierarchy.join(name)).collect();
    until(&format!("the end of everything in cgroup {name}"), END_TIME, || {
        let pids: Vec<u32> = folders.iter().flat_map(|folder| processes_below(folder)).collect();
        pids.iter().for_each(|&pid| processes::kill_one(pid));
        pids.is_empty().then_some(())
    })?;
    // The last of the dead may still be leaving.
    until(&format!("cgroup {name} empty"), END_TIME, || folders.iter().try_for_each(|folder| remove_tree(folder)).ok())
}

/// Where each hierarchy is mounted.
pub(super) fn hierarchies() -> Result<Vec<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("reading the mounts")?;
    let of_cgroups = mounts.lines().filter_map(|line| {
        let (mount, system) = line.split_once(" - ")?;
        system.starts_with("cgroup").then(|| mount.split(' ').nth(4).map(PathBuf::from))?
    });
    Ok(of_cgroups.filter(|path| path.starts_with("/sys/fs/cgroup")).collect())
}

/// A new cgroup of version 1 has no processors and takes no process before it is given some.
fn inherit_cpus(parent: &Path, folder: &Path) -> Result<()> {
    for name in ["cpuset.cpus", "cpuset.mems"] {
        let (from, to) = (parent.join(name), folder.join(name));
        if folder.join("cgroup.clone_children").exists() && to.exists() {
            fs::copy(&from, &to).with_context(|| format!("writing to {}", to.display()))?;
        }
    }
    Ok(())
}

fn processes_below(folder: &Path) -> Vec<u32> {
    let list = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    let mut pids: Vec<u32> = list.lines().filter_map(|line| line.parse().ok()).collect();
    pids.extend(folders_in(folder).iter().flat_map(|below| processes_below(below)));
    pids
}

fn remove_tree(folder: &Path) -> io::Result<()> {
    folders_in(folder).iter().try_for_each(|below| remove_tree(below))?;
    match fs::remove_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn folders_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}
