//! The Gateways in force, who is behind them, and who they are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ambit_model::{GatewayAddress, GatewayDestination, GatewayKey, Identity, ServiceKey, Workload, WorkloadUid};
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
    /// The endpoints of the service that has a Gateway's name: who it is, and whether it is ready.
    members: BTreeMap<ServiceKey, BTreeMap<WorkloadUid, (Identity, bool)>>,
    /// Of each endpoint, the services above.
    member_of: BTreeMap<WorkloadUid, Box<[ServiceKey]>>,
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
    pub(crate) fn find(&self, key: &GatewayKey) -> Option<&Arc<Gateway>> {
        self.gateways.get(key)
    }

    /// A Gateway comes, or goes.
    pub(crate) fn change(&mut self, key: &GatewayKey, gateway: Option<&Arc<Gateway>>, shared: &mut Shared) {
        let own = own_service(key, shared);
        match gateway {
            Some(gateway) => {
                self.gateways.insert(key.clone(), Arc::clone(gateway));
                self.members.entry(own).or_default();
            }
            None => {
                self.gateways.remove(key);
                self.members.remove(&own);
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

    /// Whether some waypoint chooses namespaces by their labels.
    pub(crate) fn choose_by_labels(&self) -> bool {
        self.gateways.values().any(|gateway| matches!(gateway.admits, Admits::Those(_)))
    }

    /// Whether a service is a waypoint's own.
    pub(crate) fn is_own(&self, service: &ServiceKey) -> bool {
        self.members.contains_key(service)
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
        let gateway = self.gateways.get(key).filter(|gateway| self.is_waypoint(gateway));
        // Nobody can say what one is for that is not there; by default it is for services.
        let serves =
            |gateway: &Gateway| if purpose.workload { gateway.serves.workloads } else { gateway.serves.services };
        if !gateway.map_or(!purpose.workload || purpose.explicit, |gateway| serves(gateway)) {
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

    /// A workload is so now, or gone. Hands back the services of waypoints of which it makes another thing.
    pub(crate) fn follow(&mut self, uid: &WorkloadUid, workload: Option<&Workload>) -> Vec<ServiceKey> {
        let behind = workload.into_iter().flat_map(|workload| workload.services.keys());
        let now: Box<[ServiceKey]> = behind.filter(|key| self.is_own(key)).cloned().collect();
        let before = self.member_of.remove(uid).unwrap_or_default();
        let mut changed = Vec::new();
        for key in before.iter().filter(|key| !now.contains(key)) {
            if self.members.get_mut(key).is_some_and(|members| members.remove(uid).is_some()) {
                changed.push(key.clone());
            }
        }
        let member = workload.map(|workload| (workload.identity.clone(), workload.healthy));
        for (key, member) in now.iter().filter_map(|key| Some((key, member.as_ref()?))) {
            let members = self.members.entry(key.clone()).or_default();
            if members.get(uid) != Some(member) {
                members.insert(uid.clone(), member.clone());
                changed.push(key.clone());
            }
        }
        if !now.is_empty() {
            self.member_of.insert(uid.clone(), now);
        }
        changed
    }

    /// Who a waypoint is, each once; whoever it will be where nobody knows, so that nobody else is taken for it.
    pub(crate) fn identities(&self, key: &GatewayKey, shared: &mut Shared) -> BTreeSet<Identity> {
        let members = self.members.get(&own_service(key, shared)).into_iter().flatten();
        let known: BTreeSet<_> = members.map(|(_, (identity, _))| identity.clone()).collect();
        if known.is_empty() {
            let domain = Arc::clone(&shared.options.trust_domain);
            return [Identity::new(domain, Arc::clone(&key.namespace), Arc::clone(&key.name))].into();
        }
        known
    }

    /// Whether some endpoint of a waypoint is ready.
    pub(crate) fn is_ready(&self, key: &GatewayKey, shared: &mut Shared) -> bool {
        let members = self.members.get(&own_service(key, shared)).into_iter().flatten();
        members.into_iter().any(|(_, (_, ready))| *ready)
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
