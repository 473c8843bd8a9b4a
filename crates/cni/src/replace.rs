//! Files that others read at any moment.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Puts `contents` in the place of a file, or where none was, at once and for good: whoever reads it, at
/// any moment and after a power cut, finds the old or the new.
///
/// # Errors
/// If it cannot be written; then nothing has changed.
pub fn replace(path: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    // Its ending says that it is nobody's configuration.
    let new = folder.join(format!(".{}.{}.ambit-new", name.to_string_lossy(), std::process::id()));
    let written = write(&new, contents, mode).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        // What is left of it harms nobody.
        let _best_effort = fs::remove_file(&new);
    }
    written?;
    // The name is as lasting as the folder.
    File::open(folder)?.sync_all()
}

fn write(path: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(contents)?;
    file.sync_all()
}
