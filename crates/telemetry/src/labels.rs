//! The labels of a traffic series, in the order users' dashboards know them.

use std::sync::Arc;

use ambit_model::Identity;
use prometheus_client::encoding::{EncodeLabel, EncodeLabelSet, LabelSetEncoder};

use crate::ResponseFlags;
use crate::flow::{Direction, Flow, Party, SecurityPolicy};

/// The value of `response_flags` where nothing went wrong.
pub(crate) const NO_FLAG: &str = "-";

/// What a missing value reads.
const UNKNOWN: &str = "unknown";

/// One series' labels. Owned values and nothing else: many pods of one Deployment share a series.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct TrafficLabels {
    flow: FlowLabels,
    flag: &'static str,
}

/// The labels of a series of connections, whatever somebody changed in them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::large_enum_variant, reason = "the small one is rare, and a box costs every connection")]
pub(crate) enum TrafficSeriesLabels {
    /// As they are.
    Own(TrafficLabels),
    /// All of them, in order.
    Changed(Labels),
}

/// Labels and their values.
type Labels = Vec<(Arc<str>, String)>;

/// The labels of one series of requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct RequestLabels {
    flow: FlowLabels,
    outcome: RequestOutcome,
}

/// What is changed in the labels of a request or a connection, in one metric.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelChanges {
    /// Whether it is not counted there.
    pub disabled: bool,
    /// Labels with other values, or none.
    pub labels: Vec<(Arc<str>, Option<String>)>,
}

/// The labels of a series, whatever somebody changed in them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::large_enum_variant, reason = "the small one is rare, and a box costs every request")]
pub(crate) enum SeriesLabels {
    /// As they are.
    Own(RequestLabels),
    /// All of them, in order.
    Changed(Labels),
}

impl SeriesLabels {
    /// The labels with changes in them. Where that changes nothing they are the same series.
    pub(crate) fn changed(own: &RequestLabels, changes: &LabelChanges) -> Self {
        changes.apply(|tell| own.each(tell)).map_or_else(|| Self::Own(own.clone()), Self::Changed)
    }
}

impl LabelChanges {
    /// All labels with changes in them; nothing where that changes nothing.
    fn apply(&self, each: impl FnOnce(&mut Tell<'_>)) -> Option<Labels> {
        let mut before = Labels::new();
        each(&mut |name, value| before.push((Arc::from(name), value.to_owned())));
        let mut labels = before.clone();
        for (name, value) in &self.labels {
            match (value, labels.iter().position(|(known, _)| known == name)) {
                (Some(value), Some(at)) => labels.splice(at..=at, [(Arc::clone(name), value.clone())]).for_each(drop),
                (Some(value), None) => labels.push((Arc::clone(name), value.clone())),
                (None, Some(at)) => drop(labels.remove(at)),
                (None, None) => {}
            }
        }
        (labels != before).then_some(labels)
    }
}

/// How a request ended, as far as metrics tell requests apart by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RequestOutcome {
    /// `http` or `grpc`.
    pub(crate) protocol: &'static str,
    /// The status; 0 where the client left before there was one.
    pub(crate) status: u16,
    /// gRPC's own status.
    pub(crate) grpc_status: Option<u16>,
    /// What went wrong.
    pub(crate) flags: ResponseFlags,
}

impl RequestOutcome {
    pub(crate) fn is_grpc(&self) -> bool {
        self.protocol == "grpc"
    }
}

/// Who talks to whom.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct FlowLabels {
    direction: Direction,
    source: PartyLabels,
    destination: PartyLabels,
    service: Option<ServiceLabels>,
    security: SecurityPolicy,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct PartyLabels {
    workload: Option<WorkloadLabels>,
    identity: Option<Identity>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct WorkloadLabels {
    name: Arc<str>,
    canonical_name: Arc<str>,
    canonical_revision: Arc<str>,
    namespace: Arc<str>,
    cluster: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ServiceLabels {
    hostname: Arc<str>,
    namespace: Arc<str>,
    name: Arc<str>,
}

impl FlowLabels {
    fn new(flow: &Flow) -> Self {
        Self {
            direction: flow.direction,
            source: PartyLabels::new(&flow.source),
            destination: PartyLabels::new(&flow.destination),
            service: flow.service.as_ref().map(|service| ServiceLabels {
                hostname: service.key.hostname.clone(),
                namespace: service.key.namespace.clone(),
                name: service.name.clone(),
            }),
            security: flow.security,
        }
    }

    fn each(&self, tell: &mut Tell<'_>) {
        tell("reporter", self.direction.reporter());
        self.source.tell("source", tell);
        let service = self.service.as_ref();
        tell("destination_service", said(service.map(|service| &*service.hostname)));
        tell("destination_service_namespace", said(service.map(|service| &*service.namespace)));
        tell("destination_service_name", said(service.map(|service| &*service.name)));
        self.destination.tell("destination", tell);
    }
}

impl TrafficLabels {
    pub(crate) fn new(flow: &Flow, flag: &'static str) -> Self {
        Self { flow: FlowLabels::new(flow), flag }
    }

    /// The labels with changes in them. Where that changes nothing they are the same series.
    pub(crate) fn changed(self, changes: &LabelChanges) -> TrafficSeriesLabels {
        let changed = changes.apply(|tell| self.each(tell));
        changed.map_or_else(|| TrafficSeriesLabels::Own(self), TrafficSeriesLabels::Changed)
    }

    fn each(&self, tell: &mut Tell<'_>) {
        self.flow.each(tell);
        tell("request_protocol", "tcp");
        tell("response_flags", self.flag);
        tell("connection_security_policy", self.flow.security.word());
    }
}

impl TrafficSeriesLabels {
    /// What the series is flagged with. Changed labels may have the flag no more, and so none is known of them.
    pub(crate) fn flag(&self) -> &'static str {
        match self {
            Self::Own(labels) => labels.flag,
            Self::Changed(_) => NO_FLAG,
        }
    }

    pub(crate) fn is_changed(&self) -> bool {
        matches!(self, Self::Changed(_))
    }
}

impl PartyLabels {
    fn new(party: &Party) -> Self {
        let workload = party.workload.as_ref().map(|workload| WorkloadLabels {
            name: workload.workload_name().into(),
            canonical_name: workload.canonical_name.clone(),
            canonical_revision: workload.canonical_revision.clone(),
            namespace: workload.namespace.clone(),
            cluster: workload.cluster.clone(),
        });
        Self { workload, identity: party.identity.clone() }
    }

    /// The suffixes and values of one end's labels. `app` and `version` repeat the canonical pair.
    fn each(&self) -> [(&'static str, Option<&str>); 7] {
        let of = |field: fn(&WorkloadLabels) -> &Arc<str>| self.workload.as_ref().map(|labels| &**field(labels));
        [
            ("workload", of(|labels| &labels.name)),
            ("canonical_service", of(|labels| &labels.canonical_name)),
            ("canonical_revision", of(|labels| &labels.canonical_revision)),
            ("workload_namespace", of(|labels| &labels.namespace)),
            ("app", of(|labels| &labels.canonical_name)),
            ("version", of(|labels| &labels.canonical_revision)),
            ("cluster", of(|labels| &labels.cluster)),
        ]
    }

    fn tell(&self, side: &str, tell: &mut Tell<'_>) {
        for (suffix, value) in self.each() {
            if suffix == "app" {
                let principal = self.identity.as_ref().map(Identity::to_string);
                tell(&format!("{side}_principal"), said(principal.as_deref()));
            }
            tell(&format!("{side}_{suffix}"), said(value));
        }
    }
}

impl RequestLabels {
    pub(crate) fn new(flow: &Flow, outcome: RequestOutcome) -> Self {
        Self { flow: FlowLabels::new(flow), outcome }
    }

    fn each(&self, tell: &mut Tell<'_>) {
        self.flow.each(tell);
        let RequestOutcome { protocol, status, grpc_status, flags } = self.outcome;
        tell("request_protocol", protocol);
        tell("response_code", &status.to_string());
        // Empty, not unknown, where the request is none of gRPC.
        tell("grpc_response_status", &grpc_status.map(|status| status.to_string()).unwrap_or_default());
        tell("response_flags", &flags.to_string());
        tell("connection_security_policy", self.flow.security.word());
    }
}

impl EncodeLabelSet for TrafficSeriesLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> std::fmt::Result {
        encode(encoder, |tell| match self {
            Self::Own(labels) => labels.each(tell),
            Self::Changed(labels) => labels.iter().for_each(|(name, value)| tell(name, value)),
        })
    }
}

impl EncodeLabelSet for SeriesLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> std::fmt::Result {
        encode(encoder, |tell| match self {
            Self::Own(labels) => labels.each(tell),
            Self::Changed(labels) => labels.iter().for_each(|(name, value)| tell(name, value)),
        })
    }
}

/// Is told a label's name and value.
type Tell<'a> = dyn FnMut(&str, &str) + 'a;

fn encode(encoder: &mut LabelSetEncoder<'_>, each: impl FnOnce(&mut Tell<'_>)) -> std::fmt::Result {
    let mut result = Ok(());
    each(&mut |name, value| {
        if result.is_ok() {
            result = (name, value).encode(encoder.encode_label());
        }
    });
    result
}

fn said(value: Option<&str>) -> &str {
    value.filter(|value| !value.is_empty()).unwrap_or(UNKNOWN)
}
