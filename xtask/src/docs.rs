//! `docs`: the pages that are generated from the code. `--check` only compares, for CI.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::{command, workspace};

#[derive(Clone, Copy, Default, clap::Args)]
pub(crate) struct Args {
    /// Fail if a page differs from what the code says, instead of writing it.
    #[arg(long)]
    pub(crate) check: bool,
}

/// The pages, and the package whose program prints each.
const PAGES: [(&str, &str); 3] = [
    ("docs/configuration.md", "ztunnel"),
    ("docs/waypoint.md", "waypoint"),
    ("docs/control-plane.md", "control-plane"),
];

pub(crate) fn run(args: &Args) -> Result<()> {
    PAGES.iter().try_for_each(|(page, package)| write(args, page, package))?;
    // Compared by the waypoint's suite itself.
    if args.check { Ok(()) } else { write_compatibility() }
}

fn write(args: &Args, name: &str, package: &str) -> Result<()> {
    let mut page = command::output(command::cargo().args(["run", "--quiet", "-p", package, "--", "--help-markdown"]))?;
    page.push('\n');
    let path = workspace::root().join(name);
    if !args.check {
        return fs::write(&path, page).with_context(|| format!("cannot write {name}"));
    }
    if fs::read_to_string(&path).unwrap_or_default() != page {
        bail!("{name} is not what the code says: run `cargo xtask docs`");
    }
    Ok(())
}

/// Which case shows which field is known where the cases are.
fn write_compatibility() -> Result<()> {
    let mut cargo = command::cargo();
    cargo.args(["test", "--quiet", "--package=ambit-tests", "--test=waypoint", "every_field"]);
    command::run(cargo.env("AMBIT_WRITE_COMPATIBILITY", "1"))
}
