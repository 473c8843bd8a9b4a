//! The chart on a real Kubernetes, given the working tree's images.

use std::path::PathBuf;

use anyhow::Result;

use super::{Tally, tally_of};
use crate::{
    cluster,
    command::{self, cargo},
    go, images, workspace,
};

pub(super) fn run() -> Result<Tally> {
    on_cluster(tests)
}

/// Runs tests on the cluster, which is made and taken away again, unless it was there before.
pub(super) fn on_cluster(tests: impl FnOnce() -> Result<Tally>) -> Result<Tally> {
    let was_up = cluster::is_up();
    cluster::run(&cluster::Verb::Up)?;
    let tally = tests();
    if !was_up {
        cluster::run(&cluster::Verb::Down)?;
    }
    tally
}

fn tests() -> Result<Tally> {
    cluster::run(&cluster::Verb::Load { archives: Vec::new(), images: images::Args::quick() })?;
    let mut cargo = cargo();
    cargo.envs(cluster::environment()?).env("AMBIT_FIELD_CLIENT", field_client()?);
    // One installation of the mesh, whose parts tests kill: one test at a time.
    cargo.args(["test", "--package=ambit-tests", "--test=cluster", "--", "--test-threads=1"]);
    tally_of(&mut cargo)
}

/// A client of the control plane, of Istio's own parts.
fn field_client() -> Result<PathBuf> {
    let client = workspace::target_dir()?.join("field-client");
    let mut build = go::command("build", "")?;
    command::run(build.current_dir(workspace::root().join("tests/cluster/istio")).arg("-o").arg(&client).arg("."))?;
    Ok(client)
}
