//! All that was measured, and the report of it.

use std::collections::BTreeMap;
use std::io::{self, Write as _};

use anyhow::Result;
use serde_json::{Value, json};

use super::contender::Kind;
use crate::bench::samples::median;

/// The load whose figure stands for all, under this name: the one with the least work of routing.
const HEADLINE: &str = "requests_per_cpu_second";
const HEADLINE_LOAD: &str = "requests_per_cpu_second_http1_64_connections_10_routes";

/// The values of all rounds, by measure, in the order they were first measured.
#[derive(Debug, Default)]
pub(super) struct Found {
    measures: Vec<Measure>,
}

#[derive(Debug, Clone)]
struct Measure {
    name: String,
    unit: &'static str,
    /// Of loads without a failure: who refuses requests is fast at it.
    values: BTreeMap<Kind, Vec<f64>>,
    /// Requests that got no answer, or not the right one; nothing where no requests are counted.
    failed: BTreeMap<Kind, u64>,
}

impl Found {
    pub(super) fn add(&mut self, name: &str, unit: &'static str, kind: Kind, value: f64) {
        self.measure(name, unit).values.entry(kind).or_default().push(value);
    }

    /// A value of a load in which so many requests failed.
    pub(super) fn add_of_load(&mut self, name: &str, unit: &'static str, (kind, failed): (Kind, u64), value: f64) {
        *self.measure(name, unit).failed.entry(kind).or_default() += failed;
        if failed == 0 {
            self.add(name, unit, kind, value);
        }
    }

    #[expect(clippy::indexing_slicing, reason = "found, or pushed just before")]
    fn measure(&mut self, name: &str, unit: &'static str) -> &mut Measure {
        let known = self.measures.iter().position(|measure| measure.name == name);
        let at = known.unwrap_or_else(|| {
            let (values, failed) = Default::default();
            self.measures.push(Measure { name: name.to_owned(), unit, values, failed });
            self.measures.len() - 1
        });
        &mut self.measures[at]
    }

    fn measures(&self) -> impl Iterator<Item = Measure> {
        let headline = self.measures.iter().find(|measure| measure.name == HEADLINE_LOAD).cloned();
        let headline = headline.map(|measure| Measure { name: HEADLINE.to_owned(), ..measure });
        headline.into_iter().chain(self.measures.iter().cloned())
    }

    /// Prints the table.
    pub(super) fn print(&self) -> Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{:<64}{:>6}{:>12}{:>12}{:>8}", "measure", "unit", "envoy", "waypoint", "ratio")?;
        for measure in self.measures() {
            let [envoy, waypoint] = Kind::ALL.map(|kind| measure.median(kind).unwrap_or(f64::NAN));
            let Measure { name, unit, failed, .. } = measure;
            write!(out, "{name:<64}{unit:>6}{envoy:>12.1}{waypoint:>12.1}{:>8.2}", waypoint / envoy)?;
            for (kind, count) in failed.iter().filter(|(_, count)| **count > 0) {
                write!(out, "  {kind:?}: {count} requests failed, those loads do not count")?;
            }
            writeln!(out)?;
        }
        Ok(())
    }

    /// The same for programs.
    pub(super) fn json(&self) -> Value {
        let describe = |measure: Measure| {
            let [envoy, waypoint] = Kind::ALL.map(|kind| measure.median(kind));
            let [of_envoy, of_waypoint] = Kind::ALL.map(|kind| measure.values.get(&kind));
            let samples = json!({"envoy": of_envoy, "waypoint": of_waypoint});
            let [by_envoy, by_waypoint] = Kind::ALL.map(|kind| measure.failed.get(&kind));
            let failed = json!({"envoy": by_envoy, "waypoint": by_waypoint});
            json!({
                "name": measure.name, "unit": measure.unit, "envoy": envoy, "waypoint": waypoint,
                "failed_requests": failed, "samples": samples,
            })
        };
        self.measures().map(describe).collect()
    }
}

impl Measure {
    fn median(&self, kind: Kind) -> Option<f64> {
        median(self.values.get(&kind)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_medians_and_the_headline() {
        let mut found = Found::default();
        for value in [3.0, 1.0, 2.0] {
            found.add(HEADLINE_LOAD, "1/s", Kind::Envoy, value);
        }
        found.add("memory", "MiB", Kind::Waypoint, 7.0);
        let json = found.json();
        let measures = json.as_array().unwrap();
        assert_eq!((&measures[0]["name"], &measures[0]["envoy"]), (&json!(HEADLINE), &json!(2.0)));
        assert_eq!((&measures[2]["name"], &measures[2]["envoy"]), (&json!("memory"), &Value::Null));
        assert_eq!(measures[2]["waypoint"], 7.0);
    }

    #[test]
    fn a_load_with_failures_is_told_and_does_not_count() {
        let mut found = Found::default();
        for (kind, failed, value) in [(Kind::Waypoint, 0, 1.0), (Kind::Waypoint, 3, 9.0), (Kind::Envoy, 2, 9.0)] {
            found.add_of_load("rate", "1/s", (kind, failed), value);
        }
        let json = &found.json()[0];
        assert_eq!((&json["waypoint"], &json["envoy"]), (&json!(1.0), &Value::Null));
        assert_eq!(json["failed_requests"], json!({"envoy": 2, "waypoint": 3}));
    }
}
