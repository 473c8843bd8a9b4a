//! bpf-linker, which must read the bitcode of the compiler's LLVM: built against the same major version.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::{
    command::{self, cargo, program},
    packages,
};

/// The version whose output is known to load; its features name the LLVM to build with.
const VERSION: &str = "0.13.0";

pub(super) struct Linker {
    pub(super) path: PathBuf,
    /// As it names itself.
    pub(super) version: String,
}

pub(super) fn find(llvm: u32, install: bool) -> Result<Linker> {
    if let Some(path) = usable(llvm) {
        return describe(path);
    }
    let llvm_dev = format!("llvm-{llvm}-dev");
    let packages = [llvm_dev.as_str(), "gcc", "libc6-dev", "zlib1g-dev", "libzstd-dev"];
    let feature = format!("llvm-{llvm}");
    let prefix = format!("/usr/lib/llvm-{llvm}");
    let words = ["install", "bpf-linker", "--version", VERSION, "--locked", "--no-default-features", "--features"];
    let shown = format!("LLVM_PREFIX={prefix} cargo {} {feature}", words.join(" "));
    if !install {
        let missing = packages::missing(&packages);
        let apt = if missing.is_empty() { String::new() } else { format!("  apt-get install {}\n", missing.join(" ")) };
        bail!(
            "bpf-linker for LLVM {llvm} is missing. Do\n{apt}  {shown}\nor `cargo xtask build-ebpf --install` as root"
        );
    }
    packages::install(&packages)?;
    println!("installing bpf-linker: {shown}");
    command::run(cargo().args(words).args([feature.as_str(), "--force", "--quiet"]).env("LLVM_PREFIX", prefix))?;
    describe(usable(llvm).with_context(|| format!("bpf-linker is installed, but not for LLVM {llvm}"))?)
}

fn describe(path: PathBuf) -> Result<Linker> {
    let version = command::output(program(&path).arg("--version"))?;
    Ok(Linker { path, version })
}

/// bpf-linker, unless it is linked to the library of another LLVM. One without a shared LLVM does not
/// tell which it contains; linking will.
fn usable(llvm: u32) -> Option<PathBuf> {
    let path = command::find("bpf-linker")?;
    match linked_llvm(&path) {
        Some(linked) if linked != llvm => None,
        _ => Some(path),
    }
}

fn linked_llvm(linker: &Path) -> Option<u32> {
    soname_major(&command::output(program("ldd").arg(linker)).ok()?)
}

/// The N of `libLLVM.so.N.1` or `libLLVM-N.so` in what ldd prints.
fn soname_major(ldd: &str) -> Option<u32> {
    let (_, name) = ldd.split_once("libLLVM")?;
    let digits = name.trim_start_matches(|c: char| !c.is_ascii_digit());
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::soname_major;

    #[test]
    fn the_shared_library_names_its_llvm() {
        for (ldd, expected) in [
            ("\tlibLLVM.so.22.1 => /usr/lib/llvm-22/lib/libLLVM.so.22.1 (0x7f)", Some(22)),
            ("\tlibLLVM-19.so.1 => /usr/lib/libLLVM-19.so.1 (0x7f)", Some(19)),
            ("\tlibc.so.6 => /lib/libc.so.6", None),
        ] {
            assert_eq!(soname_major(ldd), expected, "{ldd}");
        }
    }
}
