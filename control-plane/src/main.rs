//! `ambitd`: Ambit's control plane. `app.rs` says what there is and how it goes together.
//!
//! Kubernetes → `watch.rs` (raw objects) → `world.rs` (the one owner of the compiler's store) → discovery
//! (`ambit_xds`) → nodes; back from the nodes come reports (`reports.rs`) and requests for certificates.

mod accept;
mod admission;
mod agents;
mod annotator;
mod app;
mod authority;
mod backoff;
mod certificates;
mod condition;
mod config;
mod credentials;
mod failure;
#[cfg(test)]
mod fake_api;
mod findings;
mod gauges;
mod kept;
mod kinds;
mod leader;
mod nodes;
mod pod_events;
mod pods;
mod raw;
mod relist;
mod reports;
mod servers;
mod standing;
mod statuses;
mod tokens;
mod uninstall;
mod watch;
mod waypoints;
mod webhook;
mod world;

use std::process::ExitCode;

use ambit_telemetry::{LogFormat, init};
use anyhow::Context;
use clap::Parser;

use crate::config::{Args, Command, Config, Form};

/// The Kubernetes client warns of every request that fails; whoever made the request does too, and says more.
const CLIENT_LOG: &str = "kube_client=error,kube_runtime=error";

fn main() -> ExitCode {
    match start(&Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("ambitd: {}", failure::error_chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "asked for on the command line")]
fn start(args: &Args) -> anyhow::Result<ExitCode> {
    if args.help_markdown {
        print!("{}", config::markdown());
        return Ok(ExitCode::SUCCESS);
    }
    let config = Config::try_from(args)?;
    let format = match args.log_format {
        Form::Text => LogFormat::Text,
        Form::Json => LogFormat::Json,
    };
    let level = init(format, &format!("{CLIENT_LOG},{}", args.log))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
    match &args.command {
        Some(Command::Uninstall(args)) => runtime.block_on(app::uninstall(&config, args)),
        None => runtime.block_on(app::run(config, level)),
    }
}
