//! What objects of different levels say together, as in the field: a narrower one goes before, and what it leaves
//! open is as the wider one has it.

use std::collections::BTreeMap;
use std::sync::Arc;

use ambit_l7::telemetry as l7;
use ambit_l7::telemetry::{AccessLogging, Expression, MetricChange, MetricChanges, ReportedMetric};

use super::provider::Reporting;
use super::{Logging, Metrics, Telemetry, Tracing};

/// What is told, where anybody says anything: `levels` from the widest to the narrowest.
pub(crate) fn merge(levels: &[&Telemetry], mesh: &Reporting) -> Option<Arc<l7::Telemetry>> {
    let merged = l7::Telemetry {
        logs: logs(levels.iter().map(|level| &level.logs[..]), mesh),
        tracing: tracing(levels.iter().flat_map(|level| &level.tracing), mesh),
        metrics: metrics(levels.iter().map(|level| &level.metrics[..]), mesh),
    };
    (merged != l7::Telemetry::default()).then(|| Arc::new(merged))
}

/// The narrowest level that names any providers decides which are told; their filters, and whether they are switched
/// off, is as said of each last.
fn logs<'t>(levels: impl Iterator<Item = &'t [Logging]> + Clone, mesh: &Reporting) -> Option<Vec<AccessLogging>> {
    if levels.clone().all(<[_]>::is_empty) {
        let of_mesh = mesh.default_logs.iter().filter_map(|name| mesh.sinks.get(name)).chain(&mesh.file);
        let all: Vec<_> = of_mesh.map(|sink| AccessLogging { sink: Arc::clone(sink), filter: None }).collect();
        return (!all.is_empty()).then_some(all);
    }
    let named = |level: &[Logging]| level.iter().flat_map(|part| part.providers.clone()).collect::<Vec<_>>();
    let narrowest = levels.clone().map(named).filter(|names| !names.is_empty()).last();
    let in_scope = narrowest.unwrap_or_else(|| defaults(mesh));
    let mut before = defaults(mesh);
    let mut told = BTreeMap::<_, Told<'_>>::new();
    for part in levels.flatten() {
        if !part.providers.is_empty() {
            before.clone_from(&part.providers);
        }
        for name in before.iter().filter(|name| in_scope.contains(name)) {
            let told = told.entry(name.clone()).or_default();
            // Whoever names somebody wants it told.
            let named = (!part.providers.is_empty()).then_some(false);
            told.disabled = part.disabled.or(named).unwrap_or(told.disabled);
            told.filter = part.filter.as_ref().or(told.filter);
        }
    }
    let told = told.into_iter().filter(|(_, told)| !told.disabled);
    let logging = |(name, told): (String, Told<'_>)| {
        Some(AccessLogging { sink: Arc::clone(mesh.sinks.get(&name)?), filter: told.filter.cloned() })
    };
    Some(told.filter_map(logging).collect())
}

/// What was said last of one who is told.
#[derive(Default)]
struct Told<'t> {
    disabled: bool,
    filter: Option<&'t Arc<Expression>>,
}

/// Who is told where no object names anybody: without a word, the waypoint's own output.
fn defaults(mesh: &Reporting) -> Vec<String> {
    if mesh.default_logs.is_empty() { vec!["envoy".to_owned()] } else { mesh.default_logs.clone() }
}

/// The field's default share: one in a hundred.
const SAMPLING: u32 = 10_000;

fn tracing<'t>(parts: impl Iterator<Item = &'t Tracing>, mesh: &Reporting) -> Option<l7::Tracing> {
    let mut provider = mesh.default_tracing.first();
    let (mut sampling, mut by_request_id, mut report, mut propagate) = (SAMPLING, true, true, true);
    let (mut istio_tags, mut tags) = (true, Vec::new());
    for part in parts {
        provider = part.providers.first().or(provider);
        sampling = part.sampling.unwrap_or(sampling);
        by_request_id = part.by_request_id.unwrap_or(by_request_id);
        report = part.report.unwrap_or(report);
        propagate = part.propagate.unwrap_or(propagate);
        istio_tags = part.istio_tags.unwrap_or(istio_tags);
        tags = part.tags.clone().unwrap_or(tags);
    }
    let tracer = mesh.tracers.get(provider?)?;
    Some(l7::Tracing {
        collector: Arc::clone(&tracer.collector),
        contexts: tracer.contexts,
        sampling,
        by_request_id,
        report,
        propagate,
        tags,
        istio_tags,
        max_url_length: tracer.max_url_length,
        short_ids: tracer.short_ids,
    })
}

/// The narrowest level that names any providers decides whether anybody is told; changes count where those they are for
/// ask for metrics.
fn metrics<'t>(levels: impl Iterator<Item = &'t [Metrics]> + Clone, mesh: &Reporting) -> MetricChanges {
    let mut changes = MetricChanges::new();
    let is_scraped =
        |providers: &[String]| providers.is_empty() || providers.iter().any(|name| mesh.scraped.contains(name));
    let mut before = &mesh.default_metrics;
    for part in levels.clone().flatten() {
        if !part.providers.is_empty() {
            before = &part.providers;
        }
        for overriding in part.overrides.iter().filter(|_| is_scraped(before)) {
            for metric in &overriding.of {
                let change: &mut MetricChange = changes.entry(*metric).or_default();
                change.disabled = overriding.disabled.unwrap_or(change.disabled);
                change.labels.extend(overriding.labels.iter().cloned());
            }
        }
    }
    let named = |level: &[Metrics]| level.iter().flat_map(|part| part.providers.clone()).collect::<Vec<_>>();
    let narrowest = levels.map(named).filter(|names| !names.is_empty()).last();
    if !is_scraped(&narrowest.unwrap_or_else(|| mesh.default_metrics.clone())) {
        let off = || MetricChange { disabled: true, ..MetricChange::default() };
        changes.extend(ReportedMetric::ALL.map(|metric| (metric, off())));
    }
    changes.retain(|_, change| *change != MetricChange::default());
    changes
}
