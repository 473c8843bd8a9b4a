//! Takes everything of a node out of the kernel again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A pin that could not be removed.
#[derive(Debug, thiserror::Error)]
#[error("cannot remove {}", path.display())]
pub struct UninstallError {
    /// Which.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// Removes all pins of a node, of every layout version: with the last reference the kernel detaches
/// the programs and frees the maps. Pods are no longer captured after that. `connect` goes first, so
/// that nothing is rewritten to what is already gone.
pub fn uninstall(pins: &Path) -> Result<(), UninstallError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| UninstallError { path, source }
    };
    if !pins.exists() {
        return Ok(());
    }
    for version in fs::read_dir(pins).map_err(failed(pins))? {
        let version = version.map_err(failed(pins))?.path();
        if !version.is_dir() {
            continue; // the kernel's own, at the root of its file system
        }
        let mut entries: Vec<PathBuf> = fs::read_dir(&version)
            .map_err(failed(&version))?
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .collect();
        entries.sort_by_key(|path| !path.to_string_lossy().contains("link-ambit_connect"));
        for path in entries {
            fs::remove_file(&path).map_err(failed(&path))?;
        }
        fs::remove_dir(&version).map_err(failed(&version))?;
    }
    fs::remove_dir(pins).map_err(failed(pins))
}
