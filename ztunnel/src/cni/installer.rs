//! Installs the plugin, and keeps it installed: other tools rewrite their networks, and node images
//! their plugins.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ambit_cni::{PLUGIN, conflist, replace};
use ambit_folder::{Changed, Watch};
use ambit_runtime::{Condition, Drain};

use super::networks::{self, NetworksError};
use super::settings::Settings;
use crate::failure::error_chain;

/// How often it is looked after even where the kernel reports nothing.
const LOOK: Duration = Duration::from_secs(10);

/// The same, while something is wrong.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Between two looks: whoever writes one file often writes two, and whoever always writes back what we
/// changed does not get to keep us busy.
const SETTLE: Duration = Duration::from_millis(200);

/// Why the plugin is not installed, or not gone.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InstallError {
    /// The plugin itself.
    #[error("cannot put {from} to {to}")]
    Plugin {
        /// The file that comes with the agent.
        from: PathBuf,
        /// Its place on the node.
        to: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The runtime's networks.
    #[error(transparent)]
    Networks(#[from] NetworksError),
    /// Something that should go.
    #[error("cannot remove {path}")]
    Remove {
        /// What.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Keeps the plugin installed until the drain begins: from then on a successor may install its own.
pub(super) async fn keep(settings: Settings, installed: Condition, drain: Drain) {
    let (mut networks, mut plugins) = (None, None);
    while !drain.begun().is_cancelled() {
        // Watched before it is looked at, so that no change is missed.
        watch(&mut networks, &settings.networks);
        watch(&mut plugins, &settings.plugins);
        let again = match install(&settings) {
            Ok(()) => {
                installed.ok();
                LOOK
            }
            Err(error) => {
                installed.failed(error_chain(&error));
                LOOK_AGAIN
            }
        };
        tokio::time::sleep(SETTLE).await;
        tokio::select! {
            () = drain.begun().cancelled() => {}
            () = tokio::time::sleep(again) => {}
            () = changed(&mut networks) => {}
            () = changed(&mut plugins) => {}
        }
    }
    drain.cut_off().cancelled().await;
}

/// Watches a folder, unless it is watched already or is not there: then the clock must do.
fn watch(watched: &mut Option<Watch>, folder: &Path) {
    if watched.is_none() {
        *watched = Watch::start(folder).ok();
    }
}

async fn changed(watched: &mut Option<Watch>) {
    match watched {
        Some(watch) => {
            if watch.changed().await == Changed::Gone {
                *watched = None;
            }
        }
        None => std::future::pending().await,
    }
}

/// Puts right whatever is not as it should be: first the plugin, then what names it.
fn install(settings: &Settings) -> Result<(), InstallError> {
    if install_plugin(&settings.plugin, &settings.plugins.join(PLUGIN))? {
        tracing::info!(folder = %settings.plugins.display(), "the CNI plugin is installed");
    }
    let entry = conflist::entry(&settings.socket, &settings.meshed_namespaces);
    if let Some(file) = networks::put(&settings.networks, &entry)? {
        tracing::info!(file = %file.display(), "the CNI plugin is in the network that the runtime uses");
    }
    Ok(())
}

/// Whether it had to be written.
fn install_plugin(from: &Path, to: &Path) -> Result<bool, InstallError> {
    let failed = |source| InstallError::Plugin { from: from.to_owned(), to: to.to_owned(), source };
    let plugin = fs::read(from).map_err(failed)?;
    let is_there = fs::read(to).is_ok_and(|there| there == plugin);
    if !is_there {
        replace(to, &plugin, 0o755).map_err(failed)?;
    }
    Ok(!is_there)
}

/// Takes everything away that was installed or kept, what names the plugin first. All of it is tried.
pub(crate) fn uninstall(settings: &Settings) -> Result<(), InstallError> {
    let named = networks::take_out(&settings.networks);
    if let Err(error) = named {
        // A network that names a plugin which is not there starts no pod at all.
        return Err(error.into());
    }
    let files = [settings.plugins.join(PLUGIN), settings.socket.clone(), settings.meshed_namespaces.clone()];
    let mut outcome = Ok(());
    for path in files {
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                outcome = outcome.and(Err(InstallError::Remove { path, source }));
            }
            Ok(()) | Err(_) => {}
        }
    }
    for folder in [&settings.socket, &settings.meshed_namespaces].into_iter().filter_map(|file| file.parent()) {
        // Stays where others have files in it, or it is a mount.
        let _others_may_use_it = fs::remove_dir(folder);
    }
    outcome
}

#[cfg(test)]
mod tests;
