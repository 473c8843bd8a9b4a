//! The suite's report, and what docs/compatibility.md says of it.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::workspace;

/// Where what is said of it begins; it goes on to the end of the page.
const BEGIN: &str = "<!-- cargo xtask test conformance -->";
const PAGE: &str = "docs/compatibility.md";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    #[serde(rename = "gatewayAPIVersion")]
    version: String,
    #[serde(rename = "gatewayAPIChannel")]
    channel: String,
    profiles: Vec<Profile>,
}

#[derive(Deserialize)]
struct Profile {
    name: String,
    core: Status,
    #[serde(default)]
    extended: Extended,
}

#[derive(Deserialize)]
struct Status {
    statistics: Statistics,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Extended {
    statistics: Statistics,
    #[serde(default)]
    supported_features: Vec<String>,
    #[serde(default)]
    unsupported_features: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Statistics {
    passed: u32,
    skipped: u32,
    failed: u32,
}

/// Has the page say what the report says, of so many tests.
pub(super) fn publish(report: &Path, tests: u32) -> Result<()> {
    let text = fs::read_to_string(report).with_context(|| format!("reading {}", report.display()))?;
    let report: Report = serde_saphyr::from_str(&text).context("reading the suite's report")?;
    let page = workspace::root().join(PAGE);
    let there = fs::read_to_string(&page).with_context(|| format!("reading {PAGE}"))?;
    fs::write(&page, replaced(&there, &section(&report, tests)?)).with_context(|| format!("writing {PAGE}"))
}

/// The page with this section in place of the one it had.
fn replaced(page: &str, section: &str) -> String {
    let kept = page.split_once(BEGIN).map_or(page, |(before, _)| before);
    format!("{}\n\n{BEGIN}\n{section}", kept.trim_end())
}

fn section(report: &Report, tests: u32) -> Result<String> {
    let mut text = format!(
        "## Gateway API\n\nThe Gateway API's own conformance suite, {} with the definitions of the {} channel, as run by\n\
         `cargo xtask test conformance` on a cluster of two nodes; the report is in `target/conformance/`. All {tests}\n\
         tests of a mesh pass, nothing is skipped; the profiles count those whose features they know.\n\n\
         The suite has no waypoints: before it starts, each of its namespaces gets one, and it is told to label them\n\
         `istio.io/dataplane-mode: ambient` and `istio.io/use-waypoint: waypoint`, as their users would. Its images\n\
         cannot be had without a registry: `tests/conformance/echo` answers in the place of its own applications.\n\n\
         | profile | core | extended | extended features |\n| --- | --- | --- | --- |\n",
        report.version, report.channel
    );
    for Profile { name, core, extended } in &report.profiles {
        let features = extended.supported_features.join(", ");
        ensure!(core.statistics.passed > 0, "{name}: nothing was tried");
        let (core, more) = (share(&core.statistics, name)?, share(&extended.statistics, name)?);
        writeln!(text, "| {name} | {core} | {more} | {features} |")?;
        ensure!(extended.unsupported_features.is_empty(), "{name}: not all of it was tried");
    }
    Ok(text)
}

fn share(statistics: &Statistics, of: &str) -> Result<String> {
    let Statistics { passed, skipped, failed } = statistics;
    ensure!(*skipped == 0 && *failed == 0, "{of}: {failed} tests failed and {skipped} were skipped");
    Ok(if *passed == 0 { "none".to_owned() } else { format!("{passed} of {passed}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "\
apiVersion: gateway.networking.k8s.io/v1
date: '2026-01-01T00:00:00Z'
gatewayAPIChannel: standard
gatewayAPIVersion: v1.6.3
kind: ConformanceReport
profiles:
- core: {result: success, statistics: {Failed: 0, Passed: 8, Skipped: 0}}
  extended:
    result: success
    statistics: {Failed: 0, Passed: 2, Skipped: 0}
    supportedFeatures: [MeshConsumerRoute, MeshClusterIPMatching]
  name: MESH-HTTP
  summary: Core tests succeeded.
";

    #[test]
    fn the_page_says_what_the_report_says_once() -> Result<()> {
        let section = section(&serde_saphyr::from_str(REPORT)?, 22)?;
        assert!(section.contains("| MESH-HTTP | 8 of 8 | 2 of 2 | MeshConsumerRoute, MeshClusterIPMatching |"));
        let page = replaced("# Page\n\n| a |\n", &section);
        assert_eq!(replaced(&page, &section), page);
        assert!(page.starts_with("# Page\n\n| a |\n\n<!--"), "{page}");
        Ok(())
    }

    #[test]
    fn what_was_skipped_is_not_published() -> Result<()> {
        let skipped = REPORT.replace("Passed: 8, Skipped: 0", "Passed: 7, Skipped: 1");
        assert!(section(&serde_saphyr::from_str(&skipped)?, 22).is_err());
        Ok(())
    }
}
