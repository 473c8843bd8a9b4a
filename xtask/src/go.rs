//! Go, which the test cluster's programs and some peers of the tests are built with: the machine's own, else
//! Debian's, else the release that Debian's fetches.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result};

use crate::{
    command::{self, program},
    packages,
};

/// What is fetched where the Go that is there is older than [`NEEDED`].
const RELEASE: &str = "1.26.8";

/// What the programs need; one of them is no module, and does not say so.
const NEEDED: (u32, u32) = (1, 26);

/// The first Go that fetches another by itself.
const FETCHES_TOOLCHAINS: (u32, u32) = (1, 21);

/// A command of Go that builds static programs without this machine's paths in them.
pub(crate) fn command(verb: &str, link_flags: &str) -> Result<Command> {
    let (go, toolchain) = found()?;
    let mut go = program(go);
    go.args([verb, "-trimpath", "-ldflags", &format!("-s -w {link_flags}")]);
    go.env("CGO_ENABLED", "0").env("GOTOOLCHAIN", toolchain);
    Ok(go)
}

/// Where Go is, which is installed if need be, and which one it is to use.
fn found() -> Result<(PathBuf, String)> {
    // Go's own archive unpacks to /usr/local/go, which is not on every path.
    let unpacked = || Some(PathBuf::from("/usr/local/go/bin/go")).filter(|path| path.is_file());
    let go = match command::find("go").or_else(unpacked) {
        Some(go) => go,
        None => {
            packages::install(&["golang-go"])?;
            command::find("go").context("golang-go is installed, and there is no go")?
        }
    };
    let version = command::output(program(&go).arg("version"))?;
    Ok(match version_of(&version) {
        Some(version) if version >= NEEDED => (go, "auto".to_owned()),
        Some(version) if version >= FETCHES_TOOLCHAINS => (go, format!("go{RELEASE}+auto")),
        _ => (release(&go)?, "auto".to_owned()),
    })
}

/// The numbers in `go version go1.19.8 linux/amd64`.
fn version_of(line: &str) -> Option<(u32, u32)> {
    let mut numbers = line.split(' ').find_map(|word| word.strip_prefix("go1."))?.split(|c: char| !c.is_ascii_digit());
    Some((1, numbers.next()?.parse().ok()?))
}

/// A newer Go, which is a module as any other: in the modules' cache from the first call on.
fn release(go: &Path) -> Result<PathBuf> {
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let module = format!("golang.org/toolchain@v0.0.1-go{RELEASE}.linux-{architecture}");
    let told = command::output(
        // From where no module of ours is.
        program(go).current_dir(env::temp_dir()).args(["mod", "download", "-json", &module]).env("GOFLAGS", "-mod=mod"),
    )
    .with_context(|| format!("fetching {module}"))?;
    let told: serde_json::Value = serde_json::from_str(&told)?;
    let folder =
        told.get("Dir").and_then(serde_json::Value::as_str).with_context(|| format!("{module} has no folder"))?;
    // Modules have no modes.
    ["bin", "pkg/tool"].into_iter().try_for_each(|part| make_executable(&Path::new(folder).join(part)))?;
    Ok(Path::new(folder).join("bin/go"))
}

fn make_executable(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            make_executable(&path)?;
        } else {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        let old = version_of("go version go1.19.8 linux/amd64");
        assert_eq!(old, Some((1, 19)));
        assert!(old < Some(FETCHES_TOOLCHAINS));
        assert!(version_of("go version go1.26rc1 linux/arm64") > Some(FETCHES_TOOLCHAINS));
        assert_eq!(version_of("gccgo"), None);
    }
}
