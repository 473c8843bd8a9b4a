//! Everything in force at a waypoint.

use std::collections::HashMap;
use std::sync::Arc;

use ambit_model::ServiceKey;

use crate::telemetry::Telemetry;
use crate::{
    AttachedLimit, Given, HttpAuthorization, HttpRule, JwtRule, PathNormalization, Retry, TcpRule, TlsRule, Topology,
    Traffic,
};

/// Everything in force at a waypoint, at one moment. Immutable; the next one shares with it what did not change.
#[derive(Debug, Clone, Default)]
pub struct L7Config {
    /// By service the waypoint serves.
    pub services: HashMap<ServiceKey, Arc<ServiceRules>>,
    /// By service that requests may be sent to.
    pub traffic: HashMap<ServiceKey, Arc<Traffic>>,
    /// What is in force for traffic to workloads by their own address, and services without rules.
    pub default: Arc<ServiceRules>,
    /// What is tried again where a rule says nothing of it, and where there are no rules; none: nothing.
    pub retry: Option<Arc<Retry>>,
    /// Credentials for connections to applications.
    pub credentials: Arc<Given>,
    /// How far paths of requests are normalised.
    pub path_normalization: PathNormalization,
    /// What stands before the waypoint, and what the backend is told of clients.
    pub topology: Topology,
}

/// What is in force for one service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceRules {
    /// For requests, in order. None at all: every request goes on as it is; else a request that no rule matches
    /// is answered 404.
    pub http: Vec<Arc<HttpRule>>,
    /// For TLS passed through, in order.
    pub tls: Vec<Arc<TlsRule>>,
    /// For other connections, in order.
    pub tcp: Vec<Arc<TcpRule>>,
    /// Policies, in the order in which a refusal should name them.
    pub authorization: Vec<Arc<HttpAuthorization>>,
    /// Tokens.
    pub jwt: Vec<Arc<JwtRule>>,
    /// Limits on requests, in the order in which they count.
    pub limits: Vec<AttachedLimit>,
    /// What is told of requests and connections; none: what is told without a word.
    pub telemetry: Option<Arc<Telemetry>>,
}

impl L7Config {
    /// What is in force for a service.
    #[must_use]
    pub fn rules(&self, service: &ServiceKey) -> &Arc<ServiceRules> {
        self.services.get(service).unwrap_or(&self.default)
    }

    /// How a service's endpoints are used, where somebody said so.
    #[must_use]
    pub fn traffic(&self, service: &ServiceKey) -> Option<&Arc<Traffic>> {
        self.traffic.get(service)
    }
}
