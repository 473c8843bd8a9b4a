//! Both ends of `cargo xtask bench l7`, as node agents stand at them: clients that open tunnels to a waypoint and
//! send requests in them, and a server that takes tunnels and answers.

mod certificate;
mod change;
mod load;
mod mesh;
mod sender;
mod serve;

use anyhow::Result;
use clap::Parser;
use tokio::runtime::Builder;
use tokio::task::LocalSet;

#[derive(Parser)]
enum Args {
    /// Write a certificate for another's program as PEM files.
    Certificate(certificate::Options),
    /// Answer with 1 KiB, in tunnels and without.
    Serve(serve::Options),
    /// Send requests through a waypoint.
    Load(load::Options),
    /// Replace a file, and say how long it takes until requests are answered otherwise.
    Change(change::Options),
}

fn main() -> Result<()> {
    let args = Args::parse();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        match args {
            Args::Certificate(options) => certificate::write(&options),
            Args::Serve(options) => serve::serve(options).await,
            Args::Load(options) => load::load(options).await,
            Args::Change(options) => change::change(options).await,
        }
    })
}
