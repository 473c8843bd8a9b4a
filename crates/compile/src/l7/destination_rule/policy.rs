//! A traffic policy, and what it inherits.

use std::collections::BTreeSet;
use std::sync::Arc;

use ambit_l7::{Nearness, ProxyProtocol, RetryBudget, TrafficPolicy};
use ambit_resources::destination_rule::{self as written, ClientTls, ConnectionPool, LoadBalancer, OutlierDetection};

use super::{load_balancer, outliers, pool, tls};
use crate::l7::L7Problem;
use crate::l7::at::At;
use crate::l7::cx::Cx;

/// The parts of a policy, each from wherever it is said.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Layer<'a> {
    load_balancer: Option<&'a LoadBalancer>,
    connection_pool: Option<&'a ConnectionPool>,
    outlier_detection: Option<&'a OutlierDetection>,
    tls: Option<&'a ClientTls>,
    tunnel: Option<&'a written::Tunnel>,
    proxy_protocol: Option<&'a written::ProxyProtocol>,
    retry_budget: Option<&'a written::RetryBudget>,
}

impl<'a> Layer<'a> {
    /// This, with a policy over it: part by part, what that says counts. What it says of a single port takes the
    /// place of all of the first four parts there: a part that the port does not have is the mesh's default, and
    /// not the service's. That is how the API is documented, and users rely on it.
    pub(super) fn under(self, policy: &'a written::TrafficPolicy, port: Option<u16>) -> Self {
        let merged = Self {
            load_balancer: policy.load_balancer.as_ref().or(self.load_balancer),
            connection_pool: policy.connection_pool.as_ref().or(self.connection_pool),
            outlier_detection: policy.outlier_detection.as_ref().or(self.outlier_detection),
            tls: policy.tls.as_ref().or(self.tls),
            tunnel: policy.tunnel.as_ref().or(self.tunnel),
            proxy_protocol: policy.proxy_protocol.as_ref().or(self.proxy_protocol),
            retry_budget: policy.retry_budget.as_ref().or(self.retry_budget),
        };
        let of_port = |of: &&written::PortTrafficPolicy| of.port.as_ref().map(|port| port.number) == port;
        let Some(of) = policy.port_level_settings.iter().find(of_port).filter(|_| port.is_some()) else {
            return merged;
        };
        Self {
            load_balancer: of.load_balancer.as_ref(),
            connection_pool: of.connection_pool.as_ref(),
            outlier_detection: of.outlier_detection.as_ref(),
            tls: of.tls.as_ref(),
            ..merged
        }
    }

    pub(super) fn compile(self, cx: &mut Cx<'_>) -> TrafficPolicy {
        self.compile_at(&At::SPEC, cx)
    }

    fn compile_at(self, at: &At<'_>, cx: &mut Cx<'_>) -> TrafficPolicy {
        let balancing = at.field("loadBalancer");
        let outliers =
            self.outlier_detection.map(|written| outliers::detection(written, &at.field("outlierDetection"), cx));
        let balancer = self.load_balancer;
        TrafficPolicy {
            load_balancing: balancer.map(|written| load_balancer::choice(written, &balancing, cx)).unwrap_or_default(),
            locality: load_balancer::locality(balancer, outliers.is_some(), &balancing, cx),
            nearness: Nearness::default(),
            warmup: balancer.and_then(|written| load_balancer::warmup(written, &balancing, cx)),
            pool: self
                .connection_pool
                .map(|written| pool::pool(written, &at.field("connectionPool"), cx))
                .unwrap_or_default(),
            outliers,
            tls: self.tls.map(|written| tls::tls(written, &at.field("tls"), cx)).unwrap_or_default(),
            proxy_protocol: self.proxy_protocol.map(|proxy| match proxy.version {
                written::ProxyProtocolVersion::V1 => ProxyProtocol::V1,
                written::ProxyProtocolVersion::V2 => ProxyProtocol::V2,
            }),
            retry_budget: self.retry_budget.map(retry_budget),
            connect_through: self.tunnel.map(|written| tunnel(written, &at.field("tunnel"), cx)),
        }
    }
}

/// Says what is wrong with a policy.
pub(super) fn check(policy: &written::TrafficPolicy, at: &At<'_>, cx: &mut Cx<'_>) {
    Layer::default().under(policy, None).compile_at(at, cx);
    let list = at.field("portLevelSettings");
    let mut numbers = BTreeSet::new();
    for (i, of) in policy.port_level_settings.iter().enumerate() {
        let at = list.index(i);
        match of.port.as_ref().map(|port| port.number) {
            None | Some(0) => cx.error(&at.field("port"), L7Problem::Required { what: "the number of a port" }),
            Some(port) if !numbers.insert(port) => {
                cx.error(&at.field("port"), L7Problem::Twice { name: port.to_string() });
            }
            Some(_) => {}
        }
        let layer = Layer {
            load_balancer: of.load_balancer.as_ref(),
            connection_pool: of.connection_pool.as_ref(),
            outlier_detection: of.outlier_detection.as_ref(),
            tls: of.tls.as_ref(),
            ..Layer::default()
        };
        layer.compile_at(&at, cx);
    }
}

fn tunnel(tunnel: &written::Tunnel, at: &At<'_>, cx: &mut Cx<'_>) -> (Arc<str>, u16) {
    let at_protocol = at.field("protocol");
    match tunnel.protocol.as_str() {
        "" | "CONNECT" => {}
        "POST" => {
            let reason = "bytes would have to travel in chunks of HTTP; CONNECT is";
            cx.error(&at_protocol, L7Problem::Unsupported { reason });
        }
        other => cx.error(&at_protocol, L7Problem::Value { value: other.to_owned(), expected: "CONNECT" }),
    }
    if tunnel.target_host.is_empty() {
        cx.error(&at.field("targetHost"), L7Problem::Required { what: "the host to be asked for" });
    }
    if tunnel.target_port == 0 {
        cx.error(&at.field("targetPort"), L7Problem::Required { what: "the port to be asked for" });
    }
    (tunnel.target_host.as_str().into(), tunnel.target_port)
}

fn retry_budget(budget: &written::RetryBudget) -> RetryBudget {
    RetryBudget {
        millionths: budget.percent.map_or(DEFAULT_BUDGET, |percent| percent.per_million()),
        minimum: budget.min_retry_concurrency.unwrap_or(DEFAULT_MIN_RETRIES),
        interval: budget.budget_interval.map(|interval| interval.0).filter(|interval| !interval.is_zero()),
    }
}

/// A fifth, in millionths: the API's default.
const DEFAULT_BUDGET: u32 = 200_000;
/// The API's default.
const DEFAULT_MIN_RETRIES: u32 = 3;
