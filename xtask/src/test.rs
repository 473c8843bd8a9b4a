//! `test`: every suite, each with what it needs. A suite that cannot run fails; nothing is skipped.

mod cluster;
mod conformance;
mod docs;
mod fuzz;
mod packaging;
mod part;
mod tally;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

pub(crate) use tally::Tally;

use crate::{
    build_ebpf,
    command::{self, cargo},
    images, packages, workspace,
};
use part::Part;

#[derive(Clone, Default, clap::Args)]
pub(crate) struct Args {
    /// The parts to run; all of them when none is named.
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// How long each fuzz target runs.
    #[arg(long, value_name = "N", default_value_t = 15)]
    seconds: u32,
    /// Where the fuzzer's random numbers start; 0 is elsewhere each time.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u32,
}

impl Args {
    /// What CI runs: all but the cluster, which takes longer than all else together, and is run by hand.
    /// The fuzzers go the same way each time: what they find is of the change, and found again by whoever
    /// looks.
    pub(crate) fn ci() -> Self {
        let on_cluster = |part: &Part| matches!(part, Part::Cluster | Part::Conformance);
        Self { parts: Part::ALL.into_iter().filter(|part| !on_cluster(part)).collect(), seconds: 15, seed: 1 }
    }
}

/// What one part came to.
pub(crate) struct Outcome {
    pub(crate) name: String,
    pub(crate) tally: Tally,
    pub(crate) took: Duration,
}

/// Runs the parts and prints the table; the last line is `N passed, N failed`.
pub(crate) fn run(args: &Args) -> Result<()> {
    conclude(&run_parts(args));
    Ok(())
}

/// Runs the parts, each to its end whatever became of those before it.
pub(crate) fn run_parts(args: &Args) -> Vec<Outcome> {
    let parts = if args.parts.is_empty() { Part::ALL.to_vec() } else { args.parts.clone() };
    let programs = match prepare(&parts) {
        Ok(programs) => programs,
        Err(error) => {
            eprintln!("error: preparing the tests: {error:#}");
            let failed = Outcome { name: "preparation".to_owned(), tally: Tally::FAILED, took: Duration::ZERO };
            return vec![failed];
        }
    };
    parts.into_iter().map(|part| measure(part.name(), || run_part(part, args, &programs))).collect()
}

/// Runs `work` as one line of the table; an error that is not a test's counts as one failure.
pub(crate) fn measure(name: &str, work: impl FnOnce() -> Result<Tally>) -> Outcome {
    println!("\n==== {name}");
    let started = Instant::now();
    let tally = work().unwrap_or_else(|error| {
        eprintln!("error: {name}: {error:#}");
        Tally::FAILED
    });
    Outcome { name: name.to_owned(), tally, took: started.elapsed() }
}

/// Prints the table and the sum. Ends the program in failure when anything failed, and when nothing was
/// tested at all.
pub(crate) fn conclude(outcomes: &[Outcome]) {
    println!("\n{:<16}{:>8}{:>8}{:>9}", "part", "passed", "failed", "seconds");
    for Outcome { name, tally, took } in outcomes {
        println!("{name:<16}{:>8}{:>8}{:>9.1}", tally.passed, tally.failed, took.as_secs_f64());
    }
    let sum: Tally = outcomes.iter().map(|outcome| outcome.tally).sum();
    println!("{} passed, {} failed", sum.passed, sum.failed);
    if sum.failed > 0 || sum.passed == 0 {
        // Nothing after that line: it is what a reader of the log looks for.
        std::process::exit(1);
    }
}

/// What the suites start.
struct Programs {
    agent: PathBuf,
    /// Those of Go, by the variable that names each to a suite.
    peers: Vec<(&'static str, PathBuf)>,
}

/// Installs and builds what the parts need, once.
fn prepare(parts: &[Part]) -> Result<Programs> {
    let mut wanted: Vec<_> = parts.iter().flat_map(|part| part.packages()).copied().collect();
    wanted.sort_unstable();
    wanted.dedup();
    if parts.iter().any(|part| part.needs_agent()) && !command::is_root() {
        bail!("these parts make network namespaces and load kernel programs: run as root");
    }
    packages::install(&wanted)?;
    if parts.iter().any(|part| part.needs_kernel_object()) {
        build_ebpf::run(&build_ebpf::Args { install: true, ..Default::default() })?;
    }
    if parts.iter().any(|part| part.needs_waypoint()) {
        // No optimised build: nothing is measured, and its dependencies are there already.
        command::run(cargo().args(["build", "--package=waypoint"]))?;
    }
    let mut peers = Vec::new();
    if parts.contains(&Part::Programs) {
        peers.push(("AMBIT_FORTIO", crate::cluster::fortio()?));
    }
    if parts.contains(&Part::Waypoint) {
        peers.push(("AMBIT_H2SPEC", crate::cluster::h2spec()?));
    }
    // With the cluster there is an agent in an image: one build for all suites.
    if parts.contains(&Part::Cluster) {
        images::build(&images::Args::quick())?;
        return Ok(Programs { agent: workspace::target_dir()?.join("images/ztunnel/ztunnel"), peers });
    }
    if parts.iter().any(|part| part.needs_agent()) {
        command::run(cargo().args(["build", "--release", "--package=ztunnel"]))?;
    }
    Ok(Programs { agent: workspace::target_dir()?.join("release/ztunnel"), peers })
}

fn run_part(part: Part, args: &Args, programs: &Programs) -> Result<Tally> {
    match part {
        Part::Unit => cargo_test(&["--workspace", "--exclude=ambit-tests"], &[], programs),
        Part::Docs => Ok(docs::check()),
        Part::Fuzz => fuzz::run(args),
        Part::Packaging => Ok(packaging::check()),
        Part::Cluster => cluster::run(),
        Part::Conformance => conformance::run(),
        // Each scene has a namespace and a waypoint of its own.
        Part::Waypoint => cargo_test(&["--package=ambit-tests", "--test", part.name()], &[], programs),
        Part::Ebpf | Part::Netns | Part::Programs | Part::Interop => {
            // Worlds of namespaces share the machine's cores and its cgroup root: one at a time.
            cargo_test(&["--package=ambit-tests", "--test", part.name()], &["--test-threads=1"], programs)
        }
    }
}

/// `cargo test` in the development profile, whose dependencies clippy and the unit tests build too; only
/// the agent the suites start is an optimised build.
fn cargo_test(selection: &[&str], to_tests: &[&str], programs: &Programs) -> Result<Tally> {
    let mut cargo = cargo();
    cargo.args(["test", "--no-fail-fast"]).args(selection).arg("--").args(to_tests);
    cargo.env("AMBIT_ZTUNNEL", &programs.agent);
    cargo.env("AMBIT_WAYPOINT_BINARY", workspace::target_dir()?.join("debug/waypoint"));
    cargo.envs(programs.peers.iter().map(|(variable, program)| (variable, program)));
    tally_of(&mut cargo)
}

fn tally_of(cargo_test: &mut Command) -> Result<Tally> {
    let mut tally = Tally::default();
    let succeeded = command::follow(cargo_test, |line| tally += Tally::of_line(line))?;
    // A suite that does not compile or dies prints no result.
    Ok(if succeeded || tally.failed > 0 { tally } else { tally + Tally::FAILED })
}
