//! Configuration from a folder of manifests, watched: every change is read at once, and what was valid stays in
//! force over mistakes and restarts. What the manifests mean is somebody else's to know ([`Manifests`]).

mod folder;
mod saved;
mod watch;

pub use folder::{Folder, FolderError, Manifests, read};
pub use watch::{Changed, Watch};
