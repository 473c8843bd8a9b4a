//! `manifests`: what is rendered from the chart: plain manifests for those who do not use Helm, and the
//! table of values in docs/install.md. `--check` only compares, for CI.

mod values;

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, bail};

use crate::{
    cluster,
    command::{self, program},
    workspace,
};

#[derive(Clone, Copy, Default, clap::Args)]
pub(crate) struct Args {
    /// Fail if a file differs from what the chart gives, instead of writing it.
    #[arg(long)]
    pub(crate) check: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut differing = Vec::new();
    for (file, text) in [(MESH, mesh()?), (UNINSTALL, uninstall()?), (INSTALL, install()?)] {
        let path = workspace::root().join(file);
        if fs::read_to_string(&path).unwrap_or_default() == text {
            continue;
        }
        if args.check {
            differing.push(file);
        } else {
            fs::write(&path, text).with_context(|| format!("cannot write {file}"))?;
        }
    }
    if !differing.is_empty() {
        bail!("not what the chart gives: {}: run `cargo xtask manifests`", differing.join(", "));
    }
    Ok(())
}

/// The chart's folder.
pub(crate) const CHART: &str = "deploy/charts/ambit";
const MESH: &str = "deploy/manifests/ambit.yaml";
const UNINSTALL: &str = "deploy/manifests/uninstall.yaml";
const INSTALL: &str = "docs/install.md";

/// The namespace may hold privileged pods: the node agents.
const HEADER: &str = "\
# Ambit without Helm, but for its CRDs; docs/install.md says how.
# Rendered from deploy/charts/ambit by `cargo xtask manifests`; do not edit.
---
apiVersion: v1
kind: Namespace
metadata:
  name: ambit-system
  labels:
    pod-security.kubernetes.io/enforce: privileged
";

const UNINSTALL_HEADER: &str = "\
# Takes Ambit off every node; docs/install.md says what comes before and after.
# Rendered from deploy/charts/ambit by `cargo xtask manifests`; do not edit.
";

/// Without hooks: the one there is begins to uninstall.
fn mesh() -> Result<String> {
    Ok(format!("{HEADER}{}\n", template(&["--no-hooks", "--set=crds.install=false"])?))
}

fn uninstall() -> Result<String> {
    Ok(format!("{UNINSTALL_HEADER}{}\n", template(&["--show-only=templates/uninstall.yaml"])?))
}

/// What the chart gives with these arguments.
pub(crate) fn template(args: &[&str]) -> Result<String> {
    let mut helm = program(helm()?);
    command::output(helm.args(["template", "ambit", CHART, "--namespace=ambit-system"]).args(args))
}

/// Helm, built if it is not there yet.
pub(crate) fn helm() -> Result<PathBuf> {
    cluster::helm()
}

/// The page with its table as the values say.
fn install() -> Result<String> {
    let read = |file: &str| fs::read_to_string(workspace::root().join(file)).with_context(|| format!("reading {file}"));
    let page = read(INSTALL)?;
    let table = values::table(&read(&format!("{CHART}/values.yaml"))?);
    let (before, rest) = page.split_once(BEGIN).context("docs/install.md has no place for the values")?;
    let (_, after) = rest.split_once(END).context("docs/install.md has no end of the values")?;
    Ok(format!("{before}{BEGIN}\n{table}{END}{after}"))
}

const BEGIN: &str = "<!-- values: written by `cargo xtask manifests` -->";
const END: &str = "<!-- end of values -->";
