//! How where endpoints are narrows the choice among them: what a service, or else its namespace, says of it.

use ambit_model::LoadBalancingMode;
use ambit_resources::{FieldPath, Metadata};

use crate::Problem;
use crate::findings::Findings;

/// How objects say it that have no field for it, and how Services did before they had one.
const ANNOTATION: &str = "networking.istio.io/traffic-distribution";

/// What an object says in its field, if it has one, or else in its annotation.
pub(crate) fn said(field: &str, metadata: &Metadata) -> Option<LoadBalancingMode> {
    meaning(field).or_else(|| meaning(metadata.annotations.get(ANNOTATION)?))
}

fn meaning(said: &str) -> Option<LoadBalancingMode> {
    match said.to_ascii_lowercase().as_str() {
        "preferclose" | "prefersamezone" => Some(LoadBalancingMode::PreferZone),
        "prefersamenode" => Some(LoadBalancingMode::PreferNode),
        "any" => Some(LoadBalancingMode::Unspecified),
        _ => None,
    }
}

/// What is to be said about the annotation.
pub(crate) fn check_annotation(metadata: &Metadata, findings: &mut Findings<'_>) {
    if let Some(said) = metadata.annotations.get(ANNOTATION) {
        check(said, FieldPath::of("metadata.annotations").field(ANNOTATION), findings);
    }
}

/// What is to be said about what was said.
pub(crate) fn check(said: &str, at: FieldPath, findings: &mut Findings<'_>) {
    if !said.is_empty() && meaning(said).is_none() {
        let (value, expected) = (said.to_owned(), "PreferSameNode, PreferSameZone, PreferClose or Any");
        findings.warning(at, Problem::Setting { value, expected, consequence: "endpoints everywhere are alike" });
    }
}
