//! `waypoint`: Ambit's L7 proxy. ARCHITECTURE.md has the picture; `request.rs` holds one HTTP request from top to
//! bottom, `tcp.rs` any other connection.

mod app;
mod body;
mod callee;
mod cluster;
mod config;
mod connection;
mod destination;
mod errand;
mod explain;
mod external;
mod failure;
mod feed;
mod http;
mod in_force;
mod judged;
mod jwt;
mod listener;
mod manifests;
mod names;
mod outlet;
mod plan;
mod policy;
mod protocol;
mod pump;
mod rate_limit;
mod request;
mod rewind;
mod routes;
mod servers;
mod tcp;
mod telemetry;
#[cfg(test)]
mod tests;
mod tunnel;
mod upgrade;
mod upstream;
mod worker;

use std::process::ExitCode;
use std::sync::Arc;

use ambit_compile::Issue;
use ambit_telemetry::{AccessLog, AccessLogFormat, LogFormat, Metrics, init};
use anyhow::Context;
use clap::Parser;

use crate::app::Logs;
use crate::config::{AccessLogForm, Args, Config, Form};

/// Rules by the thousand, and their requests, are many small allocations. glibc's heap takes twice as long to give up
/// one version of them and make the next.
#[global_allocator]
static HEAP: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match start(&Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("waypoint: {}", failure::error_chain(error.as_ref()));
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
    if args.check_config {
        return check(config);
    }
    let logs = logs(args)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(app::run(config, logs))
}

/// Says what would be in force.
#[expect(clippy::print_stdout, reason = "asked for on the command line")]
fn check(config: Config) -> anyhow::Result<ExitCode> {
    let (routes, issues) = manifests::check(config)?;
    for issue in &issues {
        eprintln!("{issue}");
    }
    print!("{routes}");
    Ok(if issues.iter().any(Issue::is_error) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn logs(args: &Args) -> anyhow::Result<Logs> {
    let format = match args.log_format {
        Form::Text => LogFormat::Text,
        Form::Json => LogFormat::Json,
    };
    let level = init(format, &args.log)?;
    let metrics = Arc::new(Metrics::new("waypoint", env!("CARGO_PKG_VERSION")));
    let format = match args.access_log {
        AccessLogForm::Text => Some(AccessLogFormat::Text),
        AccessLogForm::Json => Some(AccessLogFormat::Json),
        AccessLogForm::Off => None,
    };
    let access = match format {
        Some(format) => Some(AccessLog::start(format, std::io::stdout(), metrics.agent.access_log_lost.clone())?),
        None => None,
    };
    Ok(Logs { level, access, metrics })
}
