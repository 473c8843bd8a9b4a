//! What is changed in metrics.

use std::sync::Arc;

use ambit_l7::telemetry::{LabelValue, ReportedMetric};
use ambit_resources::telemetry::{
    Metric, Metrics as Written, MetricsOverride, TagOperation, TagOverride, WorkloadMode,
};

use super::{SERVER, expression, names};
use crate::l7::L7Problem;
use crate::l7::at::At;
use crate::l7::cx::Cx;

/// A part about metrics.
#[derive(Debug)]
pub(super) struct Metrics {
    pub(super) providers: Vec<String>,
    pub(super) overrides: Vec<Override>,
}

/// A change in some metrics.
#[derive(Debug)]
pub(super) struct Override {
    pub(super) of: Vec<ReportedMetric>,
    pub(super) disabled: Option<bool>,
    pub(super) labels: Vec<(Arc<str>, LabelValue)>,
}

impl Metrics {
    pub(super) fn prepare(written: &Written, at: &At<'_>, cx: &mut Cx<'_>) -> Self {
        if written.reporting_interval.is_some() {
            let reason = "metrics are asked for, nobody is sent any";
            cx.warning(&at.field("reportingInterval"), L7Problem::NoEffect { reason });
        }
        let list = at.field("overrides");
        let overrides = written.overrides.iter().enumerate();
        let overrides = overrides.filter_map(|(i, written)| overriding(written, &list.index(i), cx)).collect();
        Self { providers: names(&written.providers), overrides }
    }
}

fn overriding(written: &MetricsOverride, at: &At<'_>, cx: &mut Cx<'_>) -> Option<Override> {
    let selector = written.selector.clone().unwrap_or_default();
    let matched = at.field("match");
    if selector.custom_metric.is_some() {
        let reason = "there are no metrics but the field's own";
        cx.error(&matched.field("customMetric"), L7Problem::Unsupported { reason });
    }
    let of = metrics(selector.metric.unwrap_or_default());
    let list = at.field("tagOverrides");
    let labels = written.tag_overrides.iter();
    let labels = labels.filter_map(|(name, written)| label(name, written, &list.field(name), cx)).collect();
    if selector.mode == WorkloadMode::Client {
        cx.warning(&matched.field("mode"), L7Problem::NoEffect { reason: SERVER });
        return None;
    }
    Some(Override { of, disabled: written.disabled, labels })
}

fn metrics(metric: Metric) -> Vec<ReportedMetric> {
    let one = match metric {
        Metric::AllMetrics => return ReportedMetric::ALL.to_vec(),
        Metric::RequestCount => ReportedMetric::RequestCount,
        Metric::RequestDuration => ReportedMetric::RequestDuration,
        Metric::RequestSize => ReportedMetric::RequestSize,
        Metric::ResponseSize => ReportedMetric::ResponseSize,
        Metric::GrpcRequestMessages => ReportedMetric::GrpcRequestMessages,
        Metric::GrpcResponseMessages => ReportedMetric::GrpcResponseMessages,
        Metric::TcpOpenedConnections => ReportedMetric::TcpOpenedConnections,
        Metric::TcpClosedConnections => ReportedMetric::TcpClosedConnections,
        Metric::TcpSentBytes => ReportedMetric::TcpSentBytes,
        Metric::TcpReceivedBytes => ReportedMetric::TcpReceivedBytes,
    };
    vec![one]
}

fn label(name: &str, written: &TagOverride, at: &At<'_>, cx: &mut Cx<'_>) -> Option<(Arc<str>, LabelValue)> {
    let is_good = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !name.chars().all(is_good) || !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        let expected = "the name of a label: letters, digits and _";
        cx.error(at, L7Problem::Value { value: name.to_owned(), expected });
        return None;
    }
    let value = match written.operation {
        TagOperation::Remove => LabelValue::Removed,
        TagOperation::Upsert => LabelValue::Is(expression(&written.value, &at.field("value"), cx)?),
    };
    Some((name.into(), value))
}
