//! Telemetry.

use ambit_resources::Kind;

use super::definition::{Definition, ONE_ATTACHMENT, Rule};

pub(super) const DEFINITIONS: &[Definition] = &[Definition {
    kind: Kind::Telemetry,
    group: ("telemetry.istio.io", &["v1", "v1alpha1"]),
    plural: "telemetries",
    short: &["telemetry"],
    columns: &[],
    rules: &[
        ONE_ATTACHMENT,
        Rule {
            at: "metrics[].overrides[].match",
            rule: "!(has(self.metric) && has(self.customMetric))",
            message: "only one of metric and customMetric can be set",
        },
    ],
    bounds: &[("targetRefs", 16), ("metrics", 64), ("metrics[].overrides", 256)],
}];
