//! The Gateways in force, who is behind them, and who they are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ambit_model::{
    GatewayAddress, GatewayDestination, GatewayKey, HealthPolicy, Identity, ServiceKey, Workload, WorkloadUid,
};
use ambit_resources::ObjectId;

use crate::Problem;
use crate::labels::Labels;
use crate::service;
use crate::shared::Shared;
use crate::waypoint::{Admits, CLASS, Gateway};

/// All Gateways, and who is behind them.
#[derive(Debug, Default)]
pub(crate) struct Waypoints {
    gateways: BTreeMap<GatewayKey, Arc<Gateway>>,
    /// The classes whose Gateways are waypoints, beside [`CLASS`].
    classes: BTreeSet<Arc<str>>,
    /// The objects that ask to be behind one, there or not.
    asking: BTreeMap<GatewayKey, BTreeSet<ObjectId>>,
    /// By the service that has a Gateway's name, whatever the Gateway's class.
    named: BTreeMap<ServiceKey, Named>,
    /// Of each endpoint, the services above.
    member_of: BTreeMap<WorkloadUid, Box<[ServiceKey]>>,
}

/// A Gateway, and the endpoints of the service of its name: who each is, and whether it is ready.
#[derive(Debug)]
struct Named {
    gateway: GatewayKey,
    members: BTreeMap<WorkloadUid, (Identity, bool)>,
}

/// What is to be behind a waypoint.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Purpose<'a> {
    pub(crate) namespace: &'a Arc<str>,
    /// The labels of its namespace, as far as they are known.
    pub(crate) labels: Option<&'a Labels>,
    /// Whether it is a workload, and not a service.
    pub(crate) workload: bool,
    /// Whether it asks for itself, and not its namespace.
    pub(crate) explicit: bool,
}

impl Waypoints {
    /// A Gateway that is there, and is a waypoint.
    pub(crate) fn known(&self, key: &GatewayKey) -> Option<&Gateway> {
        self.gateways.get(key).map(|gateway| &**gateway).filter(|gateway| self.is_waypoint(gateway))
    }

    /// A Gateway comes, or goes.
    pub(crate) fn change(&mut self, key: &GatewayKey, gateway: Option<&Arc<Gateway>>, shared: &mut Shared) {
        let own = own_service(key, shared);
        match gateway {
            Some(gateway) => {
                self.gateways.insert(key.clone(), Arc::clone(gateway));
                let gateway = key.clone();
                self.named.entry(own).or_insert_with(|| Named { gateway, members: BTreeMap::new() });
            }
            None => {
                self.gateways.remove(key);
                self.named.remove(&own);
            }
        }
    }

    /// A class of waypoints comes, or goes. Hands back its Gateways.
    pub(crate) fn change_class(&mut self, name: &Arc<str>, comes: bool) -> Vec<GatewayKey> {
        if comes {
            self.classes.insert(Arc::clone(name));
        } else {
            self.classes.remove(name);
        }
        self.of_class(name)
    }

    /// The Gateways of a class.
    pub(crate) fn of_class(&self, name: &str) -> Vec<GatewayKey> {
        self.gateways.iter().filter(|(_, gateway)| *gateway.class == *name).map(|(key, _)| key.clone()).collect()
    }

    /// An object begins to ask for a waypoint, or ceases to.
    pub(crate) fn ask(&mut self, key: &GatewayKey, object: &ObjectId, begins: bool) {
        let asking = self.asking.entry(key.clone()).or_default();
        if begins {
            asking.insert(object.clone());
        } else {
            asking.remove(object);
        }
        if asking.is_empty() {
            self.asking.remove(key);
        }
    }

    /// The objects that ask for a waypoint.
    pub(crate) fn asking(&self, key: &GatewayKey) -> impl Iterator<Item = &ObjectId> {
        self.asking.get(key).into_iter().flatten()
    }

    /// The objects of a namespace that ask for some waypoint themselves.
    pub(crate) fn asking_in(&self, namespace: &str) -> impl Iterator<Item = &ObjectId> {
        self.asking.values().flatten().filter(move |object| *object.namespace == *namespace)
    }

    /// What is asked for and no waypoint, or not there.
    pub(crate) fn asked_in_vain(&self) -> Vec<GatewayKey> {
        self.asking.keys().filter(|key| self.known(key).is_none()).cloned().collect()
    }

    /// Whether some waypoint chooses namespaces by their labels.
    pub(crate) fn choose_by_labels(&self) -> bool {
        self.gateways.values().any(|gateway| matches!(gateway.admits, Admits::Those(_)))
    }

    /// The Gateway that has a service's name.
    pub(crate) fn named_like(&self, service: &ServiceKey) -> Option<&GatewayKey> {
        self.named.get(service).map(|named| &named.gateway)
    }

    /// Whether a service is a waypoint's own, and so is not to be behind the waypoint that is asked for: it is that
    /// one, or only the namespace asks. Gateways that are no waypoints have services like all others.
    pub(crate) fn is_exempt(&self, service: &ServiceKey, asked: &GatewayKey, explicit: bool) -> bool {
        let own = self.named_like(service).filter(|gateway| self.known(gateway).is_some());
        own.is_some_and(|gateway| !explicit || gateway == asked)
    }

    /// Where the tunnels of what asks for a waypoint end; nothing where the waypoint is not for its like. What may
    /// not have the waypoint, or asks for one that is none, is behind it all the same, at a place that nobody has:
    /// to let its traffic pass would be to pass over the rules it was to have.
    pub(crate) fn address(
        &self,
        key: &GatewayKey,
        purpose: Purpose<'_>,
        shared: &mut Shared,
    ) -> Option<Arc<GatewayAddress>> {
        // Nobody can say what one is for that is not there; by default it is for services.
        let serves =
            |gateway: &Gateway| if purpose.workload { gateway.serves.workloads } else { gateway.serves.services };
        if !self.known(key).map_or(!purpose.workload || purpose.explicit, serves) {
            return None;
        }
        let address = match self.judge(key, purpose) {
            Ok(gateway) => GatewayAddress {
                destination: GatewayDestination::Hostname(own_service(key, shared)),
                hbone_port: gateway.port,
            },
            Err(Problem::WaypointNotAllowed { .. }) => nowhere(key, "not-allowed"),
            Err(_) => nowhere(key, "no-waypoint"),
        };
        Some(shared.gateways.share(address))
    }

    /// The waypoint that is asked for, if it is there and may be had.
    pub(crate) fn judge(&self, key: &GatewayKey, purpose: Purpose<'_>) -> Result<&Gateway, Problem> {
        let waypoint = key.clone();
        let Some(gateway) = self.gateways.get(key) else { return Err(Problem::WaypointMissing { waypoint }) };
        if !self.is_waypoint(gateway) {
            return Err(Problem::NotAWaypoint { waypoint, class: Arc::clone(&gateway.class) });
        }
        let admitted = match &gateway.admits {
            Admits::None => false,
            Admits::Same => *purpose.namespace == key.namespace,
            Admits::All => true,
            Admits::Those(selector) => purpose.labels.is_some_and(|labels| selector.selects(labels)),
        };
        if admitted { Ok(gateway) } else { Err(Problem::WaypointNotAllowed { waypoint }) }
    }

    fn is_waypoint(&self, gateway: &Gateway) -> bool {
        *gateway.class == *CLASS || self.classes.contains(&gateway.class)
    }

    /// A workload is so now, or gone. Hands back the Gateways of which it makes another thing.
    pub(crate) fn follow(&mut self, uid: &WorkloadUid, workload: Option<&Workload>) -> Vec<GatewayKey> {
        let behind = workload.into_iter().flat_map(|workload| workload.services.keys());
        let now: Box<[ServiceKey]> = behind.filter(|key| self.named.contains_key(*key)).cloned().collect();
        let before = self.member_of.remove(uid).unwrap_or_default();
        let mut changed = Vec::new();
        for key in before.iter().filter(|key| !now.contains(key)) {
            if let Some(named) = self.named.get_mut(key)
                && named.members.remove(uid).is_some()
            {
                changed.push(named.gateway.clone());
            }
        }
        let member = workload.map(|workload| (workload.identity.clone(), workload.healthy));
        for (key, member) in now.iter().filter_map(|key| Some((key, member.as_ref()?))) {
            if let Some(named) = self.named.get_mut(key)
                && named.members.get(uid) != Some(member)
            {
                named.members.insert(uid.clone(), member.clone());
                changed.push(named.gateway.clone());
            }
        }
        if !now.is_empty() {
            self.member_of.insert(uid.clone(), now);
        }
        changed
    }

    /// The endpoints of a waypoint.
    fn members(&self, key: &GatewayKey, shared: &mut Shared) -> impl Iterator<Item = &(Identity, bool)> {
        let named = self.known(key).and_then(|_| self.named.get(&own_service(key, shared)));
        named.into_iter().flat_map(|named| named.members.values())
    }

    /// Who a waypoint is, each once; whoever it will be where nobody knows, so that nobody else is taken for it.
    pub(crate) fn identities(&self, key: &GatewayKey, shared: &mut Shared) -> BTreeSet<Identity> {
        let known: BTreeSet<_> = self.members(key, shared).map(|(identity, _)| identity.clone()).collect();
        if known.is_empty() {
            let domain = Arc::clone(&shared.options.trust_domain);
            return [Identity::new(domain, Arc::clone(&key.namespace), Arc::clone(&key.name))].into();
        }
        known
    }

    /// Whether clients choose some endpoint of a waypoint, whose service says which they may.
    pub(crate) fn is_ready(&self, key: &GatewayKey, health: HealthPolicy, shared: &mut Shared) -> bool {
        self.members(key, shared).any(|(_, ready)| *ready || health == HealthPolicy::AllowAll)
    }
}

/// The service that stands for a Gateway: that of its name.
pub(crate) fn own_service(key: &GatewayKey, shared: &mut Shared) -> ServiceKey {
    service::key(&key.namespace, &key.name, shared)
}

/// A place that nobody has, below a name that nobody can have (RFC 2606), and that says what is amiss.
fn nowhere(key: &GatewayKey, why: &str) -> GatewayAddress {
    GatewayAddress::of_service(ServiceKey {
        namespace: Arc::clone(&key.namespace),
        hostname: format!("{}.{}.{why}.invalid", key.name, key.namespace).into(),
    })
}
