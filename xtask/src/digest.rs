//! Checksums of files, by the program every Linux has.

use std::path::Path;

use anyhow::{Context, Result};

use crate::command::{self, program};

/// The SHA-256 of `file`, in hexadecimal.
pub(crate) fn sha256(file: &Path) -> Result<String> {
    let line = command::output(program("sha256sum").arg(file))?;
    line.split_whitespace().next().map(str::to_owned).context("sha256sum printed nothing")
}
