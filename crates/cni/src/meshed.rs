//! The namespaces that a node last knew as meshed: what the plugin goes by while the agent is away.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::replace::replace;

/// The version of the file's form.
const VERSION: u32 = 1;

/// Longest file in bytes: tens of thousands of the longest names.
const MAX_FILE: u64 = 4 << 20;

#[derive(Serialize, Deserialize)]
struct Form {
    version: u32,
    namespaces: BTreeSet<String>,
}

/// Why it cannot be said which namespaces are meshed.
#[derive(Debug, thiserror::Error)]
pub enum MeshedError {
    /// The file cannot be read.
    #[error("cannot read the list of meshed namespaces")]
    Read(#[from] io::Error),
    /// The file is something else.
    #[error("the list of meshed namespaces cannot be understood")]
    Form(#[from] serde_json::Error),
    /// A later agent wrote it.
    #[error("the list of meshed namespaces is of version {0}")]
    Version(u32),
}

/// Reads the list. There is none where no agent ever knew anything.
///
/// # Errors
/// If there is one that cannot be read: then any namespace may be meshed.
pub fn read(path: &Path) -> Result<BTreeSet<String>, MeshedError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(error.into()),
    };
    let mut text = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut text)?;
    let form: Form = serde_json::from_slice(&text)?;
    if form.version == VERSION { Ok(form.namespaces) } else { Err(MeshedError::Version(form.version)) }
}

/// Writes the list, and the folders above it.
///
/// # Errors
/// If it cannot be written; the list is then what it was.
pub fn write(path: &Path, namespaces: BTreeSet<String>) -> Result<(), MeshedError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let text = serde_json::to_vec(&Form { version: VERSION, namespaces })?;
    Ok(replace(path, &text, 0o644)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_was_written_and_told_from_what_it_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cni/meshed-namespaces.json");
        assert_eq!(read(&path).unwrap(), BTreeSet::new());
        for names in [&["shop", "bank"][..], &["shop"], &[]] {
            let names: BTreeSet<_> = names.iter().map(|&name| name.to_owned()).collect();
            write(&path, names.clone()).unwrap();
            assert_eq!(read(&path).unwrap(), names);
        }
        assert_eq!(fs::read_dir(folder.path().join("cni")).unwrap().count(), 1, "something was left behind");

        for (text, expected) in [("", "Form"), ("[]", "Form"), (r#"{"version":2,"namespaces":[]}"#, "Version")] {
            fs::write(&path, text).unwrap();
            assert!(format!("{:?}", read(&path).unwrap_err()).starts_with(expected), "{text}");
        }
        assert!(matches!(read(folder.path()), Err(MeshedError::Read(_))));
    }
}
