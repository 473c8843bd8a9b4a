//! The bpf file system that pins live on, and the cgroup root that programs are attached to.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, CGROUP2_SUPER_MAGIC, statfs};

/// Why there is no place for pins.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The directory cannot be made.
    #[error("cannot make the pin directory {}", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No bpf file system is mounted there and none can be.
    #[error("cannot mount a bpf file system on {} (it needs CAP_SYS_ADMIN)", path.display())]
    Mount {
        /// Where.
        path: PathBuf,
        /// Why.
        source: nix::Error,
    },
}

/// Makes `directory` on a bpf file system, mounting one on `root`, which it is below, if there is none.
pub(crate) fn prepare(root: &Path, directory: &Path) -> Result<(), MountError> {
    if !is_bpffs(root) {
        mount_once(root)?;
    }
    fs::create_dir_all(directory).map_err(|source| MountError::Directory { path: directory.into(), source })
}

/// Two agents that start at once must not mount one over the other's pins: one at a time, and only
/// if it is still needed.
fn mount_once(directory: &Path) -> Result<(), MountError> {
    let cannot = |source| MountError::Directory { path: directory.into(), source };
    // The nearest existing directory may already be a bpf file system, then a folder is enough.
    let existing = directory.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    if is_bpffs(existing) {
        return fs::create_dir_all(directory).map_err(cannot);
    }
    let mount_point = if existing == Path::new("/sys/fs/bpf") {
        existing
    } else {
        fs::create_dir_all(directory).map_err(cannot)?;
        directory
    };
    let file = File::open(mount_point).map_err(cannot)?;
    let _lock = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| cannot(errno.into()))?;
    if !is_bpffs(mount_point) {
        tracing::info!(path = %mount_point.display(), "mounting a bpf file system");
        mount(Some("bpf"), mount_point, Some("bpf"), MsFlags::empty(), None::<&str>)
            .map_err(|source| MountError::Mount { path: mount_point.into(), source })?;
    }
    fs::create_dir_all(directory).map_err(cannot)
}

fn is_bpffs(path: &Path) -> bool {
    statfs(path).is_ok_and(|stat| stat.filesystem_type() == BPF_FS_MAGIC)
}

/// The root of the cgroup v2 hierarchy of this machine, unified or hybrid.
#[must_use]
pub fn default_cgroup() -> Option<PathBuf> {
    ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| statfs(path).is_ok_and(|stat| stat.filesystem_type() == CGROUP2_SUPER_MAGIC))
}
