//! The fuzz targets of `fuzz/`, run for a while each from their seeds. Built by the stable compiler: what
//! cargo-fuzz asks a nightly for, short of the address sanitizer, are flags stable takes as well, and
//! safe code has little use for that sanitizer.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{Args, Tally};
use crate::{
    command::{self, cargo, program},
    workspace,
};

/// Named, so that cargo keeps the flags below from build scripts and procedural macros.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Coverage as libFuzzer wants it, and every check a debug build has.
const RUSTFLAGS: [&str; 9] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg=fuzzing",
    "-Cdebug-assertions",
    "-Coverflow-checks",
    "-Cdebuginfo=1",
];

/// Runs each target for a while; one test a target.
pub(super) fn run(args: &Args) -> Result<Tally> {
    let target_dir = workspace::target_dir()?.join("fuzz");
    let fuzz = workspace::root().join("fuzz");
    let mut build = cargo();
    build
        .current_dir(&fuzz)
        .args(["build", "--release", "--locked", "--bins", "--target", TARGET, "--target-dir"])
        .arg(&target_dir)
        .env_remove("RUSTFLAGS")
        .env("CARGO_ENCODED_RUSTFLAGS", RUSTFLAGS.join("\x1f"));
    command::run(&mut build)
        .context("building the fuzz targets (after a change of dependencies: `cargo update --workspace` in fuzz/)")?;
    let programs = target_dir.join(TARGET).join("release");
    targets(&fuzz)?.iter().map(|name| run_target(name, &programs, &fuzz, args)).sum()
}

/// The file names in `fuzz/src/bin`.
fn targets(fuzz: &Path) -> Result<Vec<String>> {
    let folder = fuzz.join("src/bin");
    let mut names = Vec::new();
    for entry in folder.read_dir().with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

fn run_target(name: &str, programs: &Path, fuzz: &Path, args: &Args) -> Result<Tally> {
    let found = scratch(programs, "corpus", name)?;
    let artifacts = scratch(programs, "artifacts", name)?;
    let mut target = program(programs.join(name));
    target
        // What is found goes to the first folder, so that the seeds stay as they are.
        .arg(&found)
        .arg(fuzz.join("seeds").join(name))
        .args([format!("-max_total_time={}", args.seconds), format!("-seed={}", args.seed)])
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args(["-timeout=5", "-rss_limit_mb=2048", "-max_len=16384", "-verbosity=0"]);
    // What libFuzzer tells of a good run is of use to no one.
    let done = command::output(&mut target);
    if let Err(error) = &done {
        eprintln!("{error:#}\nthe input is in {}; turn it into a test beside the parser", artifacts.display());
    }
    println!("fuzz {name} ... {}", if done.is_ok() { "ok" } else { "FAILED" });
    Ok(Tally::one(done.is_ok()))
}

fn scratch(programs: &Path, kind: &str, name: &str) -> Result<PathBuf> {
    let folder = programs.join(kind).join(name);
    fs::create_dir_all(&folder)?;
    Ok(folder)
}
