//! `waypoint`: Ambit's L7 proxy. ARCHITECTURE.md has the picture; `request.rs` holds one HTTP request from top to
//! bottom, `tcp.rs` any other connection.

mod app;
mod body;
mod config;
mod connection;
mod destination;
mod errand;
mod explain;
mod external;
mod failure;
mod http;
mod identities;
mod in_force;
mod judged;
mod jwt;
mod listener;
mod manifests;
mod outlet;
mod plan;
mod policy;
mod protocol;
mod pump;
mod request;
mod rewind;
mod routes;
mod servers;
mod sni;
mod tcp;
#[cfg(test)]
mod tests;
mod tunnel;
mod upgrade;
mod upstream;
mod worker;

use std::process::ExitCode;
use std::sync::Arc;

use ambit_telemetry::{AccessLog, AccessLogFormat, LogFormat, Metrics, init};
use anyhow::Context;
use clap::Parser;

use crate::app::Logs;
use crate::config::{AccessLogForm, Args, Config, Form};

fn main() -> ExitCode {
    match start(&Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("waypoint: {}", failure::error_chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn start(args: &Args) -> anyhow::Result<ExitCode> {
    let config = Config::try_from(args)?;
    let logs = logs(args)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(app::run(config, logs))
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
