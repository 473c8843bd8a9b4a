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

/// The labels of one series of requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct RequestLabels {
    flow: FlowLabels,
    outcome: RequestOutcome,
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

    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> std::fmt::Result {
        encode_label(encoder, "reporter", Some(self.direction.reporter()))?;
        self.source.encode("source", encoder)?;
        let service = self.service.as_ref();
        encode_label(encoder, "destination_service", service.map(|service| &*service.hostname))?;
        encode_label(encoder, "destination_service_namespace", service.map(|service| &*service.namespace))?;
        encode_label(encoder, "destination_service_name", service.map(|service| &*service.name))?;
        self.destination.encode("destination", encoder)
    }
}

impl TrafficLabels {
    pub(crate) fn new(flow: &Flow, flag: &'static str) -> Self {
        Self { flow: FlowLabels::new(flow), flag }
    }

    pub(crate) fn flag(&self) -> &'static str {
        self.flag
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

    fn encode(&self, side: &str, encoder: &mut LabelSetEncoder<'_>) -> std::fmt::Result {
        for (suffix, value) in self.each() {
            if suffix == "app" {
                let principal = self.identity.as_ref().map(Identity::to_string);
                encode_label(encoder, &format!("{side}_principal"), principal.as_deref())?;
            }
            encode_label(encoder, &format!("{side}_{suffix}"), value)?;
        }
        Ok(())
    }
}

impl RequestLabels {
    pub(crate) fn new(flow: &Flow, outcome: RequestOutcome) -> Self {
        Self { flow: FlowLabels::new(flow), outcome }
    }

    pub(crate) fn is_grpc(&self) -> bool {
        self.outcome.protocol == "grpc"
    }
}

impl EncodeLabelSet for TrafficLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> std::fmt::Result {
        self.flow.encode(encoder)?;
        encode_label(encoder, "request_protocol", Some("tcp"))?;
        encode_label(encoder, "response_flags", Some(self.flag))?;
        encode_label(encoder, "connection_security_policy", Some(self.flow.security.word()))
    }
}

impl EncodeLabelSet for RequestLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> std::fmt::Result {
        self.flow.encode(encoder)?;
        let RequestOutcome { protocol, status, grpc_status, flags } = self.outcome;
        encode_label(encoder, "request_protocol", Some(protocol))?;
        encode_label(encoder, "response_code", Some(&status.to_string()))?;
        // Empty, not unknown, where the request is none of gRPC.
        let grpc_status = grpc_status.map(|status| status.to_string()).unwrap_or_default();
        ("grpc_response_status", grpc_status.as_str()).encode(encoder.encode_label())?;
        encode_label(encoder, "response_flags", Some(&flags.to_string()))?;
        encode_label(encoder, "connection_security_policy", Some(self.flow.security.word()))
    }
}

fn encode_label(encoder: &mut LabelSetEncoder<'_>, name: &str, value: Option<&str>) -> std::fmt::Result {
    let value = value.filter(|value| !value.is_empty()).unwrap_or(UNKNOWN);
    (name, value).encode(encoder.encode_label())
}
