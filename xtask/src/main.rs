//! `cargo xtask`: everything that builds, checks or tries Ambit and is not `cargo build` itself. One
//! file a subcommand; no shell scripts behind them.

#![expect(clippy::print_stdout, reason = "a command-line tool speaks on stdout")]

mod bench;
mod build_ebpf;
mod ci;
mod cluster;
mod command;
mod crds;
mod demo;
mod deny;
mod digest;
mod docs;
mod go;
mod image;
mod images;
mod manifests;
mod packages;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Build, check and try Ambit")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Measure the mesh against no mesh and a bare pair of proxies, in one run.
    Bench(bench::Args),
    /// Build the kernel programs the agent embeds.
    BuildEbpf(build_ebpf::Args),
    /// Everything CI runs, in its order.
    Ci(ci::Args),
    /// A real Kubernetes of two nodes on this machine.
    #[command(subcommand)]
    Cluster(cluster::Verb),
    /// Write the CustomResourceDefinitions, which the chart installs.
    Crds(crds::Args),
    /// Watch a mesh of two nodes on this machine, step by step.
    Demo(demo::Demo),
    /// Check licences, advisories and banned crates with cargo-deny.
    Deny(deny::Args),
    /// Write the pages that are generated from the code.
    Docs(docs::Args),
    /// Build the container images, as archives.
    Images(images::Args),
    /// Write the plain manifests that are rendered from the chart.
    Manifests(manifests::Args),
    /// Run test suites; all of them unless parts are named.
    Test(test::Args),
    /// Check the rules that neither the compiler nor clippy knows.
    Tidy,
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Bench(args) => bench::run(&args),
        Task::BuildEbpf(args) => build_ebpf::run(&args),
        Task::Ci(args) => ci::run(&args),
        Task::Cluster(verb) => cluster::run(&verb),
        Task::Crds(args) => crds::run(&args),
        Task::Demo(args) => demo::run(&args),
        Task::Deny(args) => deny::run(&args),
        Task::Docs(args) => docs::run(&args),
        Task::Images(args) => images::run(&args),
        Task::Manifests(args) => manifests::run(&args),
        Task::Test(args) => test::run(&args),
        Task::Tidy => tidy::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
