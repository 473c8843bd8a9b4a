//! Builds the programs, once: minutes for Kubernetes, nothing from then on.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use super::programs::{self, GO_PROGRAMS, GoProgram, KUBERNETES_PROGRAMS};
use crate::{command, digest, go, workspace};

/// Builds what is missing or of another version.
pub(super) fn all() -> Result<()> {
    fs::create_dir_all(programs::folder())?;
    kubernetes()?;
    GO_PROGRAMS.iter().try_for_each(go_program)
}

/// Builds one of [`GO_PROGRAMS`] alone if it is missing or of another version; returns where it is.
pub(super) fn one(name: &str) -> Result<PathBuf> {
    fs::create_dir_all(programs::folder())?;
    GO_PROGRAMS.iter().filter(|program| program.name == name).try_for_each(go_program)?;
    Ok(programs::path(name))
}

/// Builds Kubernetes alone if it is missing or of another version.
pub(super) fn kubernetes() -> Result<()> {
    let source = workspace::root().join("tests/cluster/kubernetes");
    let digests = ["go.mod", "go.sum", "main.go"].map(|name| digest::sha256(&source.join(name)));
    let stamp = digests.into_iter().collect::<Result<Vec<_>>>()?.join("\n");
    let requirements = fs::read_to_string(source.join("go.mod"))?;
    let version = requirements.lines().find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes v"));
    let flags = version_flags(version.context("go.mod requires no Kubernetes")?)?;
    once("kubernetes", &stamp, |folder| {
        println!("building Kubernetes: about five minutes, this once");
        command::run(go::command("build", &flags)?.current_dir(&source).arg("-o").arg(folder).arg("."))
    })?;
    for name in KUBERNETES_PROGRAMS {
        if !programs::path(name).exists() {
            symlink("kubernetes", programs::path(name)).with_context(|| format!("linking {name}"))?;
        }
    }
    Ok(())
}

/// kubectl and helm refuse a server that cannot tell its version.
fn version_flags(version: &str) -> Result<String> {
    let [major, minor, _] = version.split('.').collect::<Vec<_>>()[..] else { bail!("{version} is no version") };
    let set = |name: &str, value: &str| format!("-X k8s.io/component-base/version.{name}={value}");
    Ok([set("gitVersion", &format!("v{version}")), set("gitMajor", major), set("gitMinor", minor)].join(" "))
}

fn go_program(wanted: &GoProgram) -> Result<()> {
    let module = format!("{}@v{}", wanted.package, wanted.version);
    once(wanted.name, &module, |folder| {
        println!("building {module}");
        command::run(go::command("install", "")?.env("GOBIN", folder).arg(&module))
    })
}

/// Has `build` make the program `name` in a folder it is given, unless there is one of this stamp.
fn once(name: &str, stamp: &str, build: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let stamp_file = programs::path(&format!("{name}.stamp"));
    if fs::read_to_string(&stamp_file).is_ok_and(|made| made == stamp) && programs::path(name).is_file() {
        return Ok(());
    }
    let unfinished = programs::path("unfinished");
    fs::create_dir_all(&unfinished)?;
    build(&unfinished)?;
    // Renamed, as a running program's file cannot be written to.
    fs::rename(unfinished.join(name), programs::path(name)).with_context(|| format!("{name} was not built"))?;
    fs::write(stamp_file, stamp).context("noting what was built")
}
