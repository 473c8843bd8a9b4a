//! `build-ebpf`: the kernel programs, from `ebpf/programs` to `TARGET/ebpf/ambit-ebpf.o`, with a
//! description beside it. The same sources and toolchain give the same bytes wherever they are built:
//! paths are taken out, and nothing of the caller's cargo settings gets in.

mod linker;
#[path = "../../ebpf/loader/build/source_hash.rs"]
mod source_hash;
mod toolchain;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::{
    command::{self, program},
    digest::sha256,
    workspace,
};
use toolchain::Toolchain;

#[derive(Clone, Copy, Default, clap::Args)]
pub(crate) struct Args {
    /// Install what is missing (as root, Debian), saying what.
    #[arg(long)]
    pub(crate) install: bool,
    /// Build once more elsewhere and compare with the object that is there.
    #[arg(long)]
    pub(crate) check: bool,
}

/// What is written beside the object. The build script of `ebpf/loader` reads `source_hash`.
#[derive(Serialize)]
struct Sidecar {
    rustc: String,
    llvm: u32,
    bpf_linker: String,
    source_hash: String,
    object_sha256: String,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let out = workspace::target_dir()?.join("ebpf");
    let object = out.join("ambit-ebpf.o");
    let source_hash =
        format!("{:016x}", source_hash::source_hash(&ebpf_dir()).context("reading the sources in ebpf/")?);
    let toolchain = Toolchain::find(args.install)?;
    let linker = linker::find(toolchain.llvm, args.install)?;
    println!("kernel programs: {} with LLVM {}, {}", toolchain.version, toolchain.llvm, linker.version);
    if args.check {
        return check(&toolchain, &linker.path, &object);
    }
    fs::create_dir_all(&out)?;
    build(&toolchain, &linker.path, &out.join("build"), &object)?;
    let sidecar = Sidecar {
        rustc: toolchain.version,
        llvm: toolchain.llvm,
        bpf_linker: linker.version,
        source_hash,
        object_sha256: sha256(&object)?,
    };
    let text = serde_json::to_string_pretty(&sidecar)? + "\n";
    put(&object.with_extension("json"), text.as_bytes())?;
    println!("{}: {} bytes, sha256 {}", object.display(), fs::metadata(&object)?.len(), sidecar.object_sha256);
    Ok(())
}

/// Rebuilds from nothing in another place and demands the same bytes.
fn check(toolchain: &Toolchain, linker: &Path, object: &Path) -> Result<()> {
    if !object.is_file() {
        bail!("{} is not there to compare with; first run `cargo xtask build-ebpf`", object.display());
    }
    let elsewhere = object.with_file_name("check");
    if elsewhere.exists() {
        fs::remove_dir_all(&elsewhere)?;
    }
    let again = elsewhere.join("ambit-ebpf.o");
    fs::create_dir_all(&elsewhere)?;
    build(toolchain, linker, &elsewhere.join("build"), &again)?;
    let (built, rebuilt) = (sha256(object)?, sha256(&again)?);
    if built != rebuilt {
        bail!("not reproducible: {} has {built}, {} has {rebuilt}", object.display(), again.display());
    }
    println!("reproducible: sha256 {built}");
    Ok(())
}

fn build(toolchain: &Toolchain, linker: &Path, target_dir: &Path, object: &Path) -> Result<()> {
    let mut cargo = program(&toolchain.cargo);
    cargo
        .current_dir(ebpf_dir().join("programs"))
        .args(["build", "--quiet", "--release", "--locked", "--target=bpfel-unknown-none", "-Zbuild-std=core"])
        .arg("--target-dir")
        .arg(target_dir)
        .env("RUSTC", &toolchain.rustc)
        // `-Zbuild-std` and the target's own linker flags are unstable; a stable compiler takes them so.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags(toolchain, linker, target_dir).join("\x1f"));
    for variable in ["RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CARGO_BUILD_TARGET", "RUSTUP_TOOLCHAIN"]
    {
        cargo.env_remove(variable);
    }
    command::run(&mut cargo).context("building the kernel programs")?;
    let built = target_dir.join("bpfel-unknown-none/release/ambit-ebpf");
    put(object, &fs::read(&built).with_context(|| format!("reading {}", built.display()))?)
}

/// Writes a file that builds embed: left alone where it is the same, since cargo would build all that
/// stands on it anew; else renamed into place, so that a build meanwhile never reads half of it.
fn put(path: &Path, content: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|held| held == content) {
        return Ok(());
    }
    let new = path.with_extension("new");
    fs::write(&new, content).with_context(|| format!("writing {}", new.display()))?;
    fs::rename(&new, path).with_context(|| format!("writing {}", path.display()))
}

/// Debug information is what BTF is made of; the remaps keep this machine's folders out of it.
fn rustflags(toolchain: &Toolchain, linker: &Path, target_dir: &Path) -> Vec<String> {
    let remap = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    vec![
        "-Cdebuginfo=2".to_owned(),
        format!("-Clinker={}", linker.display()),
        "-Clink-arg=--btf".to_owned(),
        remap(&ebpf_dir(), "/src"),
        remap(&workspace::cargo_home(), "/cargo"),
        remap(&toolchain.library(), "/library"),
        remap(target_dir, "/target"),
    ]
}

/// `ebpf/`, free of `..`: rustc compares prefixes as text.
fn ebpf_dir() -> PathBuf {
    let folder = workspace::root().join("ebpf");
    folder.canonicalize().unwrap_or(folder)
}

#[cfg(test)]
mod tests;
