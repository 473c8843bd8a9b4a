//! What the control plane does under a large cluster: `cargo xtask bench control-plane` runs it, with an API
//! server and an `ambitd` beside it.
//!
//! One process writes the objects and holds the streams of all nodes, so one clock tells how long a change
//! takes from the API server's answer to the last stream. One line of JSON a phase goes to standard output.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

mod api;
mod board;
mod changes;
mod cluster;
mod figures;
mod streams;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ambit_xds::TypeUrl;
use anyhow::Result;
use clap::Parser;
use serde_json::{Value, json};

use api::Api;
use board::Board;
use cluster::Cluster;
use figures::Latencies;
use streams::{Access, Fleet};

#[derive(Parser)]
struct Args {
    /// Of the API server.
    #[arg(long, value_name = "FILE")]
    kubeconfig: PathBuf,

    /// Where ambitd serves nodes.
    #[arg(long, value_name = "ADDRESS")]
    control_plane: String,

    /// Pods, ten to a Service, a thousand to a namespace.
    #[arg(long, value_name = "N")]
    pods: usize,

    /// Nodes, each with a stream.
    #[arg(long, value_name = "N")]
    streams: usize,

    /// Changes of each kind, one after the other.
    #[arg(long, value_name = "N")]
    changes: usize,

    /// How long 100 changes a second are kept up.
    #[arg(long, value_name = "SECONDS")]
    churn_seconds: usize,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let api = Api::connect(&args.kubeconfig).await?;
    let started = Instant::now();
    let mut cluster = Cluster::write(api.clone(), args.pods, args.streams).await?;
    report("write", json!({ "seconds": started.elapsed().as_secs_f64() }));

    let access = Access::new(&api, args.control_plane, args.streams).await?;
    let board = Arc::new(Board::new(args.streams));
    let fleet = connect("connect", &access, &board).await?;

    let before = settled(&board).await;
    let latencies = changes::readiness(&mut cluster, &board, args.changes).await?;
    report("readiness", described(&latencies, &board, before).await);

    let before = settled(&board).await;
    let latencies = changes::policies(&cluster, &board, args.changes).await?;
    report("policy", described(&latencies, &board, before).await);

    let before = settled(&board).await;
    let latencies = changes::churn(&mut cluster, &board, args.churn_seconds).await?;
    report("churn", described(&latencies, &board, before).await);

    fleet.disconnect().await;
    connect("reconnect", &access, &board).await?.disconnect().await;
    Ok(())
}

/// Opens all streams at once, of nodes that hold nothing, and waits until each has everything.
async fn connect(phase: &str, access: &Access, board: &Arc<Board>) -> Result<Fleet> {
    let started = Instant::now();
    let (fleet, resources) = Fleet::connect(access, board).await?;
    report(phase, json!({ "seconds": started.elapsed().as_secs_f64(), "resources_per_stream": resources }));
    Ok(fleet)
}

/// What the streams have received, once nothing more comes.
async fn settled(board: &Board) -> [usize; TypeUrl::ALL.len()] {
    let mut received = board.received();
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = board.received();
        if now == received {
            return now;
        }
        received = now;
    }
}

/// The latencies, and what a change costs each stream.
async fn described(latencies: &Latencies, board: &Board, before: [usize; TypeUrl::ALL.len()]) -> Value {
    let after = settled(board).await;
    let each = |type_url: TypeUrl| {
        let count = |received: &[usize]| received.get(type_url as usize).copied().unwrap_or_default();
        let received = count(&after).saturating_sub(count(&before));
        received as f64 / (board.streams() * latencies.changes().max(1)) as f64
    };
    let mut described = latencies.json();
    if let Some(described) = described.as_object_mut() {
        described.insert("addresses_per_stream".to_owned(), json!(each(TypeUrl::Address)));
        described.insert("authorizations_per_stream".to_owned(), json!(each(TypeUrl::Authorization)));
    }
    described
}

fn report(phase: &str, figures: Value) {
    println!("{}", json!({ "phase": phase, "figures": figures }));
}
