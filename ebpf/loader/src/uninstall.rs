//! Takes everything of a node out of the kernel again.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::pins::pinned_namespaces;

/// A pin that could not be removed.
#[derive(Debug, thiserror::Error)]
#[error("cannot remove {}", path.display())]
pub struct UninstallError {
    /// Which.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// Cookies of the namespaces of all pods captured on a node, under every layout version.
#[must_use]
pub fn captured(pins: &Path) -> BTreeSet<u64> {
    let layouts = fs::read_dir(pins).into_iter().flatten().flatten();
    layouts.flat_map(|layout| pinned_namespaces(&layout.path()).collect::<Vec<_>>()).collect()
}

/// Removes all pins of a node, of every layout version: with the last reference the kernel detaches
/// the programs and frees the maps. Pods are no longer captured after that.
pub fn uninstall(pins: &Path) -> Result<(), UninstallError> {
    remove_layouts(pins, None)?;
    match fs::remove_dir(pins) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(UninstallError { path: pins.into(), source }),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Removes the pins of every layout version but `keep`.
pub(crate) fn remove_layouts(pins: &Path, keep: Option<&Path>) -> Result<(), UninstallError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| UninstallError { path, source }
    };
    if !pins.exists() {
        return Ok(());
    }
    for layout in fs::read_dir(pins).map_err(failed(pins))? {
        let layout = layout.map_err(failed(pins))?.path();
        // The kernel's own files are at the root of its file system.
        if !layout.is_dir() || keep == Some(&*layout) {
            continue;
        }
        let mut entries: Vec<PathBuf> = fs::read_dir(&layout)
            .map_err(failed(&layout))?
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .collect();
        // `connect` goes first, so that nothing is rewritten to what is already gone.
        entries.sort_by_key(|path| !path.to_string_lossy().contains("link-ambit_connect"));
        for path in entries {
            fs::remove_file(&path).map_err(failed(&path))?;
        }
        fs::remove_dir(&layout).map_err(failed(&layout))?;
    }
    Ok(())
}
