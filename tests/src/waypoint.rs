//! The waypoint's program.

use std::path::PathBuf;

use anyhow::{Result, ensure};

/// The waypoint's binary: what `AMBIT_WAYPOINT_BINARY` names, else the release build.
///
/// # Errors
/// Fails when there is none.
pub fn waypoint_binary() -> Result<PathBuf> {
    let target = || match std::env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => PathBuf::from(directory),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target"),
    };
    let binary =
        std::env::var_os("AMBIT_WAYPOINT_BINARY").map_or_else(|| target().join("release/waypoint"), PathBuf::from);
    ensure!(binary.is_file(), "no waypoint at {}: build it, or name it in AMBIT_WAYPOINT_BINARY", binary.display());
    Ok(binary)
}
