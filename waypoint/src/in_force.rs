//! What is in force, at one moment: the mesh, and what this waypoint does with its traffic.

use std::collections::HashMap;
use std::sync::Arc;

use ambit_l7::{HttpAuthorization, HttpTable, L7Config, ServiceRules, TrafficPolicy};
use ambit_model::{DEFAULT_TRUST_DOMAIN, GatewayAddress, GatewayDestination, Identity, ServiceKey, Workload};
use ambit_state::Snapshot;

use crate::policy;

/// What is in force, at one moment. Immutable. Load once for each decision: two loads may differ.
#[derive(Debug)]
pub(crate) struct InForce {
    /// The mesh.
    pub(crate) snapshot: Arc<Snapshot>,
    /// The rules of services, and how their endpoints are used.
    pub(crate) config: Arc<L7Config>,
    /// This waypoint itself.
    pub(crate) own: Own,
    services: HashMap<ServiceKey, Arc<Compiled>>,
    default: Arc<Compiled>,
}

/// Who this waypoint is.
#[derive(Debug, Clone)]
pub(crate) struct Own {
    /// The service whose endpoint it is: what is bound to it names this one.
    pub(crate) service: ServiceKey,
    /// Whom its certificate names.
    pub(crate) identity: Identity,
    /// Its own workload, where the mesh knows it.
    pub(crate) workload: Option<Arc<Workload>>,
}

/// A service's rules, ready for use.
#[derive(Debug)]
pub(crate) struct Compiled {
    /// As they were given.
    pub(crate) rules: Arc<ServiceRules>,
    /// Those for requests.
    pub(crate) http: HttpTable,
    /// Policies as they are for connections that are no HTTP.
    pub(crate) for_connections: Vec<Arc<HttpAuthorization>>,
}

impl Compiled {
    fn new(rules: &Arc<ServiceRules>) -> Self {
        Self {
            rules: Arc::clone(rules),
            http: HttpTable::new(&rules.http),
            for_connections: policy::for_connections(&rules.authorization),
        }
    }
}

impl InForce {
    /// Nothing at all, for a waypoint of this service.
    pub(crate) fn nothing(service: ServiceKey) -> Self {
        let identity = Identity::new(DEFAULT_TRUST_DOMAIN, Arc::clone(&service.namespace), "default");
        let config = Arc::<L7Config>::default();
        let default = Arc::new(Compiled::new(&config.default));
        let own = Own { service, identity, workload: None };
        Self { snapshot: Arc::default(), config, own, services: HashMap::new(), default }
    }

    /// What comes after this. Rules that did not change are not made ready again.
    pub(crate) fn next(&self, snapshot: Arc<Snapshot>, config: Arc<L7Config>, own: Own) -> Self {
        let compiled = |before: Option<&Arc<Compiled>>, rules: &Arc<ServiceRules>| match before {
            Some(before) if Arc::ptr_eq(&before.rules, rules) => Arc::clone(before),
            Some(_) | None => Arc::new(Compiled::new(rules)),
        };
        let services = config.services.iter();
        let services = services.map(|(key, rules)| (key.clone(), compiled(self.services.get(key), rules))).collect();
        let default = compiled(Some(&self.default), &config.default);
        Self { snapshot, config, own, services, default }
    }

    /// What is in force for a service, or for workloads asked for by their own address.
    pub(crate) fn rules(&self, service: Option<&ServiceKey>) -> &Arc<Compiled> {
        service.and_then(|service| self.services.get(service)).unwrap_or(&self.default)
    }

    /// How a service's endpoints are used.
    pub(crate) fn traffic(&self, service: &ServiceKey, port: u16, subset: Option<&str>) -> Arc<TrafficPolicy> {
        self.config.traffic(service).map(|traffic| Arc::clone(traffic.policy(port, subset))).unwrap_or_default()
    }

    /// Whether this is the waypoint that something is bound to.
    pub(crate) fn is_bound(&self, waypoint: Option<&Arc<GatewayAddress>>) -> bool {
        match waypoint.map(|waypoint| &waypoint.destination) {
            Some(GatewayDestination::Hostname(service)) => *service == self.own.service,
            Some(GatewayDestination::Address(address)) => {
                let service = self.snapshot.service(&self.own.service);
                service.is_some_and(|service| service.addresses.contains(address))
                    || self.own.workload.as_ref().is_some_and(|workload| workload.addresses.contains(address))
            }
            None => false,
        }
    }
}
