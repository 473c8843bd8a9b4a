//! `tidy`: the rules of the tree that neither the compiler nor clippy knows.

mod layers;
mod sources;
mod strip;

use anyhow::{Result, bail};

use crate::workspace;

pub(crate) fn run() -> Result<()> {
    let root = workspace::root().canonicalize()?;
    let mut report = Report::default();
    layers::check(&layers::Metadata::read()?, &mut report);
    sources::check(&root, &mut report)?;
    for warning in &report.warnings {
        eprintln!("warning: {warning}");
    }
    for error in &report.errors {
        eprintln!("error: {error}");
    }
    match report.errors.len() {
        0 => Ok(()),
        count => bail!("tidy found {count} faults"),
    }
}

/// What was found, each a sentence that says what to do.
#[derive(Default)]
struct Report {
    warnings: Vec<String>,
    errors: Vec<String>,
}
