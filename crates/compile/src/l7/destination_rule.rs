//! DestinationRule: how connections to a host are made.
//!
//! Of the rules for one host those count that name it most exactly, of the first of these namespaces that has
//! any: the waypoint's (it is who connects), the service's, the root namespace. Rules that are left are merged, the
//! oldest first: it is its policy that holds, and each adds the subsets that are not there yet.

mod load_balancer;
mod outliers;
mod policy;
mod pool;
mod tls;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ambit_l7::{Subset, Traffic};
use ambit_resources::DestinationRuleSpec;
use ambit_resources::destination_rule::{self, TrafficPolicy};

use super::L7Problem;
use super::at::At;
use super::credentials::{self, Named};
use super::cx::Cx;
use super::hosts::{HostPattern, is_exported, is_host};
use super::text::labels;
use policy::Layer;

/// A DestinationRule by itself.
#[derive(Debug)]
pub(crate) struct DestinationRule {
    /// The host it is about, and what else that may mean.
    pub(crate) hosts: BTreeSet<HostPattern>,
    /// The credentials it names.
    pub(crate) credentials: Vec<Named>,
    spec: DestinationRuleSpec,
    object: Arc<str>,
}

impl DestinationRule {
    /// What an object means by itself. Worth something only where there are no errors among the findings.
    pub(crate) fn prepare(spec: &DestinationRuleSpec, cx: &mut Cx<'_>) -> Self {
        let at = At::SPEC;
        if spec.host.is_empty() {
            cx.error(&at.field("host"), L7Problem::Required { what: "the host of a service" });
        } else if spec.host != "*" && !is_host(&spec.host) {
            let expected = "a host name, with or without *. before it";
            cx.error(&at.field("host"), L7Problem::Value { value: spec.host.clone(), expected });
        }
        if let Some(policy) = &spec.traffic_policy {
            policy::check(policy, &at.field("trafficPolicy"), cx);
        }
        check_subsets(&spec.subsets, &at.field("subsets"), cx);
        let hosts = HostPattern::of(&spec.host, cx.namespace(), &cx.options.cluster_domain).collect();
        let credentials = credentials::of_rule(spec, cx.options);
        Self { hosts, credentials, spec: spec.clone(), object: Arc::clone(&cx.object) }
    }

    /// Whether it is in force at a waypoint, for services of a namespace. A selector is about those who connect:
    /// the waypoint's pods.
    pub(crate) fn is_seen(&self, own: &str, service: &str, default: &[String], cx: &super::L7Options) -> bool {
        let waypoint = &*cx.waypoint.namespace;
        let selected = self.spec.workload_selector.as_ref().is_none_or(|selector| {
            let has = |(key, value): (&String, &String)| cx.labels.get(key.as_str()).is_some_and(|v| **v == **value);
            own == waypoint && selector.match_labels.iter().all(has)
        });
        selected
            && [service, waypoint].iter().any(|namespace| is_exported(&self.spec.export_to, default, own, namespace))
    }
}

fn check_subsets(subsets: &[destination_rule::Subset], at: &At<'_>, cx: &mut Cx<'_>) {
    let mut names = BTreeSet::new();
    for (i, subset) in subsets.iter().enumerate() {
        let at = at.index(i);
        if subset.name.is_empty() {
            cx.error(&at.field("name"), L7Problem::Required { what: "a name" });
        } else if !names.insert(&subset.name) {
            cx.error(&at.field("name"), L7Problem::Twice { name: subset.name.clone() });
        }
        if let Some(policy) = &subset.traffic_policy {
            policy::check(policy, &at.field("trafficPolicy"), cx);
        }
    }
}

/// What the rules for a host mean together, the oldest first.
pub(crate) fn merge(rules: &[&DestinationRule], cx: &mut Cx<'_>) -> Option<Traffic> {
    let first = rules.first()?;
    let top = rules.iter().find_map(|rule| rule.spec.traffic_policy.as_ref());
    let origin = ambit_l7::Origin { object: Arc::clone(&first.object), field: "spec".into(), name: "".into() };
    let mut traffic = Traffic { origin: Some(origin), ..compile(&[top], cx) };
    for subset in rules.iter().flat_map(|rule| &rule.spec.subsets) {
        let name: Arc<str> = subset.name.as_str().into();
        if traffic.subsets.contains_key(&name) {
            continue; // said of the younger object: see `hidden`
        }
        let Traffic { policy, ports, .. } = compile(&[top, subset.traffic_policy.as_ref()], cx);
        traffic.subsets.insert(name, Subset { labels: labels(&subset.labels), policy, ports });
    }
    Some(traffic)
}

/// What of a rule does not count beside older ones for the same host.
pub(crate) fn hidden(rule: &DestinationRule, older: &[&DestinationRule], cx: &mut Cx<'_>) {
    let at = At::SPEC;
    if rule.spec.traffic_policy.is_some()
        && let Some(winner) = older.iter().find(|older| older.spec.traffic_policy.is_some())
    {
        let winner = Arc::clone(&winner.object);
        cx.warning(&at.field("trafficPolicy"), L7Problem::OlderWins { winner });
    }
    for (i, subset) in rule.spec.subsets.iter().enumerate() {
        let has = |older: &&&DestinationRule| older.spec.subsets.iter().any(|other| other.name == subset.name);
        if let Some(winner) = older.iter().find(has) {
            let winner = Arc::clone(&winner.object);
            cx.warning(&at.field("subsets").index(i), L7Problem::OlderWins { winner });
        }
    }
}

/// Policies one over the other, the last on top, for a service as a whole and for the ports that any of them names.
fn compile(layers: &[Option<&TrafficPolicy>], cx: &mut Cx<'_>) -> Traffic {
    let layers: Vec<&TrafficPolicy> = layers.iter().copied().flatten().collect();
    let settings = layers.iter().flat_map(|layer| &layer.port_level_settings);
    let numbers: BTreeSet<u16> = settings.filter_map(|of| Some(of.port.as_ref()?.number)).collect();
    let mut at_port = |port: Option<u16>| {
        let layer = layers.iter().fold(Layer::default(), |below, policy| below.under(policy, port));
        Arc::new(layer.compile(cx))
    };
    let policy = at_port(None);
    let ports: BTreeMap<u16, _> = numbers.into_iter().map(|port| (port, at_port(Some(port)))).collect();
    Traffic { policy, ports, ..Traffic::default() }
}

#[cfg(test)]
mod tests;
