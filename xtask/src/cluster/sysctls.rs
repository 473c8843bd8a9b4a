//! Settings of the kernel that a kubelet changes for the whole machine: noted before the first start,
//! put back at the end.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};

use super::layout;

const CHANGED: [&str; 6] = [
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
];

/// Notes the settings, unless that was done.
pub(super) fn note() -> Result<()> {
    let file = layout::file("sysctls.json");
    if file.exists() {
        return Ok(());
    }
    let settings: BTreeMap<&str, String> =
        CHANGED.into_iter().filter_map(|name| Some((name, fs::read_to_string(path(name)).ok()?))).collect();
    fs::write(file, serde_json::to_string(&settings)?).context("noting kernel settings")
}

/// Puts them back.
pub(super) fn restore() -> Result<()> {
    let Ok(text) = fs::read_to_string(layout::file("sysctls.json")) else { return Ok(()) };
    let settings: BTreeMap<String, String> = serde_json::from_str(&text)?;
    for (name, value) in settings {
        // Written only where it differs: a machine may forbid what nobody changed.
        if fs::read_to_string(path(&name)).is_ok_and(|now| now != value) {
            fs::write(path(&name), value).with_context(|| format!("putting {name} back"))?;
        }
    }
    Ok(())
}

fn path(name: &str) -> impl AsRef<Path> + use<> {
    Path::new("/proc/sys").join(name)
}
