//! Requests by wrk, one thread.

use std::net::SocketAddr;

use ambit_tests::{Netns, run};
use anyhow::{Context as _, Result};

/// A run of wrk.
#[derive(Debug)]
pub(super) struct Wrk {
    pub(super) connections: u32,
    /// Otherwise the server closes the connection after each answer.
    pub(super) keep_alive: bool,
    pub(super) seconds: u32,
}

/// What it reports.
#[derive(Debug, PartialEq)]
pub(super) struct Answers {
    /// Answers a second.
    pub(super) rate: f64,
    /// Microseconds from request to answer.
    pub(super) p50: f64,
    pub(super) p99: f64,
    /// Requests without an answer, or with one that is no success.
    pub(super) failures: u64,
}

impl Wrk {
    /// Sends requests from inside a namespace.
    pub(super) fn run(&self, from: &Netns, to: SocketAddr) -> Result<Answers> {
        let mut command = super::bounded(from, "wrk", self.seconds);
        command.args(["--threads", "1", "--connections", &self.connections.to_string()]).args([
            "--duration",
            &format!("{}s", self.seconds),
            "--timeout",
            "5s",
            "--latency",
        ]);
        if !self.keep_alive {
            command.args(["--header", "Connection: close"]);
        }
        let report = run(command.arg(format!("http://{to}/")))?;
        parse(&report).with_context(|| format!("wrk to {to}: {report}"))
    }
}

fn parse(report: &str) -> Option<Answers> {
    let after = |label: &str| report.lines().find_map(|line| line.trim().strip_prefix(label)).map(str::trim);
    let errors = after("Socket errors:").into_iter().flat_map(|errors| errors.split(", "));
    let errors = errors.filter_map(|error| error.rsplit_once(' ')?.1.parse::<u64>().ok()).sum::<u64>();
    let unsuccessful = after("Non-2xx or 3xx responses:").map_or(Some(0), |count| count.parse().ok())?;
    Some(Answers {
        rate: after("Requests/sec:")?.parse().ok()?,
        p50: microseconds(after("50%")?)?,
        p99: microseconds(after("99%")?)?,
        failures: errors + unsuccessful,
    })
}

/// A time as wrk writes it: `66.00us`, `1.23ms`, `1.02s`, `1.00m`.
fn microseconds(text: &str) -> Option<f64> {
    let at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at_checked(at)?;
    let factor = match unit {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        "m" => 6e7,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "Running 1s test @ http://10.0.0.1:8080/\n  1 threads and 64 connections\n\
         \x20 Latency Distribution\n     50%   66.00us\n     75%   70.00us\n     90%    1.01ms\n     99%    2.50ms\n\
         \x20 103000 requests in 1.00s, 20.00MB read\nRequests/sec: 102999.50\nTransfer/sec:     20.00MB\n";

    #[test]
    fn reads_a_report() {
        let clean = Answers { rate: 102_999.5, p50: 66.0, p99: 2500.0, failures: 0 };
        assert_eq!(parse(REPORT).unwrap(), clean);
        let bad =
            format!("{REPORT}  Socket errors: connect 1, read 2, write 0, timeout 3\n  Non-2xx or 3xx responses: 4\n");
        assert_eq!(parse(&bad).unwrap(), Answers { failures: 10, ..clean });
        assert_eq!(parse("unable to connect"), None);
    }

    #[test]
    fn reads_times_of_all_units() {
        for (text, expected) in
            [("66.00us", Some(66.0)), ("1.23ms", Some(1230.0)), ("2.00s", Some(2e6)), ("1.00m", Some(6e7)), ("7", None)]
        {
            assert_eq!(microseconds(text), expected, "{text}");
        }
    }
}
