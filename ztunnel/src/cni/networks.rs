//! The container runtime's folder of networks: finds the one in use, puts the plugin into it, and takes it
//! out of all of them.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ambit_cni::conflist::{self, ConflistError, Kind};
use ambit_cni::replace;

/// Behind the name of a file that became a list, while the plugin is in that.
const SET_ASIDE: &str = ".ambit-saved";

/// Longest file taken for a network, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// Why the plugin is not in the network in use, or not out of all of them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetworksError {
    /// The runtime has no network yet: no pod can start.
    #[error("there is no network in {0} yet")]
    None(PathBuf),
    /// A file or the folder.
    #[error("cannot read or write {path}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file that is not what its name says. Some runtimes pass it over, others start no pod.
    #[error("cannot edit {path}")]
    Conflist {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: ConflistError,
    },
    /// It would have to become a list, of a name that is taken.
    #[error("cannot edit {path}: {list} is there too")]
    NameTaken {
        /// The file of one plugin.
        path: PathBuf,
        /// The list it would become.
        list: PathBuf,
    },
}

/// Puts `entry` into the network that the runtime uses: the first file by name that is one. Says which
/// file it changed, if any.
pub(super) fn put(folder: &Path, entry: &str) -> Result<Option<PathBuf>, NetworksError> {
    let mut refused = None;
    for (path, kind) in networks(folder)? {
        let edited = match kind {
            Kind::List => put_into_list(&path, entry),
            Kind::Single => set_aside(&path, entry),
        };
        match edited {
            // The next is in use where the runtime passes this one over. Where it does not, no pod starts.
            Err(error @ NetworksError::Conflist { .. }) => refused = refused.or(Some(error)),
            // What some runtimes pass over may become the first any moment, so this is not the end of it.
            Ok(changed) => return refused.map_or(Ok(changed), Err),
            Err(error) => return Err(error),
        }
    }
    Err(refused.unwrap_or_else(|| NetworksError::None(folder.to_owned())))
}

/// Takes the plugin out of all networks. What one file cannot be rid of does not keep the others from it.
pub(super) fn take_out(folder: &Path) -> Result<(), NetworksError> {
    let mut outcome = put_back(folder);
    for (path, kind) in networks(folder)? {
        if kind == Kind::List {
            outcome = outcome.and(take_out_of_list(&path));
        }
    }
    outcome
}

/// The networks, in the order of the runtimes.
fn networks(folder: &Path) -> Result<Vec<(PathBuf, Kind)>, NetworksError> {
    let mut names = names(folder)?;
    names.sort_unstable();
    let network = |name: String| Kind::of(&name).map(|kind| (folder.join(name), kind));
    Ok(names.into_iter().filter_map(network).filter(|(path, _)| !path.is_dir()).collect())
}

/// Names in the folder; none where it is not there.
fn names(folder: &Path) -> Result<Vec<String>, NetworksError> {
    let failed = |source| io_error(folder, source);
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().into_string().ok());
    entries.filter_map(|entry| name(entry).map_err(failed).transpose()).collect()
}

fn put_into_list(path: &Path, entry: &str) -> Result<Option<PathBuf>, NetworksError> {
    let list = read(path)?;
    let edited = conflist::insert(&list, entry).map_err(|source| conflist_error(path, source))?;
    edited.map(|edited| write(path, &edited, path)).transpose()
}

/// Makes a list of a single plugin, and puts the file itself aside: in its place the runtime would go on
/// reading it.
fn set_aside(path: &Path, entry: &str) -> Result<Option<PathBuf>, NetworksError> {
    let plugin = read(path)?;
    let list = path.with_extension("conflist");
    let made = conflist::from_single(&plugin, entry).map_err(|source| conflist_error(path, source))?;
    // Left where an earlier attempt was cut off.
    let ours = |text: &str| conflist::remove(text).is_ok_and(|removed| removed.is_some());
    if list.exists() && !read(&list).is_ok_and(|text| ours(&text)) {
        return Err(NetworksError::NameTaken { path: path.to_owned(), list });
    }
    write(&list, &made, path)?;
    fs::rename(path, aside(path)).map_err(|source| io_error(path, source))?;
    Ok(Some(list))
}

/// Puts back what was set aside, unless its list has become another's.
fn put_back(folder: &Path) -> Result<(), NetworksError> {
    for name in names(folder)? {
        let Some(original) = name.strip_suffix(SET_ASIDE).map(|name| folder.join(name)) else { continue };
        let list = original.with_extension("conflist");
        let text = read(&list).unwrap_or_default();
        let without_us = conflist::remove(&text).ok().flatten();
        let still_the_same = without_us.is_some_and(|text| matches!(conflist::plugins(&text), Ok(1)));
        let saved = folder.join(&name);
        let done = if still_the_same && !original.exists() {
            fs::rename(&saved, &original).and_then(|()| fs::remove_file(&list))
        } else {
            fs::remove_file(&saved)
        };
        done.map_err(|source| io_error(&original, source))?;
    }
    Ok(())
}

fn take_out_of_list(path: &Path) -> Result<(), NetworksError> {
    // A file that is no list holds no entry of ours.
    let Ok(Some(list)) = conflist::remove(&read(path)?) else { return Ok(()) };
    write(path, &list, path).map(drop)
}

fn aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(SET_ASIDE);
    name.into()
}

fn read(path: &Path) -> Result<String, NetworksError> {
    let read = || {
        let metadata = fs::metadata(path)?;
        if metadata.len() > MAX_FILE {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        fs::read_to_string(path)
    };
    read().map_err(|source| io_error(path, source))
}

/// Writes a network, readable for whom `like` is.
fn write(path: &Path, text: &str, like: &Path) -> Result<PathBuf, NetworksError> {
    let written = fs::metadata(like)
        .map(|metadata| metadata.permissions().mode() & 0o777)
        .and_then(|mode| replace(path, text.as_bytes(), mode));
    written.map_err(|source| io_error(path, source))?;
    Ok(path.to_owned())
}

fn io_error(path: &Path, source: io::Error) -> NetworksError {
    NetworksError::Io { path: path.to_owned(), source }
}

fn conflist_error(path: &Path, source: ConflistError) -> NetworksError {
    NetworksError::Conflist { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
