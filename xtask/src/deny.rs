//! `deny`: licences, advisories, banned crates and sources, by cargo-deny and `deny.toml`.

use anyhow::{Result, bail};

use crate::command::{self, cargo};

/// The version whose settings `deny.toml` is written for.
const VERSION: &str = "0.20.2";

#[derive(Clone, Copy, Default, clap::Args)]
pub(crate) struct Args {
    /// Install cargo-deny when it is missing, which takes minutes.
    #[arg(long)]
    install: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let words = ["install", "cargo-deny", "--version", VERSION, "--locked"];
    if !available() && args.install {
        println!("installing cargo-deny: cargo {}", words.join(" "));
        command::run(cargo().args(words))?;
    }
    if !available() {
        bail!("cargo-deny is missing: cargo {}   (or `cargo xtask deny --install`)", words.join(" "));
    }
    command::run(cargo().args(["deny", "--workspace", "check", "licenses", "bans", "sources"]))?;
    // Last, as it alone needs the network.
    command::run(cargo().args(["deny", "--workspace", "check", "advisories"]))
}

/// Whether cargo-deny is installed.
pub(crate) fn available() -> bool {
    command::find("cargo-deny").is_some()
}
