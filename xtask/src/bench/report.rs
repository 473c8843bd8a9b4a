//! The report: a table for people, JSON for programs.

use std::io::{self, Write};

use anyhow::Result;
use serde_json::{Value, json};

use super::measure::{ALL, Measure};
use super::samples::Samples;
use super::stage::Kind;

/// Prints the table.
pub(super) fn print(samples: &Samples) -> Result<()> {
    let mut out = io::stdout().lock();
    let row = |cells: [String; 9]| {
        let [name, unit, numbers @ ..] = cells;
        let [no_mesh, two_hop, mesh, of_two_hop, of_no_mesh, target, met] = numbers;
        format!(
            "{name:<24}{unit:<8}{no_mesh:>10}{two_hop:>10}{mesh:>10}{of_two_hop:>13}{of_no_mesh:>13}  {target:<16}{met}"
        )
    };
    let head = ["measure", "unit", "no mesh", "two hop", "mesh", "of two hop", "of no mesh", "target", "met"];
    writeln!(out, "{}", row(head.map(str::to_owned)).trim_end())?;
    for measure in measured(samples) {
        writeln!(out, "{}", row(cells(measure, samples)).trim_end())?;
    }
    for kind in Kind::ALL {
        let failures = samples.failures(kind);
        if failures > 0 {
            writeln!(out, "{}: {failures} requests failed: its figures do not count", kind.name())?;
        }
    }
    Ok(())
}

fn cells(measure: &Measure, samples: &Samples) -> [String; 9] {
    let [no_mesh, two_hop, mesh] = Kind::ALL.map(|kind| samples.median(measure, kind));
    let met = match measure.target.and_then(|target| target.met(mesh, two_hop)) {
        Some(true) => "yes",
        Some(false) => "no",
        None => "",
    };
    [
        measure.name.to_owned(),
        measure.unit.to_owned(),
        text(no_mesh),
        text(two_hop),
        text(mesh),
        text(ratio(mesh, two_hop)),
        text(ratio(mesh, no_mesh)),
        measure.target.map(|target| target.to_string()).unwrap_or_default(),
        met.to_owned(),
    ]
}

/// The facts of the run, and under `measures` one object each.
pub(super) fn json(facts: &Value, samples: &Samples) -> Value {
    let mut report = facts.clone();
    let measures: Vec<Value> = measured(samples).map(|measure| describe(measure, samples)).collect();
    let failures: serde_json::Map<_, _> =
        Kind::ALL.map(|kind| (kind.name().to_owned(), json!(samples.failures(kind)))).into_iter().collect();
    if let Some(report) = report.as_object_mut() {
        report.insert("failed_requests".to_owned(), Value::Object(failures));
        report.insert("measures".to_owned(), Value::Array(measures));
    }
    report
}

fn describe(measure: &Measure, samples: &Samples) -> Value {
    let [no_mesh, two_hop, mesh] = Kind::ALL.map(|kind| samples.median(measure, kind));
    let all: serde_json::Map<_, _> =
        Kind::ALL.map(|kind| (kind.name().to_owned(), json!(samples.of(measure, kind)))).into_iter().collect();
    json!({
        "name": measure.name,
        "unit": measure.unit,
        "no_mesh": no_mesh,
        "two_hop": two_hop,
        "mesh": mesh,
        "mesh_of_two_hop": ratio(mesh, two_hop),
        "mesh_of_no_mesh": ratio(mesh, no_mesh),
        "target": measure.target.map(|target| target.to_string()),
        "met": measure.target.and_then(|target| target.met(mesh, two_hop)),
        "samples": all,
    })
}

/// A run without the mesh has fewer measures.
fn measured(samples: &Samples) -> impl Iterator<Item = &'static Measure> {
    let any = |measure: &Measure| Kind::ALL.into_iter().any(|kind| !samples.of(measure, kind).is_empty());
    ALL.into_iter().filter(move |measure| any(measure))
}

fn ratio(value: Option<f64>, of: Option<f64>) -> Option<f64> {
    Some(value? / of.filter(|of| *of > 0.0)?)
}

/// Three digits that matter, or all before the point.
fn text(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::measure::{MEMORY_IDLE, THROUGHPUT_1};

    #[test]
    fn json_has_medians_ratios_and_nulls() {
        let mut samples = Samples::default();
        for (kind, values) in [(Kind::NoMesh, [20.0, 22.0, 90.0]), (Kind::TwoHop, [10.0, 11.0, 1.0])] {
            values.iter().for_each(|value| samples.add(&THROUGHPUT_1, kind, *value));
        }
        samples.add(&THROUGHPUT_1, Kind::Mesh, 9.0);
        samples.add(&MEMORY_IDLE, Kind::Mesh, 7.0);
        let report = json(&json!({"kernel": "6"}), &samples);
        assert_eq!(report["kernel"], "6");
        assert_eq!(report["failed_requests"]["mesh"], 0);
        let [throughput, memory] = report["measures"].as_array().unwrap().as_slice() else { panic!("{report}") };
        assert_eq!(throughput["name"], "throughput_1");
        assert_eq!([&throughput["no_mesh"], &throughput["two_hop"]], [22.0, 10.0]);
        assert_eq!(throughput["mesh_of_two_hop"], 0.9);
        assert_eq!(throughput["met"], true);
        assert_eq!(memory["mesh"], 7.0);
        assert_eq!(memory["two_hop"], Value::Null);
    }

    #[test]
    fn numbers_are_written_short() {
        for (value, expected) in
            [(None, "-"), (Some(0.567), "0.57"), (Some(23.45), "23.4"), (Some(102_999.5), "103000")]
        {
            assert_eq!(text(value), expected);
        }
    }
}
