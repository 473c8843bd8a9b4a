//! The control plane's own metrics.

use std::sync::Arc;

use ambit_telemetry::Metrics;
use ambit_xds::{Counters, TypeUrl};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

use crate::authority::AuthorityGauges;
use crate::certificates::CertificateCounters;

/// What the world and its servers count, prefix `ambit_`. Clones share their values.
#[derive(Debug, Clone)]
pub(crate) struct Gauges {
    /// Objects there are, by kind.
    pub(crate) objects: Family<KindLabel, Gauge>,
    /// Users' objects that are not in force as written.
    pub(crate) config_issues: Gauge,
    /// Batches of changes compiled.
    pub(crate) batches: Counter,
    /// Changes compiled.
    pub(crate) changes: Counter,
    /// Objects looked at because of them.
    pub(crate) cost: Counter,
    /// Seconds from the arrival of a change to its being on its way to the nodes.
    pub(crate) publish_seconds: Histogram,
    /// Connections of nodes.
    pub(crate) connections: Gauge,
    /// Whether this replica leads.
    pub(crate) leader: Gauge,
    /// The authority's.
    pub(crate) authority: AuthorityGauges,
    /// The certificate service's.
    pub(crate) certificates: CertificateCounters,
}

/// The label of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct KindLabel {
    /// As users write it.
    pub(crate) kind: &'static str,
}

impl Gauges {
    /// Registers everything, discovery's counters included.
    pub(crate) fn register(metrics: &mut Metrics, discovery: Arc<Counters>) -> Self {
        metrics.registry().register_collector(Box::new(Discovery(discovery)));
        let registry = metrics.registry().sub_registry_with_prefix("ambit");
        let gauges = Self {
            objects: Family::default(),
            config_issues: Gauge::default(),
            batches: Counter::default(),
            changes: Counter::default(),
            cost: Counter::default(),
            publish_seconds: Histogram::new(exponential_buckets(0.0005, 2.0, 14)),
            connections: Gauge::default(),
            leader: Gauge::default(),
            authority: AuthorityGauges::register(registry),
            certificates: CertificateCounters::register(registry),
        };
        registry.register("objects", "Objects watched, by kind", gauges.objects.clone());
        registry.register("config_issues", "Objects that are not in force as written", gauges.config_issues.clone());
        registry.register("compile_batches", "Batches of changes compiled", gauges.batches.clone());
        registry.register("compile_changes", "Changes compiled", gauges.changes.clone());
        registry.register("compile_cost", "Objects looked at because of changes", gauges.cost.clone());
        registry.register(
            "publish_seconds",
            "Seconds from a change's arrival to its publication",
            gauges.publish_seconds.clone(),
        );
        registry.register("node_connections", "Connections of nodes", gauges.connections.clone());
        registry.register("leader", "1 where this replica writes statuses", gauges.leader.clone());
        gauges
    }

    /// The count of a kind's objects.
    pub(crate) fn objects(&self, kind: ambit_resources::Kind) -> Gauge {
        self.objects.get_or_create_owned(&KindLabel { kind: kind.word() })
    }
}

/// Discovery's counters, read when they are asked for.
#[derive(Debug)]
struct Discovery(Arc<Counters>);

impl Collector for Discovery {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let counts = self.0.snapshot();
        let streams = i64::try_from(counts.streams).unwrap_or(i64::MAX);
        encoder
            .encode_descriptor("ambit_discovery_streams", "Discovery streams open", None, MetricType::Gauge)?
            .encode_gauge(&streams)?;
        let families = [
            ("ambit_discovery_pushes", "Answers sent", 0),
            ("ambit_discovery_resources", "Resources sent", 1),
            ("ambit_discovery_removed", "Removals sent", 2),
            ("ambit_discovery_bytes", "Bytes of resources sent", 3),
            ("ambit_discovery_nacks", "Answers refused by their receivers", 4),
        ];
        for (name, help, index) in families {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (url, of) in TypeUrl::ALL.into_iter().zip(&counts.types) {
                let values = [of.pushes, of.resources, of.removed, of.bytes, of.nacks];
                let labels = [("type", word(url))];
                let metric = family.encode_family(&labels)?;
                prometheus_client::encoding::EncodeMetric::encode(
                    &ConstCounter::new(values.get(index).copied().unwrap_or_default()),
                    metric,
                )?;
            }
        }
        Ok(())
    }
}

fn word(url: TypeUrl) -> &'static str {
    url.as_str().rsplit('.').next().unwrap_or_default()
}
