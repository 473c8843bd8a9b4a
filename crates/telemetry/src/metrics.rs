//! The metrics registry of a process, and the metrics that are about the process itself.

use std::sync::Arc;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::process::FileDescriptors;
use crate::requests::Requests;
use crate::traffic::Traffic;

/// Everything the metrics endpoint shows.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Traffic between workloads.
    pub traffic: Arc<Traffic>,
    /// Requests between workloads, as waypoints see them.
    pub requests: Arc<Requests>,
    /// The agent itself.
    pub agent: AgentMetrics,
}

/// Metrics of the agent itself, prefix `ambit_`. Clones share their values.
#[derive(Debug, Clone, Default)]
pub struct AgentMetrics {
    /// Tunnels open, in both directions.
    pub tunnels_open: Gauge,
    /// Streams open inside of them.
    pub streams_open: Gauge,
    /// Pods enrolled.
    pub enrolled_pods: Gauge,
    /// Enrolments that failed; each is retried.
    pub enrolment_failures: Counter,
    /// Connections refused because they came past the capture.
    pub captured_without_original_destination: Counter,
    /// Users' objects that are not in force as written.
    pub config_issues: Gauge,
    /// Open connections cut because policy, identity or enrolment changed.
    pub policy_cuts: Counter,
    /// Connections that a dry-run policy would have denied.
    pub dry_run_denials: Counter,
    /// Connections whose client somebody named that is not the waypoint of their destination.
    pub client_principals_ignored: Counter,
    /// Requests that limits did not simply let pass, by policy, rule and what became of them.
    pub rate_limits: Family<[(&'static str, String); 3], Counter>,
    /// Access-log lines lost because the output was too slow, or failed.
    pub access_log_lost: Counter,
    /// Spans that no collector has got.
    pub spans_lost: Counter,
}

impl Metrics {
    /// The metrics of `component` (as `ztunnel`), built from version `tag`, traffic included.
    #[must_use]
    pub fn new(component: &'static str, tag: &'static str) -> Self {
        let mut metrics = Self::of_process(component, tag);
        metrics.registry.register_collector(Box::new(Arc::clone(&metrics.traffic)));
        metrics.registry.register_collector(Box::new(Arc::clone(&metrics.requests)));
        metrics.agent.register(metrics.registry.sub_registry_with_prefix("ambit"));
        metrics
    }

    /// Those that every process has, without traffic: it is not shown, though it may be counted.
    #[must_use]
    pub fn of_process(component: &'static str, tag: &'static str) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(FileDescriptors));
        let build = Family::<[(&'static str, &'static str); 2], Gauge>::default();
        build.get_or_create(&[("component", component), ("tag", tag)]).set(1);
        registry.register("istio_build", "Component and version of this process", build);
        Self { registry, traffic: Arc::default(), requests: Arc::default(), agent: AgentMetrics::default() }
    }

    /// For metrics beyond these. Names of our own begin with `ambit_`.
    pub fn registry(&mut self) -> &mut Registry {
        &mut self.registry
    }

    /// All of it as OpenMetrics text.
    ///
    /// # Errors
    /// Only where a collector registered by a caller fails.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut out = String::new();
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }
}

impl AgentMetrics {
    fn register(&self, registry: &mut Registry) {
        registry.register("tunnels_open", "Tunnels open", self.tunnels_open.clone());
        registry.register("streams_open", "Streams open inside of tunnels", self.streams_open.clone());
        registry.register("enrolled_pods", "Pods enrolled", self.enrolled_pods.clone());
        registry.register("enrolment_failures", "Enrolments that failed", self.enrolment_failures.clone());
        registry.register(
            "captured_without_original_destination",
            "Connections refused because they came past the capture",
            self.captured_without_original_destination.clone(),
        );
        registry.register("config_issues", "Objects that are not in force as written", self.config_issues.clone());
        registry.register("policy_cuts", "Connections cut by a change of policy", self.policy_cuts.clone());
        registry.register(
            "dry_run_denials",
            "Connections that a dry-run policy would have denied",
            self.dry_run_denials.clone(),
        );
        registry.register(
            "client_principals_ignored",
            "Connections whose client somebody else than their waypoint named",
            self.client_principals_ignored.clone(),
        );
        let limited = "Requests over a rate limit, or that nobody could count";
        registry.register("rate_limits", limited, self.rate_limits.clone());
        registry.register("access_log_lost", "Access-log lines lost", self.access_log_lost.clone());
        registry.register("spans_lost", "Spans that no collector has got", self.spans_lost.clone());
    }
}

/// The `Content-Type` of [`Metrics::encode`] for a client that sent this `Accept` header. The text
/// is the same: what OpenMetrics adds, a parser of the older format takes for comments.
#[must_use]
pub fn content_type(accept: &str) -> &'static str {
    if accept.contains("application/openmetrics-text") {
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    } else {
        "text/plain; version=0.0.4; charset=utf-8"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_exact() {
        let metrics = Metrics::new("ztunnel", "1.2.3");
        metrics.agent.policy_cuts.inc();
        metrics.agent.enrolled_pods.set(3);
        let text = metrics.encode().unwrap();
        for line in [
            "istio_build{component=\"ztunnel\",tag=\"1.2.3\"} 1",
            "ambit_tunnels_open 0",
            "ambit_streams_open 0",
            "ambit_enrolled_pods 3",
            "ambit_enrolment_failures_total 0",
            "ambit_captured_without_original_destination_total 0",
            "ambit_config_issues 0",
            "ambit_policy_cuts_total 1",
            "ambit_dry_run_denials_total 0",
            "ambit_client_principals_ignored_total 0",
            "ambit_access_log_lost_total 0",
            "# TYPE istio_tcp_connections_opened counter",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line:?} is missing in\n{text}");
        }
        for name in ["process_open_fds", "process_max_fds"] {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            assert!(value.unwrap().parse::<u64>().unwrap() > 0, "{name}");
        }
    }

    #[test]
    fn content_type_follows_accept() {
        let prometheus = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
        assert!(content_type(prometheus).starts_with("application/openmetrics-text; version=1.0.0"));
        assert!(content_type("*/*").starts_with("text/plain; version=0.0.4"));
        assert!(content_type("").starts_with("text/plain; version=0.0.4"));
    }
}
