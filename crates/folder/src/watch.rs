//! Tells what changes in a folder, as the kernel reports it.

use std::collections::BTreeSet;
use std::path::Path;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent};
use tokio::sync::mpsc;

use crate::folder::FolderError;

/// What happened in the folder.
#[derive(Debug, PartialEq, Eq)]
pub enum Changed {
    /// These files were written, moved or removed.
    Files(BTreeSet<String>),
    /// More than the kernel could tell, or a link that other files lie behind.
    Unknown,
    /// The folder itself was moved or removed.
    Gone,
}

/// A watched folder: a thread that does nothing but wait for the kernel to say what happens there.
#[derive(Debug)]
pub struct Watch(mpsc::UnboundedReceiver<Changed>);

impl Watch {
    /// Begins to watch.
    ///
    /// # Errors
    /// If the kernel cannot watch the folder.
    pub fn start(path: &Path) -> Result<Self, FolderError> {
        let failed = |source| FolderError::Watch { path: path.to_owned(), source };
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC).map_err(failed)?;
        let changes = AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        inotify.add_watch(path, changes).map_err(failed)?;
        let (changes, receiver) = mpsc::unbounded_channel();
        std::thread::Builder::new()
            .name("folder".to_owned())
            .spawn(move || {
                loop {
                    let changed = inotify.read_events().map_or(Changed::Gone, summarise);
                    let gone = changed == Changed::Gone;
                    // It ends with the folder, or with the first change after nobody listens any more.
                    if changes.send(changed).is_err() || gone {
                        return;
                    }
                }
            })
            .map_err(|source| FolderError::Read { path: path.to_owned(), source })?;
        Ok(Self(receiver))
    }

    /// Waits for the next changes.
    pub async fn changed(&mut self) -> Changed {
        self.0.recv().await.unwrap_or(Changed::Gone)
    }
}

fn summarise(events: Vec<InotifyEvent>) -> Changed {
    let gone = AddWatchFlags::IN_DELETE_SELF
        | AddWatchFlags::IN_MOVE_SELF
        | AddWatchFlags::IN_IGNORED
        | AddWatchFlags::IN_UNMOUNT;
    if events.iter().any(|event| event.mask.intersects(gone)) {
        return Changed::Gone;
    }
    let names: BTreeSet<_> =
        events.iter().filter_map(|event| event.name.as_ref()?.to_str().map(str::to_owned)).collect();
    let overflow = events.iter().any(|event| event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW));
    // Kubernetes swaps a whole folder of files by one link, `..data`.
    if overflow || names.iter().any(|name| name.starts_with("..")) { Changed::Unknown } else { Changed::Files(names) }
}
