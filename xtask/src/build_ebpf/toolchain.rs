//! Finding a compiler that can build `core` for the kernel: one that comes with the sources of the
//! standard library.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::{
    command::{self, program},
    packages, workspace,
};

/// Names the compiler to use, before any other.
const OVERRIDE: &str = "AMBIT_EBPF_RUSTC";
/// The oldest compiler the kernel-side library builds with, as `major.minor`.
const OLDEST: (u32, u32) = (1, 87);
/// The packages that bring a compiler with the sources of its library. Debian keeps the first set as
/// new as the browsers need it, in stable releases too.
const DEBIAN_SETS: [[&str; 3]; 2] = [["rustc-web", "cargo-web", "rust-web-src"], ["rustc", "cargo", "rust-src"]];

pub(super) struct Toolchain {
    pub(super) rustc: PathBuf,
    pub(super) cargo: PathBuf,
    /// First line of `rustc -vV`.
    pub(super) version: String,
    /// Major version of the LLVM whose bitcode this compiler writes.
    pub(super) llvm: u32,
    sysroot: PathBuf,
}

impl Toolchain {
    /// The first usable of: the one named by the environment, rustup's, Debian's.
    pub(super) fn find(install: bool) -> Result<Self> {
        if let Some(rustc) = std::env::var_os(OVERRIDE) {
            let rustc = PathBuf::from(rustc);
            return Self::probe(&rustc).with_context(|| format!("{OVERRIDE}={} is not usable", rustc.display()));
        }
        let found = || {
            rustup_compilers().into_iter().chain(["/usr/bin/rustc".into()]).find_map(|rustc| Self::probe(&rustc).ok())
        };
        if let Some(toolchain) = found() {
            return Ok(toolchain);
        }
        let packages = debian_set(install)?;
        if !install {
            bail!(
                "no Rust compiler with the sources of its library (needed to build `core` for the kernel): none in \
                 ${OVERRIDE}, none among rustup's toolchains, none in /usr/bin. One of\n  \
                 apt-get install --no-install-recommends {}\n  rustup component add rust-src\n  \
                 cargo xtask build-ebpf --install   (does the first, as root)",
                packages.join(" ")
            );
        }
        packages::install(&packages)?;
        found().with_context(|| format!("{} are installed, yet no usable compiler is found", packages.join(", ")))
    }

    /// The folder of the standard library's sources.
    pub(super) fn library(&self) -> PathBuf {
        self.sysroot.join("lib/rustlib/src/rust/library")
    }

    fn probe(rustc: &Path) -> Result<Self> {
        let about = command::output(program(rustc).arg("-vV"))?;
        let field = |name: &str| {
            about.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("rustc -vV without {name}"))
        };
        let release = field("release: ")?;
        if major_minor(release).is_none_or(|version| version < OLDEST) {
            bail!("Rust {release} is too old, {}.{} is needed", OLDEST.0, OLDEST.1);
        }
        let llvm = field("LLVM version: ")?;
        let toolchain = Self {
            rustc: rustc.to_owned(),
            cargo: sibling_cargo(rustc),
            version: about.lines().next().unwrap_or_default().to_owned(),
            llvm: llvm.split('.').next().and_then(|major| major.parse().ok()).context("LLVM version is no number")?,
            sysroot: command::output(program(rustc).args(["--print", "sysroot"]))?.into(),
        };
        if !toolchain.library().join("core/Cargo.toml").is_file() {
            bail!("{} does not exist", toolchain.library().display());
        }
        Ok(toolchain)
    }
}

/// Cargo and library sources of one release fit each other; any cargo is the second choice.
fn sibling_cargo(rustc: &Path) -> PathBuf {
    let sibling = rustc.with_file_name("cargo");
    if sibling.is_file() { sibling } else { PathBuf::from(command::cargo().get_program()) }
}

/// The compilers of rustup's toolchains, nightlies first.
fn rustup_compilers() -> Vec<PathBuf> {
    let home = std::env::var_os("RUSTUP_HOME")
        .map_or_else(|| workspace::cargo_home().with_file_name(".rustup"), PathBuf::from);
    let Ok(entries) = home.join("toolchains").read_dir() else { return Vec::new() };
    let mut toolchains: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    toolchains.sort_by_key(|path| (!path.to_string_lossy().contains("nightly"), path.clone()));
    toolchains.into_iter().map(|path| path.join("bin/rustc")).collect()
}

/// The packages to install on this Debian, by what apt offers.
fn debian_set(install: bool) -> Result<[&'static str; 3]> {
    let offered = || {
        DEBIAN_SETS.into_iter().find(|[rustc, ..]| {
            packages::candidate(rustc)
                .and_then(|version| major_minor(&version))
                .is_some_and(|version| version >= OLDEST)
        })
    };
    if let Some(set) = offered() {
        return Ok(set);
    }
    if install && command::is_root() {
        packages::refresh()?;
    }
    offered().with_context(|| {
        let sets = DEBIAN_SETS.map(|set| set.join(" ")).join("; or ");
        format!("apt offers no Rust {}.{} or newer; looked for: {sets}", OLDEST.0, OLDEST.1)
    })
}

/// The first two numbers of a version such as `1.96.0+dfsg1-1~deb12u2`.
fn major_minor(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::major_minor;

    #[test]
    fn versions_of_rustc_and_of_debian_are_read() {
        for (text, expected) in
            [("1.96.0+dfsg1-1~deb12u2", Some((1, 96))), ("1.97.0-nightly", Some((1, 97))), ("", None), ("1", None)]
        {
            assert_eq!(major_minor(text), expected, "{text}");
        }
    }
}
