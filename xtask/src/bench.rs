//! `cargo xtask bench`. Of `l4`: no mesh, a bare pair of proxies and the mesh, side by side in one run on
//! the same namespaces. Method and reading: docs/benchmarks.md.

mod bulk;
mod control_plane;
mod enforcement;
mod footprint;
mod held;
mod l7;
mod load;
mod machine;
mod measure;
mod memory;
mod proxy;
mod report;
mod samples;
mod servers;
mod stage;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Subcommand;

use samples::Samples;
use stage::Stage;

use crate::{command, packages};

/// Enough open files for a thousand idle connections, or 64 busy ones, through one proxy.
const DESCRIPTORS: u32 = 16_384;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Subcommand)]
enum Subject {
    /// Between pods of two nodes: throughput, latency, connections, CPU, memory, enforcement.
    L4(L4),
    /// The waypoint beside Envoy: requests per CPU second, latency, memory, changes of routes.
    L7(l7::Options),
    /// A real API server, thousands of pods as objects, a stream for each of many nodes.
    ControlPlane(control_plane::Options),
}

#[derive(clap::Args)]
struct L4 {
    /// Write the measures to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// How often each load is put on each contender; medians are compared.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,

    /// Seconds of a bulk transfer; a load of requests takes one less.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,

    /// Only see that everything runs: one short round, a hundredth of the connections and workloads.
    #[arg(long)]
    quick: bool,

    /// Leave the mesh out: no agent is needed.
    #[arg(long)]
    without_mesh: bool,
}

/// How much is measured.
#[derive(Debug, Clone, Copy)]
struct Extent {
    rounds: u32,
    seconds: u32,
    /// What counts of connections and workloads are divided by.
    divisor: u32,
}

impl L4 {
    fn extent(&self) -> Extent {
        if self.quick {
            Extent { rounds: 1, seconds: 1, divisor: 100 }
        } else {
            Extent { rounds: self.rounds, seconds: self.seconds, divisor: 1 }
        }
    }
}

/// Runs a benchmark and prints what it found.
pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.subject {
        Subject::L4(options) => l4(options),
        Subject::L7(options) => l7::run(options),
        Subject::ControlPlane(options) => control_plane::run(options),
    }
}

fn l4(options: &L4) -> Result<()> {
    let extent = options.extent();
    let proxy = prepare(!options.without_mesh)?;
    let mut samples = Samples::default();
    let measured = measure_all(&proxy, !options.without_mesh, extent, &mut samples);
    // What was measured before a failure is worth having too.
    let facts = machine::facts(extent, options.quick);
    report::print(&samples)?;
    if let Some(file) = &options.json {
        write(file, &report::json(&facts, &samples))?;
    }
    measured
}

/// Writes a report for programs.
fn write(file: &Path, report: &serde_json::Value) -> Result<()> {
    let text = serde_json::to_string_pretty(report)?;
    std::fs::write(file, text + "\n").with_context(|| format!("write {}", file.display()))
}

/// Installs and builds what is missing, and gives the bare proxy's path.
fn prepare(with_mesh: bool) -> Result<PathBuf> {
    packages::install(&["iperf3", "iproute2", "nginx-light", "util-linux", "wrk"])?;
    if with_mesh {
        proxy::build_agent()?;
    }
    // The loads' own sockets, and those of all this process starts.
    let own = std::process::id().to_string();
    command::run(command::program("prlimit").args(["--pid", &own, &format!("--nofile={DESCRIPTORS}:")]))?;
    proxy::build_proxy()
}

fn measure_all(proxy: &Path, with_mesh: bool, extent: Extent, samples: &mut Samples) -> Result<()> {
    // On a stage of its own: a process keeps memory of what it did before.
    memory::connections(&Stage::set(proxy, with_mesh)?, extent, samples)?;
    let mut stage = Stage::set(proxy, with_mesh)?;
    for round in 0..extent.rounds {
        eprintln!("round {} of {}", round + 1, extent.rounds);
        put_loads(&stage, round, extent, samples)?;
    }
    memory::after_loads(&stage, samples)?;
    if with_mesh {
        enforcement::measure(&stage, extent.rounds, samples)?;
        memory::workloads(&mut stage, extent, samples)?;
    }
    Ok(())
}

/// All loads on all contenders, in another order each round, so that nobody always follows the same.
fn put_loads(stage: &Stage, round: u32, extent: Extent, samples: &mut Samples) -> Result<()> {
    for load in &load::ALL {
        for contender in stage.contenders_from(round) {
            let context = || format!("{load:?} on {}", contender.kind.name());
            load.put(contender, extent, samples).with_context(context)?;
        }
    }
    Ok(())
}
