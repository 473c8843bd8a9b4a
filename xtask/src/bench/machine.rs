//! What the figures were measured on and with.

use std::path::Path;
use std::process::Command;
use std::{fs, thread};

use serde_json::{Value, json};

use super::Extent;

/// The head of the report.
pub(super) fn facts(extent: Extent, quick: bool) -> Value {
    json!({
        "benchmark": "l4",
        "kernel": read("/proc/sys/kernel/osrelease"),
        "cpu": cpu_model(),
        "cores": thread::available_parallelism().ok(),
        "iperf3": version("iperf3", "--version"),
        "nginx": version("nginx", "-v"),
        "wrk": version("wrk", "-v"),
        "ztunnel": ambit_tests::ztunnel_binary().ok().and_then(|agent| version(agent, "--version")),
        "rounds": extent.rounds,
        "seconds": extent.seconds,
        "quick": quick,
    })
}

/// The head of the report on the control plane.
pub(super) fn control_plane_facts(streams: usize, quick: bool) -> Value {
    json!({
        "benchmark": "control-plane",
        "kernel": read("/proc/sys/kernel/osrelease"),
        "cpu": cpu_model(),
        "cores": thread::available_parallelism().ok(),
        "streams": streams,
        "quick": quick,
    })
}

/// The head of the report on waypoints.
pub(super) fn l7_facts(envoy: &Path, (rounds, seconds): (u32, f64), quick: bool) -> Value {
    json!({
        "benchmark": "l7",
        "kernel": read("/proc/sys/kernel/osrelease"),
        "cpu": cpu_model(),
        "cores": thread::available_parallelism().ok(),
        "envoy": version(envoy, "--version"),
        "rounds": rounds,
        "seconds": seconds,
        "quick": quick,
    })
}

fn cpu_model() -> Option<String> {
    let text = read("/proc/cpuinfo")?;
    text.lines().find_map(|line| Some(line.strip_prefix("model name")?.trim_start_matches(['\t', ':', ' ']).to_owned()))
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// The first line a program says about itself, wherever it says it.
fn version(program: impl AsRef<std::ffi::OsStr>, option: &str) -> Option<String> {
    let output = Command::new(program).arg(option).output().ok()?;
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    String::from_utf8_lossy(&text).lines().next().map(|line| line.trim().to_owned())
}
