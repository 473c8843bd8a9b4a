//! `ztunnel`: Ambit's node agent. ARCHITECTURE.md has the picture; `outbound.rs` and `inbound.rs` each
//! hold one connection from top to bottom.

mod app;
mod carry;
mod client;
mod cluster;
mod cni;
mod config;
mod destination;
mod enrolment;
mod failure;
mod feed;
mod folder;
mod gauges;
mod guest;
mod inbound;
mod judged;
mod keeper;
mod listener;
mod local_pods;
mod names;
mod netns_finder;
mod original_dst;
mod outbound;
mod outlet;
mod places;
mod plaintext;
mod pod;
mod reports;
mod routing;
mod servers;
mod source;
mod tunnel;
mod uninstall;
mod upstream;
mod worker;

use std::process::ExitCode;
use std::sync::Arc;

use ambit_compile::Summary;
use ambit_resources::Severity;
use ambit_telemetry::{AccessLog, AccessLogFormat, LogFormat, init};
use anyhow::Context;
use clap::Parser;
use tokio::runtime::Runtime;

use crate::app::Logs;
use crate::config::{AccessLogForm, Args, Config, Form};

fn main() -> ExitCode {
    match start(&Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("ztunnel: {}", failure::error_chain(error.as_ref()));
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
    if args.uninstall {
        uninstall::run(args)?;
        if args.stay {
            runtime()?.block_on(uninstall::stay(args.readiness))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    if args.check_config {
        return check(args);
    }
    let config = Config::try_from(args)?;
    let logs = logs(args)?;
    runtime()?.block_on(app::run(config, logs))
}

fn runtime() -> anyhow::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")
}

fn logs(args: &Args) -> anyhow::Result<Logs> {
    let format = match args.log_format {
        Form::Text => LogFormat::Text,
        Form::Json => LogFormat::Json,
    };
    let level = init(format, &args.log)?;
    let metrics = Arc::new(app::metrics());
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

#[expect(clippy::print_stdout, reason = "asked for on the command line")]
fn check(args: &Args) -> anyhow::Result<ExitCode> {
    let folder = args.config.as_deref().context("--config is missing")?;
    let options = folder::options(args.trust_domain.as_str(), args.cluster.as_str(), args.root_namespace.as_str());
    let (compiled, issues) = folder::check(folder, options)?;
    for issue in &issues {
        eprintln!("{issue}");
    }
    print!("{}", Summary::of(&compiled));
    let failed = issues.iter().any(|issue| issue.severity == Severity::Error);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
