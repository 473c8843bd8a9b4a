//! Every field of VirtualService and DestinationRule is shown by a case, or refused aloud, or named as lacking a
//! case: docs/compatibility.md is made of that, and any other field fails.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use ambit_resources::{Kind, spec_schema};
use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{connection_pool, destination_rule, endpoints, upstream_connection, virtual_service};

/// Set to write the page instead of comparing it: `cargo xtask docs`.
const WRITE: &str = "AMBIT_WRITE_COMPATIBILITY";

/// Cases, with the fields each shows.
type Shown = &'static [(&'static str, &'static [&'static str])];

/// What follows is written by `cargo xtask test conformance`.
const CONFORMANCE: &str = "<!-- cargo xtask test conformance -->";

/// What there is to say of a kind's fields.
struct Page {
    kind: Kind,
    /// Its cases.
    shown: &'static [Shown],
    /// Fields that no object may have, with the reason users are told.
    refused: &'static [(&'static str, &'static str)],
    /// Fields whose case is not written yet. A list that only gets shorter.
    not_yet: &'static [&'static str],
}

const PAGES: [Page; 2] = [
    Page {
        kind: Kind::VirtualService,
        shown: &[virtual_service::SHOWN],
        refused: &[
            ("spec.http[].fault.abort.http2Error", "the field's own proxies never did it"),
            ("spec.http[].fault.delay.exponentialDelay", "the field's own proxies never did it"),
        ],
        not_yet: &[],
    },
    Page {
        kind: Kind::DestinationRule,
        shown: &[destination_rule::SHOWN, endpoints::SHOWN, connection_pool::SHOWN, upstream_connection::SHOWN],
        refused: &[("spec.trafficPolicy.loadBalancer.zoneAwareLbSetting", "localityLbSetting prefers near endpoints")],
        not_yet: &[],
    },
];

#[test]
fn every_field_is_shown_or_refused_or_named_as_neither() -> Result<()> {
    let mut page = String::from(HEAD);
    let mut lacking = Vec::new();
    for Page { kind, shown, refused, not_yet } in PAGES {
        let by_field = by_field(shown);
        let schema = spec_schema(kind).context("no schema")?;
        let mut fields = Vec::new();
        leaves(&schema, "spec", &mut fields);
        writeln!(page, "\n## {kind}\n\n| field | shown by |\n| --- | --- |")?;
        for field in &fields {
            let why = |field: &str| refused.iter().find(|(refused, _)| covers(refused, field)).map(|(_, why)| *why);
            let is_known = |field: &String| why(field).is_some() || cases_of(&by_field, field).is_some();
            let twin = std::iter::successors(twin(field), |of| twin(of.as_str())).find(is_known);
            let why = why(field);
            match (cases_of(&by_field, field), why) {
                (Some(cases), None) => writeln!(page, "| `{field}` | {} |", cases.join(", "))?,
                (None, Some(why)) => writeln!(page, "| `{field}` | refused: {why} |")?,
                (Some(_), Some(_)) => lacking.push(format!("{kind} {field}: refused, and yet shown")),
                (None, None) if let Some(twin) = twin => writeln!(page, "| `{field}` | as `{twin}` |")?,
                (None, None) if not_yet.iter().any(|it| covers(it, field)) => {
                    writeln!(page, "| `{field}` | no case yet |")?
                }
                (None, None) => lacking.push(format!("{kind} {field}")),
            }
        }
        let known = |shown: &str| fields.iter().any(|field| covers(shown, field));
        lacking.extend(by_field.keys().filter(|shown| !known(shown)).map(|it| format!("{kind} {it}: no such field")));
    }
    ensure!(lacking.is_empty(), "fields without a case:\n{}", lacking.join("\n"));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/compatibility.md");
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    if let Some((_, conformance)) = there.split_once(CONFORMANCE) {
        write!(page, "\n{CONFORMANCE}{conformance}")?;
    }
    if std::env::var_os(WRITE).is_some() {
        return Ok(std::fs::write(&path, page)?);
    }
    ensure!(there == page, "docs/compatibility.md is not what the tests say: run `cargo xtask docs`");
    Ok(())
}

const HEAD: &str = "# What a waypoint does with every field

Made by `cargo xtask docs` out of the cases in `tests/waypoint`: each is a real waypoint with real connections, and
`cargo xtask test waypoint` plays them. `as` means that the same code reads both fields, for a part of the service
instead of all of it; that a part's own settings hold is shown by the cases of some of them.
";

/// The cases that show each field.
fn by_field(shown: &'static [Shown]) -> BTreeMap<&'static str, Vec<String>> {
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (case, fields) in shown.iter().copied().flatten() {
        for field in *fields {
            all.entry(*field).or_default().push(case.replace('_', " "));
        }
    }
    all
}

fn cases_of(by_field: &BTreeMap<&str, Vec<String>>, field: &str) -> Option<Vec<String>> {
    let mut cases: Vec<_> =
        by_field.iter().filter(|(shown, _)| covers(shown, field)).flat_map(|(_, cases)| cases.clone()).collect();
    cases.dedup();
    (!cases.is_empty()).then_some(cases)
}

/// The field that says for a whole service what this one says for a subset or a port of it.
fn twin(field: &str) -> Option<String> {
    let parts = ["spec.subsets[].trafficPolicy.", "spec.trafficPolicy.portLevelSettings[]."];
    parts.iter().find_map(|part| Some(format!("spec.trafficPolicy.{}", field.strip_prefix(part)?)))
}

/// Whether a field is what a case shows, or part of it.
fn covers(shown: &str, field: &str) -> bool {
    field.strip_prefix(shown).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// The fields that have no fields. A map is one field, and so is a pattern.
fn leaves(schema: &Value, path: &str, into: &mut Vec<String>) {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        for (name, property) in properties {
            leaves(property, &format!("{path}.{name}"), into);
        }
    } else if let Some(items) = schema.get("items") {
        let at = if items.get("properties").is_some() { format!("{path}[]") } else { path.to_owned() };
        leaves(items, &at, into);
    } else {
        into.push(path.to_owned());
    }
}
