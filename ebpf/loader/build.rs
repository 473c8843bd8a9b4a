//! Puts the kernel object that `cargo xtask build-ebpf` made where this crate embeds it from:
//! `OUT_DIR/ambit-ebpf.o`. Compiling the kernel programs needs another toolchain, so it is not done
//! here; an object that is missing or was built from other sources stops the build.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

#[path = "build/source_hash.rs"]
mod source_hash;

/// Names another object, whose sources are then not compared: for documentation builds, or to
/// embed an object built elsewhere.
const OVERRIDE: &str = "AMBIT_EBPF_OBJECT";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-env-changed={OVERRIDE}");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build/source_hash.rs");
    let out_dir = cargo_dir("OUT_DIR");
    let object = match env::var_os(OVERRIDE) {
        Some(path) => Ok(PathBuf::from(path)),
        None => built_object(&cargo_dir("CARGO_MANIFEST_DIR").join(".."), &out_dir)?,
    };
    match object {
        Ok(object) => {
            println!("cargo::rerun-if-changed={}", object.display());
            fs::copy(&object, out_dir.join("ambit-ebpf.o"))
                .map(drop)
                .map_err(|error| io::Error::new(error.kind(), format!("copying {}: {error}", object.display())))
        }
        Err(why) => {
            println!(
                "cargo::error=the kernel programs {why}: run `cargo xtask build-ebpf` (with the same CARGO_TARGET_DIR, \
                 if one is set), which says what it needs, or installs it with `--install`. To embed an object built \
                 elsewhere, name it in {OVERRIDE}."
            );
            Ok(())
        }
    }
}

/// The object in the target folder if it was built from the sources as they are now, else what is
/// wrong with it.
fn built_object(ebpf: &Path, out_dir: &Path) -> io::Result<Result<PathBuf, &'static str>> {
    for source in source_hash::SOURCES {
        println!("cargo::rerun-if-changed={}", ebpf.join(source).display());
    }
    let Some(object) = out_dir.ancestors().map(|dir| dir.join("ebpf/ambit-ebpf.o")).find(|path| path.is_file()) else {
        return Ok(Err("have not been built for this target directory"));
    };
    let sidecar = object.with_extension("json");
    println!("cargo::rerun-if-changed={}", sidecar.display());
    let expected = format!("\"source_hash\": \"{:016x}\"", source_hash::source_hash(ebpf)?);
    let same = fs::read_to_string(&sidecar).is_ok_and(|text| text.contains(&expected));
    Ok(if same { Ok(object) } else { Err("were built from other sources than those in ebpf/ now") })
}

fn cargo_dir(variable: &str) -> PathBuf {
    env::var_os(variable).map(PathBuf::from).unwrap_or_else(|| panic!("cargo sets {variable} for build scripts"))
}
