//! What is in force, at one moment: the mesh, and what this waypoint does with its traffic.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use ambit_l7::{HttpAuthorization, HttpTable, L7Config, RequestView, ServiceRules, TrafficPolicy};
use ambit_model::{DEFAULT_TRUST_DOMAIN, GatewayAddress, GatewayDestination, Identity, Service, ServiceKey, Workload};
use ambit_state::{Snapshot, takes_tunnels};
use smallvec::{SmallVec, smallvec};

use crate::connection::{Asked, Connection};
use crate::plan::Destination;
use crate::policy::{self, Look};
use crate::rate_limit::{HeldBuckets, Limit};

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
    buckets: HeldBuckets,
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
    /// Policies as they are for connections of TLS that is passed through.
    pub(crate) for_tls: Vec<Arc<HttpAuthorization>>,
    /// Policies as they are for all other connections that are no HTTP.
    pub(crate) for_tcp: Vec<Arc<HttpAuthorization>>,
    /// How many requests there may be.
    pub(crate) limits: Box<[Limit]>,
}

/// Rules that have a say about something, and the port by which their service knows it.
#[derive(Debug, Clone)]
pub(crate) struct Governing {
    /// The rules.
    pub(crate) rules: Arc<Compiled>,
    /// The service's port; the workload's own for rules of no service.
    pub(crate) port: u16,
}

impl Governing {
    /// A request as these rules see it.
    pub(crate) fn seen<'a>(&self, mut request: RequestView<'a>) -> RequestView<'a> {
        request.connection.port = self.port;
        request
    }
}

impl Compiled {
    fn new(rules: &Arc<ServiceRules>, limits: Box<[Limit]>) -> Self {
        Self {
            rules: Arc::clone(rules),
            http: HttpTable::new(&rules.http),
            for_tls: policy::for_connections(&rules.authorization, Look::Tls),
            for_tcp: policy::for_connections(&rules.authorization, Look::Nothing),
            limits,
        }
    }
}

impl InForce {
    /// Nothing at all, for a waypoint of this service.
    pub(crate) fn nothing(service: ServiceKey) -> Self {
        let identity = Identity::new(DEFAULT_TRUST_DOMAIN, Arc::clone(&service.namespace), "default");
        let config = Arc::<L7Config>::default();
        let default = Arc::new(Compiled::new(&config.default, Box::default()));
        let own = Own { service, identity, workload: None };
        Self {
            snapshot: Arc::default(),
            config,
            own,
            services: HashMap::new(),
            default,
            buckets: HeldBuckets::default(),
        }
    }

    /// What comes after this. Rules that did not change are not made ready again.
    pub(crate) fn next(&self, snapshot: Arc<Snapshot>, config: Arc<L7Config>, own: Own) -> Self {
        let mut buckets = HeldBuckets::default();
        let mut compiled = |before: Option<&Arc<Compiled>>, rules: &Arc<ServiceRules>| match before {
            Some(before) if Arc::ptr_eq(&before.rules, rules) => {
                buckets.keep(&before.limits);
                Arc::clone(before)
            }
            Some(_) | None => Arc::new(Compiled::new(rules, buckets.ready(&self.buckets, rules))),
        };
        let services = config.services.iter();
        let services = services.map(|(key, rules)| (key.clone(), compiled(self.services.get(key), rules))).collect();
        let default = compiled(Some(&self.default), &config.default);
        Self { snapshot, config, own, services, default, buckets }
    }

    /// What is in force for a service, or for workloads asked for by their own address.
    pub(crate) fn rules(&self, service: Option<&ServiceKey>) -> &Arc<Compiled> {
        service.and_then(|service| self.services.get(service)).unwrap_or(&self.default)
    }

    /// Everybody's rules that have a say about a connection: those of what was asked for, and for a workload those of
    /// its services that are bound to this waypoint, or its own address would be a way round them.
    pub(crate) fn governing(&self, connection: &Connection) -> SmallVec<[Governing; 1]> {
        let port = connection.target.port();
        let mut all = smallvec![Governing { rules: Arc::clone(self.rules(connection.to.service())), port }];
        let Asked::Workload { workload, .. } = &connection.to else { return all };
        let services = self.snapshot.workload(workload).map(|workload| workload.services.iter());
        for (key, mappings) in services.into_iter().flatten().filter(|(key, _)| self.is_served(key)) {
            let leading = mappings.iter().filter(|mapping| mapping.target_port == port);
            let ports = leading.map(|mapping| mapping.service_port);
            all.extend(ports.map(|port| Governing { rules: Arc::clone(self.rules(Some(key))), port }));
        }
        all
    }

    /// The rules of the service that something is led to, where it is not the one asked for and is bound to this
    /// waypoint as well: its pods let the waypoint in without a question, so it is asked here.
    pub(crate) fn led_to(&self, connection: &Connection, destination: &Destination) -> Option<Governing> {
        let Destination::Service { service, port, .. } = destination else { return None };
        let is_other = connection.to.service() != Some(&service.key) && self.is_served(&service.key);
        is_other.then(|| Governing { rules: Arc::clone(self.rules(Some(&service.key))), port: *port })
    }

    /// The service that is at the address of another's endpoint, where it would not be asked: one that the address is
    /// an alias for, or one bound to this waypoint whose pod is there and lets the waypoint in without a question.
    pub(crate) fn passed_over(
        &self,
        service: &ServiceKey,
        endpoint: &Workload,
        address: SocketAddr,
    ) -> Option<&ServiceKey> {
        let snapshot = &self.snapshot;
        let holder = snapshot.workload_by_ip(address.ip()).filter(|holder| takes_tunnels(holder));
        let Some(holder) = holder else { return snapshot.aliased(service, endpoint, address.ip()) };
        if holder.uid == endpoint.uid {
            return None;
        }
        let mut others = holder.services.iter().filter(|(key, mappings)| {
            *key != service && mappings.iter().any(|mapping| mapping.target_port == address.port())
        });
        others.find(|(key, _)| self.is_served(key)).map(|(key, _)| key)
    }

    /// Whether what was asked for is still there, and bound to this waypoint.
    pub(crate) fn serves(&self, to: &Asked) -> bool {
        match to {
            Asked::Service { service, .. } => self.is_served(service),
            Asked::Workload { workload, .. } => {
                let workload = self.snapshot.workload(workload);
                workload.is_some_and(|workload| self.is_bound(workload.waypoint.as_ref()))
            }
        }
    }

    fn is_served(&self, service: &ServiceKey) -> bool {
        self.snapshot.service(service).is_some_and(|service| self.stands_before(service))
    }

    /// Whether this is the waypoint of a service, or the canary of that.
    pub(crate) fn stands_before(&self, service: &Service) -> bool {
        service.waypoints().any(|waypoint| self.is_bound(Some(waypoint)))
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
