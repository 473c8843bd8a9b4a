//! What a node sees as its file system: folders of its own over the paths that a kubelet, containerd
//! and the charts name, a memory of its own at /run, its own cgroups and its own bpf file system.

use std::{fs, io, path::Path};

use anyhow::{Context, Result};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
};

use super::{
    cgroups,
    layout::{self, Node},
};

/// Kept over a restart of the node.
const DISK: [&str; 9] = [
    "/etc/cni/net.d",
    "/etc/containerd",
    "/opt/cni/bin",
    "/var/lib/ambit",
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/pods",
];

/// Lost with the node's last process.
const MEMORY: [(&str, &str); 2] = [("/run", "tmpfs"), ("/sys/fs/bpf", "bpf")];

/// The list of folders of this machine that were made to mount over.
const MADE: &str = "mount-points";

/// Makes, on this machine, the folders to mount over, and notes which; `down` removes those.
pub(super) fn make_mount_points() -> Result<()> {
    let mut made = fs::read_to_string(layout::file(MADE)).unwrap_or_default();
    for path in DISK {
        let ancestors: Vec<_> = Path::new(path).ancestors().take_while(|folder| !folder.exists()).collect();
        for folder in ancestors.into_iter().rev() {
            fs::create_dir(folder).with_context(|| format!("creating {}", folder.display()))?;
            made += &format!("{}\n", folder.display());
        }
    }
    fs::write(layout::file(MADE), made).context("noting the mount points")
}

/// Removes them, but for those that are in use by then.
pub(super) fn remove_mount_points() -> Result<()> {
    for folder in fs::read_to_string(layout::file(MADE)).unwrap_or_default().lines().rev() {
        match fs::remove_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => result.with_context(|| format!("removing {folder}"))?,
        }
    }
    Ok(())
}

/// Gives the calling thread, and what it starts, the node's own view of the file system.
pub(super) fn enter(node: Node) -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWCGROUP).context("namespaces for mounts and cgroups")?;
    // Nothing of this is to be seen outside; but what is mounted later is, by pods that ask for it.
    for propagation in [MsFlags::MS_PRIVATE, MsFlags::MS_SHARED] {
        mount(None::<&str>, "/", None::<&str>, propagation | MsFlags::MS_REC, None::<&str>)?;
    }
    for path in DISK {
        let own = node.disk().join(path.trim_start_matches('/'));
        fs::create_dir_all(&own)?;
        bind(&own, Path::new(path))?;
    }
    cgroups::hierarchies()?.iter().try_for_each(|hierarchy| narrow(node, hierarchy))?;
    for (path, kind) in MEMORY {
        mount(Some(kind), path, Some(kind), MsFlags::empty(), Some("mode=0755"))
            .with_context(|| format!("over {path}"))?;
        share(Path::new(path))?;
    }
    for folder in ["/run/netns", "/run/lock"] {
        fs::create_dir_all(folder)?;
    }
    Ok(())
}

/// Leaves the node its own part of a cgroup hierarchy. Not just mounted over: what reads the list of
/// mounts takes the first of a kind.
fn narrow(node: Node, hierarchy: &Path) -> Result<()> {
    let own = hierarchy.join(node.cgroup());
    let aside = node.disk().join("cgroup");
    fs::create_dir_all(&aside)?;
    bind(&own, &aside)?;
    unmount(hierarchy)?;
    bind(&aside, hierarchy)?;
    unmount(&aside)
}

fn unmount(path: &Path) -> Result<()> {
    umount2(path, MntFlags::MNT_DETACH).with_context(|| format!("unmounting {}", path.display()))
}

fn bind(own: &Path, path: &Path) -> Result<()> {
    mount(Some(own), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .with_context(|| format!("{} over {}", own.display(), path.display()))?;
    share(path)
}

/// Lets pods see what is mounted below later. Private before: a folder mounted from the root is one
/// with it otherwise, and everything below is there twice.
fn share(path: &Path) -> Result<()> {
    for propagation in [MsFlags::MS_PRIVATE, MsFlags::MS_SHARED] {
        mount(None::<&str>, path, None::<&str>, propagation, None::<&str>)
            .with_context(|| format!("sharing {}", path.display()))?;
    }
    Ok(())
}
