//! `cargo xtask bench l7`: the waypoint beside stock Envoy, which does the same work. Method and reading:
//! docs/benchmarks.md.

mod contender;
mod ends;
mod envoy;
mod found;
mod manifests;
mod stage;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::{footprint, machine, write};
use crate::command::{self, cargo};
use crate::{packages, workspace};
use contender::Kind;
use ends::{Ends, Load, Speak};
use found::Found;
use stage::{Out, Scene, Stage};

/// What envoy can do of it is what both are asked for, where latencies are compared.
const PART_OF_CAPACITY: f64 = 0.7;

/// Enough open files for 512 connections both ways.
const DESCRIPTORS: u32 = 16_384;

#[derive(clap::Args)]
pub(super) struct Options {
    /// Write the measures to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// How often each load is put on each contender; medians are compared.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,

    /// Seconds of a load.
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    seconds: f64,

    /// One round of 64 connections, 10 and 5,000 routes; half a minute. Not for comparison.
    #[arg(long)]
    quick: bool,
}

/// How much is measured.
#[derive(Debug)]
struct Extent {
    rounds: u32,
    seconds: f64,
    routes: &'static [u32],
    connections: &'static [u32],
    /// Connections with which latencies are compared.
    paced: &'static [u32],
}

impl Options {
    fn extent(&self) -> Extent {
        if self.quick {
            Extent { rounds: 1, seconds: 1.0, routes: &[10, 5000], connections: &[64], paced: &[64] }
        } else {
            let (rounds, seconds) = (self.rounds, self.seconds);
            Extent { rounds, seconds, routes: &[10, 1000, 5000], connections: &[1, 64, 512], paced: &[64, 512] }
        }
    }
}

/// What is run.
struct Programs {
    ends: Ends,
    waypoint: PathBuf,
    envoy: PathBuf,
}

/// Runs the benchmark and prints what it found.
pub(super) fn run(options: &Options) -> Result<()> {
    let extent = options.extent();
    let programs = prepare()?;
    let mut found = Found::default();
    let measured = measure_all(&programs, &extent, &mut found);
    // What was measured before a failure is worth having too.
    found.print()?;
    if let Some(file) = &options.json {
        let mut report = machine::l7_facts(&programs.envoy, (extent.rounds, extent.seconds), options.quick);
        if let Some(report) = report.as_object_mut() {
            report.insert("measures".to_owned(), found.json());
        }
        write(file, &report)?;
    }
    measured
}

/// Builds and fetches what is missing.
fn prepare() -> Result<Programs> {
    packages::install(&["curl", "iproute2", "python3-pip", "util-linux"])?;
    let waypoint = match std::env::var_os("AMBIT_WAYPOINT_BINARY") {
        Some(named) => named.into(),
        None => {
            command::run(cargo().args(["build", "--release", "--package", "waypoint"]))?;
            workspace::target_dir()?.join("release/waypoint")
        }
    };
    command::run(cargo().args(["build", "--release", "--package", "xtask", "--example", "l7-ends"]))?;
    let ends = Ends::new(workspace::target_dir()?.join("release/examples/l7-ends"));
    let own = std::process::id().to_string();
    command::run(command::program("prlimit").args(["--pid", &own, &format!("--nofile={DESCRIPTORS}:")]))?;
    Ok(Programs { ends, waypoint, envoy: ambit_tests::envoy_binary(&workspace::target_dir()?.join("tmp"))? })
}

fn measure_all(programs: &Programs, extent: &Extent, found: &mut Found) -> Result<()> {
    for &routes in extent.routes {
        let stage = Stage::set(programs, Scene::new(routes, Out::Tunnel))?;
        if routes == 5000 {
            memory(&stage, "ready", found)?;
        }
        for round in 0..extent.rounds {
            eprintln!("{routes} routes, round {} of {}", round + 1, extent.rounds);
            let capacities = saturate(&stage, extent, (round, extent.connections), found)?;
            if routes == 10 {
                pace(&stage, extent, (round, &capacities), found)?;
            }
        }
        if routes == 5000 {
            memory(&stage, "after_loads", found)?;
            changes(&stage, "", extent.rounds, found)?;
        }
    }
    let scene = Scene { rules_each: usize::MAX, ..Scene::new(5000, Out::Tunnel) };
    changes(&Stage::set(programs, scene)?, "_in_one_object", extent.rounds, found)?;
    let stage = Stage::set(programs, Scene::new(10, Out::Plain))?;
    (0..extent.rounds).try_for_each(|round| saturate(&stage, extent, (round, &[64]), found).map(drop))
}

/// Requests a second that Envoy had in a round, by what was spoken on how many connections; none where one failed.
type Capacities = BTreeMap<(Speak, u32), f64>;

/// As many requests as there are answers.
fn saturate(
    stage: &Stage,
    extent: &Extent,
    (round, connections): (u32, &[u32]),
    found: &mut Found,
) -> Result<Capacities> {
    let mut capacities = Capacities::new();
    for speak in Speak::ALL {
        for &connections in connections {
            let Scene { routes, out, .. } = stage.scene;
            let load = Load { speak, connections, routes, seconds: extent.seconds, rate: None };
            let what = format!("{}_{connections}_connections_{routes}_routes{}", speak.name(), out.name());
            for contender in stage.contenders_from(round) {
                let seen = stage.put(&load, contender).with_context(|| format!("{what} on {:?}", contender.kind))?;
                let by = (contender.kind, seen.failures);
                found.add_of_load(&format!("requests_per_cpu_second_{what}"), "1/s", by, seen.per_cpu_second());
                found.add_of_load(&format!("requests_per_second_{what}"), "1/s", by, seen.per_second());
                if by == (Kind::Envoy, 0) {
                    capacities.insert((speak, connections), seen.per_second());
                }
            }
        }
    }
    Ok(capacities)
}

/// The same number of requests a second for both.
fn pace(stage: &Stage, extent: &Extent, (round, capacities): (u32, &Capacities), found: &mut Found) -> Result<()> {
    for speak in Speak::ALL {
        for &connections in extent.paced {
            let what = format!("{}_{connections}_connections", speak.name());
            let Some(capacity) = capacities.get(&(speak, connections)) else {
                eprintln!("{what}: Envoy had no load without failures in this round to take a part of");
                continue;
            };
            let rate = Some(PART_OF_CAPACITY * capacity);
            let load = Load { speak, connections, routes: stage.scene.routes, seconds: extent.seconds, rate };
            for contender in stage.contenders_from(round) {
                let seen = stage.put(&load, contender).with_context(|| format!("{what} on {:?}", contender.kind))?;
                let by = (contender.kind, seen.failures);
                found.add_of_load(&format!("p50_{what}"), "µs", by, seen.p50);
                found.add_of_load(&format!("p99_{what}"), "µs", by, seen.p99);
            }
        }
    }
    Ok(())
}

fn memory(stage: &Stage, when: &str, found: &mut Found) -> Result<()> {
    for contender in stage.contenders_from(0) {
        let name = format!("memory_{}_routes_{when}", stage.scene.routes);
        found.add(&name, "MiB", contender.kind, footprint::resident(contender.process.id())?);
    }
    Ok(())
}

/// One route among them all.
fn changes(stage: &Stage, of: &str, rounds: u32, found: &mut Found) -> Result<()> {
    for round in 0..rounds {
        for contender in stage.contenders_from(round) {
            let took = stage.change(contender, round)?;
            found.add(&format!("route_change_{}_routes{of}", stage.scene.routes), "ms", contender.kind, took);
        }
    }
    Ok(())
}
