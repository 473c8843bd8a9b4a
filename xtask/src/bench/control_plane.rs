//! `cargo xtask bench control-plane`: from a write to a real API server to the last of many nodes. No
//! kubelet and no controller is behind the objects.
//!
//! What writes and listens is control-plane/examples/scale; here are the programs around it and what
//! `ambitd` costs meanwhile.

mod measures;
mod stage;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{footprint, machine, write};
use crate::command::{self, cargo};
use crate::{cluster, packages, workspace};
use stage::{Stage, mortal};

#[derive(clap::Args)]
pub(super) struct Options {
    /// Write the measures to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Sizes of the cluster in pods, each measured on its own.
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_values_t = [1000, 10_000], value_parser = parse_pods)]
    pods: Vec<usize>,

    /// Nodes, each with a stream.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = parse_streams)]
    streams: usize,

    /// Only see that everything runs: few changes, churn for ten seconds.
    #[arg(long)]
    quick: bool,
}

/// One step of the program: what it found, and what ambitd cost from the end of the one before.
#[derive(Deserialize)]
struct Phase {
    phase: String,
    figures: Map<String, Value>,
}

/// What is run.
struct Programs {
    kubernetes: PathBuf,
    ambitd: PathBuf,
    scale: PathBuf,
}

/// Runs the benchmark and prints what it found.
pub(super) fn run(options: &Options) -> Result<()> {
    let programs = prepare()?;
    let mut found = Vec::new();
    let measured = options.pods.iter().try_for_each(|&pods| {
        let phases = &mut Vec::new();
        let measured = measure(&programs, pods, options, phases).with_context(|| format!("with {pods} pods"));
        found.extend(measures::of(pods, phases));
        measured
    });
    // What was measured before a failure is worth having too.
    measures::print(&found)?;
    if let Some(file) = &options.json {
        let mut report = machine::control_plane_facts(options.streams, options.quick);
        if let Some(report) = report.as_object_mut() {
            report.insert("measures".to_owned(), found.iter().map(measures::Found::json).collect());
        }
        write(file, &report)?;
    }
    measured
}

/// Builds what is missing.
fn prepare() -> Result<Programs> {
    packages::install(&["openssl"])?;
    let kubernetes = cluster::kubernetes()?;
    let build = ["build", "--release", "--package", "control-plane", "--bin", "ambitd", "--example", "scale"];
    command::run(cargo().args(build))?;
    let built = workspace::target_dir()?.join("release");
    Ok(Programs { kubernetes, ambitd: built.join("ambitd"), scale: built.join("examples/scale") })
}

/// Measures a cluster of its own.
fn measure(programs: &Programs, pods: usize, options: &Options, phases: &mut Vec<Phase>) -> Result<()> {
    eprintln!("{pods} pods");
    let stage = Stage::set(&programs.kubernetes, &programs.ambitd)?;
    let mut scale = scale(&programs.scale, &stage, pods, options);
    let mut cpu = footprint::cpu_seconds(stage.ambitd())?;
    let mut failed = Ok(());
    let succeeded = command::follow(&mut scale, |line| match phase(line, stage.ambitd(), &mut cpu) {
        Ok(phase) => phases.push(phase),
        Err(error) => failed = Err(error),
    })?;
    failed?;
    ensure!(succeeded, "it did not run to its end");
    Ok(())
}

fn scale(program: &Path, stage: &Stage, pods: usize, options: &Options) -> Command {
    let (changes, churn) = if options.quick { (100, 10) } else { (500, 60) };
    let mut command = mortal(program);
    command.arg("--kubeconfig").arg(stage.kubeconfig()).arg("--control-plane").arg(stage.address());
    for (flag, value) in
        [("--pods", pods), ("--streams", options.streams), ("--changes", changes), ("--churn-seconds", churn)]
    {
        command.args([flag, &value.to_string()]);
    }
    command
}

/// Reads what the program says at the end of a phase, and adds what ambitd cost.
fn phase(line: &str, ambitd: u32, cpu: &mut f64) -> Result<Phase> {
    let mut phase: Phase = serde_json::from_str(line).context("reading what the program says")?;
    let now = footprint::cpu_seconds(ambitd)?;
    let costs = [("cpu", now - *cpu), ("resident", footprint::resident(ambitd)?), ("peak", footprint::peak(ambitd)?)];
    phase.figures.extend(costs.map(|(name, value)| (name.to_owned(), json!(value))));
    *cpu = now;
    footprint::reset_peak(ambitd)?;
    Ok(phase)
}

fn parse_pods(text: &str) -> Result<usize> {
    let pods = text.parse()?;
    ensure!((1000..=100_000).contains(&pods), "from 1000, so that churn comes late to a pod again, to 100000");
    Ok(pods)
}

fn parse_streams(text: &str) -> Result<usize> {
    let streams = text.parse()?;
    ensure!((1..=900).contains(&streams), "from 1 to 900: each is a connection of one process");
    Ok(streams)
}
