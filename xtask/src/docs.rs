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

/// The page, and how it is made.
const CONFIGURATION: &str = "docs/configuration.md";

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut page =
        command::output(command::cargo().args(["run", "--quiet", "-p", "ztunnel", "--", "--help-markdown"]))?;
    page.push('\n');
    let path = workspace::root().join(CONFIGURATION);
    if !args.check {
        return fs::write(&path, page).with_context(|| format!("cannot write {CONFIGURATION}"));
    }
    if fs::read_to_string(&path).unwrap_or_default() != page {
        bail!("{CONFIGURATION} is not what the code says: run `cargo xtask docs`");
    }
    Ok(())
}
