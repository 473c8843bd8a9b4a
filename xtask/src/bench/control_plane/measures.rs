//! What is measured, and what the project aims at.

use std::io::{self, Write as _};

use anyhow::Result;
use serde_json::{Value, json};

use super::Phase;

/// A figure of a phase.
struct Measure {
    phase: &'static str,
    figure: &'static str,
    unit: &'static str,
    /// The most it should be.
    bound: Option<f64>,
}

/// A figure found.
pub(super) struct Found {
    measure: &'static Measure,
    pods: usize,
    value: f64,
}

const fn measure(phase: &'static str, figure: &'static str, unit: &'static str, bound: Option<f64>) -> Measure {
    Measure { phase, figure, unit, bound }
}

/// In milliseconds.
const LATENCY: Option<f64> = Some(100.0);
/// 300 MB, in MiB.
const MEMORY: Option<f64> = Some(286.0);

/// All measures, in the report's order. `cpu`, `resident` and `peak` are ambitd's.
static ALL: &[Measure] = &[
    measure("write", "seconds", "s", None),
    measure("write", "cpu", "s", None),
    measure("connect", "seconds", "s", None),
    measure("connect", "resources_per_stream", "", None),
    measure("connect", "peak", "MiB", MEMORY),
    measure("readiness", "changes", "", None),
    measure("readiness", "unseen", "", Some(0.0)),
    measure("readiness", "p50", "ms", None),
    measure("readiness", "p99", "ms", LATENCY),
    measure("readiness", "from_request_p50", "ms", None),
    measure("readiness", "from_request_p99", "ms", None),
    measure("readiness", "addresses_per_stream", "", Some(1.0)),
    measure("readiness", "authorizations_per_stream", "", Some(0.0)),
    measure("readiness", "cpu", "s", None),
    measure("policy", "changes", "", None),
    measure("policy", "unseen", "", Some(0.0)),
    measure("policy", "p50", "ms", None),
    measure("policy", "p99", "ms", LATENCY),
    measure("policy", "from_request_p50", "ms", None),
    measure("policy", "from_request_p99", "ms", None),
    // The ten pods it selects.
    measure("policy", "addresses_per_stream", "", Some(10.0)),
    measure("policy", "authorizations_per_stream", "", Some(1.0)),
    measure("policy", "cpu", "s", None),
    measure("churn", "changes", "", None),
    measure("churn", "unseen", "", Some(0.0)),
    measure("churn", "p50", "ms", None),
    measure("churn", "p99", "ms", LATENCY),
    measure("churn", "from_request_p50", "ms", None),
    measure("churn", "from_request_p99", "ms", None),
    measure("churn", "addresses_per_stream", "", Some(1.0)),
    measure("churn", "cpu", "s", None),
    measure("churn", "resident", "MiB", MEMORY),
    measure("reconnect", "seconds", "s", None),
    measure("reconnect", "cpu", "s", None),
    measure("reconnect", "peak", "MiB", MEMORY),
    measure("reconnect", "resident", "MiB", MEMORY),
];

/// The measures of a cluster of so many pods, as far as it got.
pub(super) fn of(pods: usize, phases: &[Phase]) -> Vec<Found> {
    let found = |measure: &'static Measure| {
        let phase = phases.iter().find(|phase| phase.phase == measure.phase)?;
        Some(Found { measure, pods, value: phase.figures.get(measure.figure)?.as_f64()? })
    };
    ALL.iter().filter_map(found).collect()
}

/// Prints the table.
pub(super) fn print(found: &[Found]) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{:<36}{:<6}{:>8}{:>12}  {:<10}met", "measure", "unit", "pods", "value", "target")?;
    for it in found {
        let met = it.met().map_or("", |met| if met { "yes" } else { "no" });
        let target = it.target().unwrap_or_default();
        let line =
            format!("{:<36}{:<6}{:>8}{:>12.2}  {target:<10}{met}", it.name(), it.measure.unit, it.pods, it.value);
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

impl Found {
    /// As programs read it.
    pub(super) fn json(&self) -> Value {
        json!({
            "name": self.name(),
            "unit": self.measure.unit,
            "pods": self.pods,
            "value": self.value,
            "target": self.target(),
            "met": self.met(),
        })
    }

    fn name(&self) -> String {
        format!("{}_{}", self.measure.phase, self.measure.figure)
    }

    fn target(&self) -> Option<String> {
        self.measure.bound.map(|bound| format!("<= {bound}"))
    }

    fn met(&self) -> Option<bool> {
        self.measure.bound.map(|bound| self.value <= bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_reached_is_left_out() {
        let phases: Vec<Phase> = ["write", "readiness"]
            .map(|phase| {
                let figures = json!({ "seconds": 3.5, "p50": null, "p99": 101.0, "unseen": 0 });
                serde_json::from_value(json!({ "phase": phase, "figures": figures })).unwrap()
            })
            .into();
        let found: Vec<_> = of(7, &phases).iter().map(Found::json).collect();
        let expected = [
            json!({"name": "write_seconds", "unit": "s", "pods": 7, "value": 3.5, "target": null, "met": null}),
            json!({"name": "readiness_unseen", "unit": "", "pods": 7, "value": 0.0, "target": "<= 0", "met": true}),
            json!({"name": "readiness_p99", "unit": "ms", "pods": 7, "value": 101.0, "target": "<= 100", "met": false}),
        ];
        assert_eq!(found, expected);
    }
}
