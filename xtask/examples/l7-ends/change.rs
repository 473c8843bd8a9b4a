//! How long a change of a route takes to the first request on it.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::load::say;
use crate::mesh::{self, Way};
use crate::sender::{Sender, Speak};

/// The longest wait.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks, so that who must change has the processor.
const PAUSE: Duration = Duration::from_millis(1);

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    way: Way,
    /// The new text, beside the old one.
    #[arg(long)]
    new: PathBuf,
    /// The file it becomes.
    #[arg(long)]
    old: PathBuf,
    /// A path that is answered only with the new text.
    #[arg(long)]
    path: String,
}

/// Prints milliseconds.
pub(crate) async fn change(options: Options) -> Result<()> {
    let stream = mesh::open(&options.way, 1).await?.pop().context("no connection")?;
    let mut sender = Sender::new(stream, Speak::Http1).await?;
    ensure!(sender.ask(&options.path).await.is_err(), "{} is answered already", options.path);
    fs::rename(&options.new, &options.old)?;
    let began = Instant::now();
    while sender.ask(&options.path).await.is_err() {
        ensure!(began.elapsed() < PATIENCE, "{} is not answered", options.path);
        tokio::time::sleep(PAUSE).await;
    }
    say(&(began.elapsed().as_secs_f64() * 1000.0).to_string())
}
