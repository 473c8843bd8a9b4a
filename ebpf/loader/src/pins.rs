//! Where links are pinned, so that they outlive the agent.

use std::io;
use std::path::{Path, PathBuf};

use aya::programs::links::FdLink;

/// The program attached to each pod's namespace; part of its pins' names.
pub(crate) const SK_LOOKUP: &str = "ambit_sk_lookup";

/// Pins `link`, then lets the link of an earlier agent at the same path go: for a moment both are
/// attached, which is harmless (the second finds nothing left to do), and there is never none.
pub(crate) fn replace_pin(path: &Path, link: FdLink) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // No dot in the name: a bpf file system refuses it.
    let mut new = path.as_os_str().to_owned();
    new.push("-new");
    let new = PathBuf::from(new);
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        Ok(()) | Err(_) => {}
    }
    let pinned = link.pin(&new)?;
    std::fs::rename(&new, path)?;
    // The pin keeps it attached; our own descriptor is not needed.
    drop(FdLink::from(pinned));
    Ok(())
}

/// Cookies of the namespaces whose inbound side is captured.
pub(crate) fn pinned_lookups(pins: &Path) -> impl Iterator<Item = u64> {
    let entries = std::fs::read_dir(pins).into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        entry.file_name().to_str()?.strip_prefix("link-")?.strip_prefix(SK_LOOKUP)?.strip_prefix('-')?.parse().ok()
    })
}

/// Where the link of a pod's namespace is pinned, by its cookie.
pub(crate) fn lookup_pin(pins: &Path, cookie: u64) -> PathBuf {
    pins.join(format!("link-{SK_LOOKUP}-{cookie}"))
}
