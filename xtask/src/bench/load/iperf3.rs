//! Bulk transfers by iperf3.

use std::net::SocketAddr;

use ambit_tests::Netns;
use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// What a transfer brought to the server.
#[derive(Debug, PartialEq)]
pub(super) struct Transfer {
    pub(super) gigabits_per_second: f64,
    pub(super) gigabytes: f64,
}

/// Sends for so many seconds over so many connections.
pub(super) fn run(from: &Netns, to: SocketAddr, streams: u32, seconds: u32) -> Result<Transfer> {
    let (ip, port) = (to.ip().to_string(), to.port().to_string());
    let (streams, time) = (streams.to_string(), seconds.to_string());
    let mut command = super::bounded(from, "iperf3", seconds);
    command.args(["--client", &ip, "--port", &port, "--parallel", &streams, "--time", &time, "--json"]);
    let output = command.output().context("start iperf3")?;
    parse(&output.stdout).with_context(|| format!("iperf3 to {to} ended with {}", output.status))
}

/// Counts what arrived, not what was sent: the difference sits in some buffer.
fn parse(report: &[u8]) -> Result<Transfer> {
    let report: Value = serde_json::from_slice(report).context("no report")?;
    if let Some(error) = report.get("error") {
        bail!("{error}");
    }
    let number = |name| report.pointer(&format!("/end/sum_received/{name}")).and_then(Value::as_f64).context(name);
    Ok(Transfer { gigabits_per_second: number("bits_per_second")? / 1e9, gigabytes: number("bytes")? / 1e9 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_arrived() {
        let report = br#"{"end": {"sum_sent": {"bytes": 9}, "sum_received": {"bytes": 3e9, "bits_per_second": 8e9}}}"#;
        assert_eq!(parse(report).unwrap(), Transfer { gigabits_per_second: 8.0, gigabytes: 3.0 });
        for bad in [&b""[..], b"{}", br#"{"error": "unable to connect", "end": {}}"#] {
            assert!(parse(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
