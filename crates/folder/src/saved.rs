//! The last valid version of each manifest, kept over restarts: a mistake that is in the folder when the
//! agent starts must not take out of force what was in force before.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// A folder of copies. Losing it costs nothing while manifests are valid; so its failures are only logged.
#[derive(Debug)]
pub(crate) struct Saved(pub(crate) PathBuf);

impl Saved {
    /// The copy of a file.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.0.join(name)).ok()
    }

    /// Keeps a version that is valid.
    pub(crate) fn keep(&self, name: &str, text: &str) {
        if self.text(name).is_some_and(|kept| kept == text) {
            return;
        }
        // Hidden while it is written, so that half a file never passes for a copy.
        let new = self.0.join(format!(".{name}"));
        let written = private_folder(&self.0)
            .and_then(|()| write_private(&new, text))
            .and_then(|()| fs::rename(&new, self.0.join(name)));
        log(name, written);
    }

    /// Forgets a file that its users removed.
    pub(crate) fn remove(&self, name: &str) {
        match fs::remove_file(self.0.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => log(name, Err(error)),
            Ok(()) | Err(_) => {}
        }
    }

    /// Forgets all but these.
    pub(crate) fn retain(&self, keep: impl Fn(&str) -> bool) {
        for entry in fs::read_dir(&self.0).into_iter().flatten().flatten() {
            if let Some(name) = entry.file_name().to_str().filter(|name| !keep(name)) {
                self.remove(name);
            }
        }
    }
}

/// A manifest may be a Secret: its copies are for nobody else, whoever may read the original.
fn private_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(0o700))
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

fn log(name: &str, result: io::Result<()>) {
    if let Err(error) = result {
        tracing::warn!(file = name, %error, "cannot keep the last valid version of a manifest");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_it_is_given_and_forgets_what_it_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let saved = Saved(folder.path().join("saved"));
        assert_eq!(saved.text("a.yaml"), None);
        saved.keep("a.yaml", "one");
        saved.keep("b.yaml", "two");
        saved.keep("a.yaml", "three");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&saved.0), mode(&saved.0.join("a.yaml"))), (0o700, 0o600));
        assert_eq!(saved.text("a.yaml").as_deref(), Some("three"));
        saved.retain(|name| name == "a.yaml");
        assert_eq!((saved.text("a.yaml").is_some(), saved.text("b.yaml")), (true, None));
        saved.remove("a.yaml");
        saved.remove("a.yaml");
        assert_eq!(saved.text("a.yaml"), None);
    }
}
