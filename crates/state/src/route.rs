//! Where a connection goes: which endpoints, and whether through a tunnel. Pure: the same snapshot,
//! source, destination and random numbers give the same route.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ambit_model::{
    CloseReason, GatewayAddress, HBONE_PORT, HealthPolicy, Identity, LoadBalancingMode, OriginalDst, Service,
    ServiceKey, TunnelTarget, Workload,
};
use rand::Rng;
use smallvec::{SmallVec, smallvec};

use crate::choose::{CANDIDATES, Chosen, Pool, fill};
use crate::endpoints::on_node;
use crate::waypoint::Behind;
use crate::{Snapshot, takes_tunnels};

/// Where a connection goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The service it was addressed to, if it was to one.
    pub service: Option<Arc<Service>>,
    /// To be tried in this order. Never empty; all distinct.
    pub candidates: SmallVec<[Candidate; CANDIDATES]>,
}

/// One way to serve the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The workload it leads to.
    pub workload: Arc<Workload>,
    /// The address and port the connection is for.
    pub target: TunnelTarget,
    /// How it travels.
    pub via: Via,
}

/// How a connection travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Via {
    /// Through a tunnel.
    Tunnel {
        /// Where the tunnel ends.
        peer: SocketAddr,
        /// Who may be there: the peer's certificate must show one of these.
        expected: SmallVec<[Identity; 1]>,
    },
    /// As plain TCP to the target.
    Plain,
}

/// Why there is no route.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// The mesh does not know the address. The kernel captured the connection as the mesh's, so it is not
    /// let go in plaintext to whoever has the address now.
    #[error("{destination} is no address of the mesh")]
    UnknownDestination {
        /// The address asked for.
        destination: SocketAddr,
    },
    /// The waypoint it is behind has no endpoint that may be chosen.
    #[error("waypoint {waypoint} of {destination} has no ready endpoint")]
    WaypointUnavailable {
        /// The waypoint.
        waypoint: GatewayAddress,
        /// The address asked for.
        destination: SocketAddr,
    },
    /// The service does not have this port.
    #[error("service {service} has no port {port}")]
    NoSuchPort {
        /// The service.
        service: ServiceKey,
        /// The port asked for.
        port: u16,
    },
    /// The service is for other namespaces. To let the connection go past the mesh would reach it in plaintext.
    #[error("service {service} is not exported to namespace {namespace}")]
    NotExported {
        /// The service.
        service: ServiceKey,
        /// Where the connection comes from.
        namespace: Arc<str>,
    },
    /// Nothing was found for the host name by which the service's endpoints are known.
    #[error("service {service}: no address is known of {host}: {}", if *.is_looked_up { "there is no such name" } else { "nobody could look it up" })]
    NoSuchName {
        /// The service.
        service: ServiceKey,
        /// The name.
        host: Arc<str>,
        /// Whether a name server answered.
        is_looked_up: bool,
    },
    /// The service's endpoint is a service's virtual address: see [`Snapshot::aliased`].
    #[error("service {service} leads to {address}, an address of service {owner}")]
    Aliased {
        /// The service.
        service: ServiceKey,
        /// Its endpoint's address.
        address: IpAddr,
        /// Whose it is.
        owner: ServiceKey,
    },
    /// No endpoint of the service may be chosen: none is healthy, or on this node where the service wants
    /// that, or serves the port.
    #[error("service {service} has no healthy endpoint for port {port}")]
    NoHealthyUpstream {
        /// The service.
        service: ServiceKey,
        /// The port asked for.
        port: u16,
    },
}

impl From<RouteError> for CloseReason {
    fn from(error: RouteError) -> Self {
        match error {
            RouteError::UnknownDestination { destination } => Self::UnknownDestination { destination },
            RouteError::WaypointUnavailable { waypoint, destination } => {
                Self::WaypointUnavailable { waypoint: waypoint.to_string(), destination }
            }
            RouteError::NoSuchPort { service, port } => Self::NoSuchPort { service: service.to_string(), port },
            RouteError::NotExported { service, namespace } => {
                Self::NotExported { service: service.to_string(), namespace: namespace.to_string() }
            }
            RouteError::NoSuchName { service, host, is_looked_up } => {
                Self::NoSuchName { service: service.to_string(), host: host.to_string(), is_looked_up }
            }
            RouteError::Aliased { service, address, owner } => {
                Self::Aliased { service: service.to_string(), address, owner: owner.to_string() }
            }
            RouteError::NoHealthyUpstream { service, port } => {
                Self::NoHealthyUpstream { service: service.to_string(), port }
            }
        }
    }
}

impl Snapshot {
    /// The route of a connection from `source` to `dst`: of the service that has the address, else to the
    /// workload that has it; through the waypoint where that is behind one. A source may be routed to itself.
    ///
    /// # Errors
    /// Where the address is of a service that cannot serve the connection, or of nobody, and where the waypoint
    /// is not there.
    pub fn route(&self, source: &Workload, dst: OriginalDst, rng: &mut impl Rng) -> Result<Route, RouteError> {
        if let Some(service) = self.service_seen_from(&source.namespace, dst.ip()) {
            return self.route_service(source, service, dst, rng);
        }
        let unknown = RouteError::UnknownDestination { destination: dst.socket() };
        let workload = self.workload_by_ip(dst.ip()).ok_or(unknown)?;
        let behind = Behind::of_workload(workload).filter(|it| !self.is_member(workload, it.waypoint));
        if let Some(behind) = behind
            && let Some(candidates) = self.through(source, behind, dst, rng)?
        {
            return Ok(Route { service: None, candidates });
        }
        Ok(Route { service: None, candidates: smallvec![candidate(workload, dst.socket(), &[])] })
    }

    fn route_service(
        &self,
        source: &Workload,
        service: &Arc<Service>,
        dst: OriginalDst,
        rng: &mut impl Rng,
    ) -> Result<Route, RouteError> {
        if !service.is_exported_to(&source.namespace) {
            let (service, namespace) = (service.key.clone(), Arc::clone(&source.namespace));
            return Err(RouteError::NotExported { service, namespace });
        }
        if !service.ports.iter().any(|port| port.port == dst.port()) {
            return Err(RouteError::NoSuchPort { service: service.key.clone(), port: dst.port() });
        }
        if let Some(behind) = Behind::of_service(service)
            && let Some(candidates) = self.through(source, behind, dst, rng)?
        {
            return Ok(Route { service: Some(Arc::clone(service)), candidates });
        }
        let mut candidates = SmallVec::new();
        for endpoint in self.choose(source, service, dst, rng) {
            if let Some(address) =
                address(endpoint, dst.ip(), any_family(endpoint)).zip(target_port(endpoint, service, dst.port()))
            {
                let workload = self.tunnelled(endpoint, address.0);
                candidates.push(candidate(workload, address.into(), &service.subject_alt_names));
            }
        }
        if candidates.is_empty() {
            let unavailable = || RouteError::NoHealthyUpstream { service: service.key.clone(), port: dst.port() };
            let misnamed = self.unnamed(&service.key).or_else(|| self.alias(&service.key, dst.ip()));
            return Err(misnamed.unwrap_or_else(unavailable));
        }
        Ok(Route { service: Some(Arc::clone(service)), candidates })
    }

    /// What is wrong with the host name of an endpoint that has no address.
    fn unnamed(&self, service: &ServiceKey) -> Option<RouteError> {
        let (host, is_looked_up) = self.nameless(service)?;
        Some(RouteError::NoSuchName { service: service.clone(), host: Arc::clone(host), is_looked_up })
    }

    /// What is wrong with an endpoint that is an alias.
    fn alias(&self, service: &ServiceKey, asked: IpAddr) -> Option<RouteError> {
        self.endpoints(service).iter().find_map(|endpoint| {
            let address = address(endpoint, asked, any_family(endpoint))?;
            let owner = self.aliased(service, endpoint, address)?;
            Some(RouteError::Aliased { service: service.clone(), address, owner: owner.clone() })
        })
    }

    /// A host name of a service's endpoints for which there is no address, and whether a name server said so.
    #[must_use]
    pub fn nameless(&self, service: &ServiceKey) -> Option<(&Arc<str>, bool)> {
        let mut unfound = self.endpoints(service).iter().filter(|endpoint| endpoint.addresses.is_empty());
        let host = unfound.find_map(|endpoint| endpoint.hostname.as_ref())?;
        Some((host, self.names.find(host).is_some()))
    }

    /// An endpoint, or, where it is an entry without tunnel beside the pod whose address it names, that pod:
    /// another's entry is no way round the tunnel.
    fn tunnelled<'a>(&'a self, endpoint: &'a Arc<Workload>, address: IpAddr) -> &'a Arc<Workload> {
        let holder = self.workload_by_ip(address).filter(|holder| takes_tunnels(holder));
        holder.filter(|_| !takes_tunnels(endpoint)).unwrap_or(endpoint)
    }

    fn choose<'a>(&'a self, source: &Workload, service: &Service, dst: OriginalDst, rng: &mut impl Rng) -> Chosen<'a> {
        let is_alias = |endpoint: &Workload| {
            let address = address(endpoint, dst.ip(), any_family(endpoint));
            address.is_some_and(|address| self.aliased(&service.key, endpoint, address).is_some())
        };
        let usable = |endpoint: &Workload| {
            (endpoint.healthy || service.health_policy == HealthPolicy::AllowAll)
                && target_port(endpoint, service, dst.port()).is_some()
                && !is_alias(endpoint)
        };
        let load_balancing = service.load_balancing;
        let wanted = Wanted { source, load_balancing, asked: dst.ip(), any_family: false };
        let weighted = self.endpoints.are_weighted(&service.key);
        wanted.choose(Pool { endpoints: self.endpoints(&service.key), weighted }, usable, rng)
    }
}

/// Which endpoints go before others.
pub(crate) struct Wanted<'a> {
    /// The client: what is near is near to it.
    pub(crate) source: &'a Workload,
    pub(crate) load_balancing: LoadBalancingMode,
    /// What the client asked for.
    pub(crate) asked: IpAddr,
    /// Whether there is a tunnel to every endpoint, of which the client sees no address.
    pub(crate) any_family: bool,
}

impl Wanted<'_> {
    /// Endpoints near to the client come first where the service prefers them, and within that those with an
    /// address of the family the client asked for.
    pub(crate) fn choose<'a>(
        &self,
        all: Pool<'a>,
        usable: impl Fn(&Workload) -> bool,
        rng: &mut impl Rng,
    ) -> Chosen<'a> {
        let on_node = || Pool { endpoints: on_node(all.endpoints, &self.source.node), ..all };
        let levels: SmallVec<[(Pool<'_>, Within); 4]> = match self.load_balancing {
            LoadBalancingMode::Unspecified => smallvec![(all, Within::Anywhere)],
            LoadBalancingMode::StrictNode => smallvec![(on_node(), Within::Anywhere)],
            LoadBalancingMode::PreferNode => smallvec![
                (on_node(), Within::Anywhere),
                (all, Within::Zone),
                (all, Within::Region),
                (all, Within::Anywhere)
            ],
            LoadBalancingMode::PreferZone => {
                smallvec![(all, Within::Zone), (all, Within::Region), (all, Within::Anywhere)]
            }
            LoadBalancingMode::Passthrough => smallvec![],
        };
        let reached =
            |endpoint: &Workload| address(endpoint, self.asked, self.any_family || any_family(endpoint)).is_some();
        let mut chosen = Chosen::new();
        for (pool, within) in levels {
            let near = |endpoint: &Workload| usable(endpoint) && within.holds(self.source, endpoint);
            fill(&mut chosen, pool, |endpoint| near(endpoint) && in_family(endpoint, self.asked).is_some(), rng);
            fill(&mut chosen, pool, |endpoint| near(endpoint) && reached(endpoint), rng);
        }
        chosen
    }
}

/// How near an endpoint is to be.
#[derive(Clone, Copy)]
enum Within {
    Zone,
    Region,
    Anywhere,
}

impl Within {
    fn holds(self, source: &Workload, endpoint: &Workload) -> bool {
        let both = || source.locality.as_deref().zip(endpoint.locality.as_deref());
        match self {
            Self::Zone => both().is_some_and(|(source, endpoint)| source.is_same_zone(endpoint)),
            Self::Region => both().is_some_and(|(source, endpoint)| source.is_same_region(endpoint)),
            Self::Anywhere => true,
        }
    }
}

fn target_port(endpoint: &Workload, service: &Service, port: u16) -> Option<u16> {
    let ports = endpoint.services.get(&service.key)?;
    ports.iter().find(|mapping| mapping.service_port == port).map(|mapping| mapping.target_port)
}

/// The endpoint's address for a client that asked for `asked`: of the same family, or of the other where that may
/// be.
pub(crate) fn address(endpoint: &Workload, asked: IpAddr, any_family: bool) -> Option<IpAddr> {
    in_family(endpoint, asked).or_else(|| endpoint.addresses.first().copied().filter(|_| any_family))
}

/// Whether an endpoint will do for clients of the other family: a tunnel hides the difference from the application,
/// and of a host name nobody said of which family its addresses are.
fn any_family(endpoint: &Workload) -> bool {
    takes_tunnels(endpoint) || endpoint.hostname.is_some()
}

fn in_family(endpoint: &Workload, asked: IpAddr) -> Option<IpAddr> {
    endpoint.addresses.iter().copied().find(|address| address.is_ipv4() == asked.is_ipv4())
}

fn candidate(workload: &Arc<Workload>, target: SocketAddr, subject_alt_names: &[Arc<str>]) -> Candidate {
    let via = if takes_tunnels(workload) {
        let mut expected = smallvec![workload.identity.clone()];
        // A name that is no identity admits nobody.
        expected.extend(subject_alt_names.iter().filter_map(|name| name.parse().ok()));
        Via::Tunnel { peer: SocketAddr::new(target.ip(), HBONE_PORT), expected }
    } else {
        Via::Plain
    };
    Candidate { workload: Arc::clone(workload), target: TunnelTarget::new(target), via }
}

#[cfg(test)]
mod tests;
