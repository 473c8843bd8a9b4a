//! The end of a cluster: nothing of it is left but the built programs.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};

use super::{
    cgroups,
    layout::{self, NODES, STATE},
    mounts, network, processes, sysctls,
};

/// Takes everything away that is there.
pub(super) fn all() -> Result<()> {
    NODES.into_iter().try_for_each(|node| cgroups::remove(&node.cgroup()))?;
    processes::names().iter().try_for_each(|name| processes::end(name))?;
    network::remove()?;
    sysctls::restore()?;
    mounts::remove_mount_points()?;
    if Path::new(STATE).exists() {
        fs::remove_dir_all(STATE).with_context(|| format!("removing {STATE}"))?;
    }
    check()
}

/// Nothing may be left mounted: that would be a mount of a node that was seen outside.
fn check() -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let left: Vec<_> = mounts.lines().filter(|line| line.contains(STATE) || line.contains(layout::BRIDGE)).collect();
    ensure!(left.is_empty(), "still mounted: {}", left.join("\n"));
    Ok(())
}
