//! A folder of manifests, written as users write it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The folder an agent's `--config` names.
#[derive(Debug)]
pub struct ConfigDir {
    path: PathBuf,
    staging: PathBuf,
}

impl ConfigDir {
    /// Makes the folder `<parent>/config`, or takes it as it is.
    ///
    /// # Errors
    /// Fails when it cannot be made.
    pub fn new(parent: &Path) -> Result<Self> {
        let (path, staging) = (parent.join("config"), parent.join("staging"));
        fs::create_dir_all(&path).with_context(|| format!("create {}", path.display()))?;
        fs::create_dir_all(&staging).with_context(|| format!("create {}", staging.display()))?;
        Ok(Self { path, staging })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file in one step: nobody sees it half written.
    ///
    /// # Errors
    /// Fails when the file system refuses.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        let staged = self.staging.join(name);
        fs::write(&staged, text).with_context(|| format!("write {}", staged.display()))?;
        fs::rename(&staged, self.path.join(name)).with_context(|| format!("put {name} in place"))
    }

    /// Writes a file where it lies, as an editor may.
    ///
    /// # Errors
    /// Fails when the file system refuses.
    pub fn write_in_place(&self, name: &str, text: &str) -> Result<()> {
        fs::write(self.path.join(name), text).with_context(|| format!("write {name}"))
    }

    /// Removes a file.
    ///
    /// # Errors
    /// Fails when it is not there.
    pub fn remove(&self, name: &str) -> Result<()> {
        fs::remove_file(self.path.join(name)).with_context(|| format!("remove {name}"))
    }
}
