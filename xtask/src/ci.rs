//! `ci`: what CI runs, in its order. Later steps run though an earlier one failed, so that one run tells
//! everything; each step and each test counts once in the last line.

use std::process::Command;

use anyhow::Result;

use crate::{
    build_ebpf,
    command::{self, cargo},
    crds, deny, docs, test, tidy, workspace,
};
use test::{Outcome, Tally};

#[derive(Clone, Copy, clap::Args)]
pub(crate) struct Args {
    /// Only the steps before the tests.
    #[arg(long)]
    no_tests: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut outcomes = vec![
        step("fmt", format),
        step("tidy", tidy::run),
        step("build-ebpf", || build_ebpf::run(&build_ebpf::Args { install: true, ..Default::default() })),
        step("clippy", || {
            command::run(cargo().args(["clippy", "--workspace", "--all-targets", "--locked", "--", "-Dwarnings"]))
        }),
        step("doc", || {
            command::run(
                cargo().args(["doc", "--workspace", "--no-deps", "--locked"]).env("RUSTDOCFLAGS", "-Dwarnings"),
            )
        }),
        step("crds", || crds::run(&crds::Args { check: true })),
        step("docs", || docs::run(&docs::Args { check: true })),
    ];
    if deny::available() {
        outcomes.push(step("deny", || deny::run(&deny::Args::default())));
    } else {
        println!("\n==== deny: left out, as cargo-deny is not installed (`cargo xtask deny --install`)");
    }
    if !args.no_tests {
        outcomes.extend(test::run_parts(&test::Args::ci()));
        println!("\nleft out: the cluster; `cargo xtask test cluster conformance` runs its suites");
    }
    test::conclude(&outcomes);
    Ok(())
}

fn step(name: &str, work: impl FnOnce() -> Result<()>) -> Outcome {
    test::measure(name, || work().map(|()| Tally::PASSED))
}

/// The workspace, and the two folders that are workspaces of their own.
fn format() -> Result<()> {
    let check = |folder: &str| -> Command {
        let mut cargo = cargo();
        cargo.current_dir(workspace::root().join(folder)).args(["fmt", "--check"]);
        cargo
    };
    command::run(check(".").arg("--all"))?;
    command::run(&mut check("ebpf/programs"))?;
    command::run(&mut check("fuzz"))
}
