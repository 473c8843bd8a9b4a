//! Where links are pinned, so that they outlive the agent.

use std::io;
use std::path::{Path, PathBuf};

use aya::programs::links::FdLink;

/// The program attached to each pod's namespace; part of its pins' names, which are the same for the one in
/// its place in the namespace of a virtual machine.
pub(crate) const SK_LOOKUP: &str = "ambit_sk_lookup";
/// What is attached there where the pod is a virtual machine.
pub(crate) const GUEST_LOOKUP: &str = "ambit_guest_lookup";
/// The programs attached to the interface of a virtual machine; part of their pins' names.
pub(crate) const FROM_GUEST: &str = "ambit_from_guest";
pub(crate) const ARRIVING: &str = "ambit_arriving";
/// The programs attached to the other interfaces of its namespace; part of their pins' names.
pub(crate) const TO_GUEST: &str = "ambit_to_guest";
pub(crate) const LEAVING: &str = "ambit_leaving";

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

/// Cookies of the namespaces to which something is attached.
pub(crate) fn pinned_namespaces(pins: &Path) -> impl Iterator<Item = u64> {
    let lookups = pinned(pins, SK_LOOKUP).filter_map(|rest| rest.parse().ok());
    lookups.chain(pinned_interfaces(pins).map(|(_, cookie, _)| cookie))
}

/// Interfaces to which something is attached: program, cookie of the namespace, number of the interface.
pub(crate) fn pinned_interfaces(pins: &Path) -> impl Iterator<Item = (&'static str, u64, u32)> {
    [FROM_GUEST, ARRIVING, TO_GUEST, LEAVING].into_iter().flat_map(move |program| {
        pinned(pins, program).filter_map(move |rest| {
            let (cookie, index) = rest.split_once('-')?;
            Some((program, cookie.parse().ok()?, index.parse().ok()?))
        })
    })
}

/// What follows a program's name in the names of its pins.
fn pinned(pins: &Path, program: &'static str) -> impl Iterator<Item = String> + use<> {
    let entries = std::fs::read_dir(pins).into_iter().flatten().flatten();
    entries.filter_map(move |entry| {
        let name = entry.file_name();
        name.to_str()?.strip_prefix("link-")?.strip_prefix(program)?.strip_prefix('-').map(str::to_owned)
    })
}

/// Where the link of a pod's namespace is pinned, by its cookie.
pub(crate) fn lookup_pin(pins: &Path, cookie: u64) -> PathBuf {
    pins.join(format!("link-{SK_LOOKUP}-{cookie}"))
}

/// Where the link of an interface is pinned.
pub(crate) fn interface_pin(pins: &Path, program: &str, cookie: u64, index: u32) -> PathBuf {
    pins.join(format!("link-{program}-{cookie}-{index}"))
}
