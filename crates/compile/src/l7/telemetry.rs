//! Telemetry: what is told of requests, and to whom. A waypoint is a server.

mod format;
mod merge;
mod metrics;
mod provider;
mod tracing;

use std::collections::BTreeSet;
use std::sync::Arc;

use ambit_l7::telemetry::Expression;
use ambit_resources::TelemetrySpec;
use ambit_resources::telemetry::{AccessLogging, ProviderRef, TracingSelector, WorkloadMode};

use super::L7Problem;
use super::at::At;
use super::cx::Cx;
use super::targets::{Target, targets};
pub(crate) use merge::merge;
use metrics::Metrics;
pub(crate) use provider::Reporting;
use tracing::Tracing;

/// An object by itself.
#[derive(Debug)]
pub(crate) struct Telemetry {
    pub(crate) targets: BTreeSet<Target>,
    pub(crate) level: Level,
    logs: Vec<Logging>,
    tracing: Vec<Tracing>,
    metrics: Vec<Metrics>,
}

/// For what it holds. A narrower one goes before, field by field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Mesh,
    Namespace,
    Waypoint,
    Service,
}

/// A part about access logs.
#[derive(Debug)]
struct Logging {
    providers: Vec<String>,
    disabled: Option<bool>,
    filter: Option<Arc<Expression>>,
}

impl Telemetry {
    /// What an object means by itself; nothing for one that does not concern this waypoint. Worth something only where
    /// there are no errors among the findings.
    pub(crate) fn prepare(spec: &TelemetrySpec, cx: &mut Cx<'_>) -> Option<Self> {
        let at = At::SPEC;
        let place = place(spec, cx);
        let list = at.field("accessLogging");
        let logs = spec.access_logging.iter().enumerate();
        let logs = logs.filter_map(|(i, written)| logging(written, &list.index(i), cx)).collect();
        let list = at.field("tracing");
        let traces = spec.tracing.iter().enumerate();
        let tracing = traces.filter_map(|(i, written)| Tracing::prepare(written, &list.index(i), cx)).collect();
        let list = at.field("metrics");
        let metrics = spec.metrics.iter().enumerate();
        let metrics = metrics.map(|(i, written)| Metrics::prepare(written, &list.index(i), cx)).collect();
        let (level, targets) = place?;
        Some(Self { targets, level, logs, tracing, metrics })
    }

    /// Says which of its providers there are not.
    pub(crate) fn check(&self, mesh: &Reporting, cx: &mut Cx<'_>) {
        let logs = self.logs.iter().flat_map(|part| &part.providers);
        let tracing = self.tracing.iter().flat_map(|part| &part.providers);
        let metrics = self.metrics.iter().flat_map(|part| &part.providers);
        let logs = logs.filter(|name| !mesh.sinks.contains_key(*name)).map(|name| ("accessLogging", name));
        let tracing = tracing.filter(|name| !mesh.tracers.contains_key(*name)).map(|name| ("tracing", name));
        let metrics = metrics.filter(|name| !mesh.scraped.contains(*name)).map(|name| ("metrics", name));
        for (part, name) in logs.chain(tracing).chain(metrics) {
            cx.warning(&At::SPEC.field(part), L7Problem::NoReporter { name: name.clone(), part });
        }
    }
}

/// For what an object holds, and where that is known by; nothing where it is not for this waypoint.
fn place(spec: &TelemetrySpec, cx: &mut Cx<'_>) -> Option<(Level, BTreeSet<Target>)> {
    let selector = spec.selector.as_ref().filter(|selector| !selector.match_labels.is_empty());
    let own = &cx.options.waypoint.namespace;
    let all = || BTreeSet::from([Target::Waypoint]);
    if let Some(targets) = targets(spec.target_ref.as_ref(), &spec.target_refs, cx) {
        if selector.is_some() {
            cx.error(&At::SPEC.field("selector"), L7Problem::Exclusive { other: "targetRefs" });
        }
        let level = if targets.contains(&Target::Waypoint) { Level::Waypoint } else { Level::Service };
        return (!targets.is_empty()).then_some((level, targets));
    }
    let is_root = *cx.namespace() == cx.options.root_namespace;
    match selector {
        Some(selector) => {
            let labels = &cx.options.labels;
            let has = |(name, value): (&String, &String)| labels.get(name.as_str()).is_some_and(|it| **it == **value);
            let is_ours = (is_root || cx.namespace() == own) && selector.match_labels.iter().all(has);
            is_ours.then(|| (Level::Waypoint, all()))
        }
        None if is_root => Some((Level::Mesh, all())),
        None => (cx.namespace() == own).then(|| (Level::Namespace, all())),
    }
}

fn logging(written: &AccessLogging, at: &At<'_>, cx: &mut Cx<'_>) -> Option<Logging> {
    let filter = written.filter.as_ref().and_then(|filter| {
        let at = at.field("filter");
        expression(&filter.expression, &at.field("expression"), cx)
    });
    let part = Logging { providers: names(&written.providers), disabled: written.disabled, filter };
    is_for_servers(written.selector.as_ref(), at, cx).then_some(part)
}

/// An expression; nothing for a text that is none, which is said.
fn expression(text: &str, at: &At<'_>, cx: &mut Cx<'_>) -> Option<Arc<Expression>> {
    match Expression::parse(text) {
        Ok(expression) => Some(expression),
        Err(error) => {
            cx.error(at, L7Problem::Expression { detail: error.to_string() });
            None
        }
    }
}

fn names(providers: &[ProviderRef]) -> Vec<String> {
    providers.iter().map(|provider| provider.name.clone()).collect()
}

/// Whether a part is for servers, too; else that is said.
fn is_for_servers(selector: Option<&TracingSelector>, at: &At<'_>, cx: &mut Cx<'_>) -> bool {
    let is_for_clients = selector.is_some_and(|selector| selector.mode == WorkloadMode::Client);
    if is_for_clients {
        cx.warning(&at.field("match"), L7Problem::NoEffect { reason: SERVER });
    }
    !is_for_clients
}

/// Why what is for clients has no effect.
const SERVER: &str = "a waypoint is a server";

#[cfg(test)]
mod tests;
