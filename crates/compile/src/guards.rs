//! Nobody goes round a waypoint: where rules of requests are in force, which only a waypoint can apply, the
//! workloads deny everybody but the waypoint.
//!
//! The node agents know no such thing as a request. They are given DENY policies on all peers but the waypoint,
//! for the ports of a service or for a workload as a whole, and the workloads list those that are theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;
use std::sync::Arc;

use ambit_model::{
    Action, Authorization, Clause, GatewayKey, HealthPolicy, Identity, Match, PolicyKey, PortMapping, Rule, Scope,
    ServiceKey, StringMatch, WaypointFailure, WorkloadUid,
};
use ambit_resources::{ObjectId, TargetRef, gateway_api};

use crate::frontends::Frontends;
use crate::shared::Shared;
use crate::waypoints::{Waypoints, own_service};

/// What a policy for waypoints is attached to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// By namespace and name.
    Service(Arc<str>, Arc<str>),
    /// By namespace and name.
    ServiceEntry(Arc<str>, Arc<str>),
    Gateway(GatewayKey),
    /// A class of Gateways; only policies of the root namespace are for all of it. In the order of all targets,
    /// classes are the last.
    Class(Arc<str>),
}

/// What the policies of an object in a namespace are attached to.
pub(crate) fn targets(
    namespace: &Arc<str>,
    one: Option<&TargetRef>,
    all: &[TargetRef],
    shared: &mut Shared,
) -> Arc<[Target]> {
    let in_root = *namespace == shared.options.root_namespace;
    let target = |it: &TargetRef| {
        let (namespace, name) = (Arc::clone(namespace), Arc::from(it.name.as_str()));
        match (it.group.as_str(), it.kind.as_str()) {
            ("" | "core", "Service") => Some(Target::Service(namespace, name)),
            ("networking.istio.io", "ServiceEntry") => Some(Target::ServiceEntry(namespace, name)),
            (gateway_api::GROUP, "Gateway") => Some(Target::Gateway(GatewayKey { namespace, name })),
            (gateway_api::GROUP, "GatewayClass") if in_root => Some(Target::Class(name)),
            _ => None,
        }
    };
    one.into_iter().chain(all).filter_map(target).collect()
}

/// What is behind a waypoint, and the waypoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Behind {
    pub(crate) waypoint: GatewayKey,
    /// The waypoint that takes some connections in its place.
    pub(crate) canary: Option<GatewayKey>,
    pub(crate) failure: WaypointFailure,
}

impl Behind {
    fn waypoints(&self) -> impl Iterator<Item = &GatewayKey> {
        iter::once(&self.waypoint).chain(&self.canary)
    }
}

/// A policy that workloads list.
#[derive(Debug)]
struct Guard {
    what: What,
    users: usize,
    policy: Option<Arc<Authorization>>,
}

/// What nobody reaches but by the waypoint.
#[derive(Debug, Clone)]
enum What {
    /// These ports of workloads of a service.
    Ports(ServiceKey, Box<[u16]>),
    /// Workloads.
    All(Behind),
}

/// Who is to be reached by waypoints only.
#[derive(Debug, Default)]
pub(crate) struct Guards {
    /// Policies for waypoints, by what they are attached to.
    attached: BTreeMap<Target, BTreeSet<ObjectId>>,
    services: BTreeMap<ServiceKey, Behind>,
    used: BTreeMap<PolicyKey, Guard>,
    /// The policies of each workload that lists some.
    lists: BTreeMap<WorkloadUid, Box<[PolicyKey]>>,
    /// Policies that must be made anew.
    stale: BTreeSet<PolicyKey>,
}

impl Guards {
    /// A policy for waypoints comes, or goes.
    pub(crate) fn attach(&mut self, target: &Target, policy: &ObjectId, comes: bool) {
        let policies = self.attached.entry(target.clone()).or_default();
        if comes {
            policies.insert(policy.clone());
        } else {
            policies.remove(policy);
        }
        if policies.is_empty() {
            self.attached.remove(target);
        }
    }

    /// Whether some policy is attached to one of these.
    pub(crate) fn is_attached(&self, targets: impl IntoIterator<Item = Target>) -> bool {
        targets.into_iter().any(|target| self.attached.contains_key(&target))
    }

    /// Whether all policies attached to one of these are attached to one of those, too.
    pub(crate) fn are_attached_too(&self, to: &[Target], too: &[Target]) -> bool {
        let attached = |targets: &[Target]| -> BTreeSet<_> {
            targets.iter().filter_map(|target| self.attached.get(target)).flatten().cloned().collect()
        };
        attached(to).is_subset(&attached(too))
    }

    /// Whether some policy is attached to a class, whichever.
    pub(crate) fn is_any_class_attached(&self) -> bool {
        matches!(self.attached.last_key_value(), Some((Target::Class(_), _)))
    }

    /// A service is to be reached by its waypoint only, or by everybody. Hands back whether this is new.
    pub(crate) fn guard(&mut self, service: &ServiceKey, behind: Option<Behind>) -> bool {
        let before = match behind.clone() {
            Some(behind) => self.services.insert(service.clone(), behind),
            None => self.services.remove(service),
        };
        if before == behind {
            return false;
        }
        let prefix = name_of_service(service, "");
        let first = PolicyKey { namespace: Arc::clone(&service.namespace), name: prefix.as_str().into() };
        let own = self.used.range(first..).map(|(key, _)| key);
        let own = own.take_while(|key| key.namespace == service.namespace && key.name.starts_with(&*prefix));
        self.stale.extend(own.cloned());
        true
    }

    /// What is known of a waypoint has changed.
    pub(crate) fn outdate(&mut self, waypoint: &GatewayKey) {
        let is_behind = |behind: &Behind| behind.waypoints().any(|it| it == waypoint);
        let its = |guard: &Guard| self.behind(&guard.what).is_some_and(is_behind);
        let its: Vec<_> = self.used.iter().filter(|(_, guard)| its(guard)).map(|(key, _)| key.clone()).collect();
        self.stale.extend(its);
    }

    fn behind<'a>(&'a self, what: &'a What) -> Option<&'a Behind> {
        match what {
            What::Ports(service, _) => self.services.get(service),
            What::All(behind) => Some(behind),
        }
    }

    /// The policies a workload lists by reason of its services, and of the waypoint it is behind itself.
    pub(crate) fn list<'a>(
        &mut self,
        uid: &WorkloadUid,
        services: impl Iterator<Item = (&'a ServiceKey, &'a [PortMapping])>,
        own: Option<Behind>,
    ) -> Box<[PolicyKey]> {
        let mut wanted = BTreeMap::new();
        for (service, ports) in services.filter(|(service, _)| self.services.contains_key(service)) {
            let ports: BTreeSet<u16> = ports.iter().map(|port| port.target_port).collect();
            let words: Vec<_> = ports.iter().map(ToString::to_string).collect();
            let key = PolicyKey {
                namespace: Arc::clone(&service.namespace),
                name: name_of_service(service, &words.join("-")).into(),
            };
            wanted.insert(key, What::Ports(service.clone(), ports.into_iter().collect()));
        }
        if let Some(behind) = own {
            let open = if behind.failure == WaypointFailure::Open { "_open" } else { "" };
            let name = format!("{}gateway_{}{open}", PolicyKey::WAYPOINT_PREFIX, behind.waypoint.name).into();
            wanted.insert(PolicyKey { namespace: Arc::clone(&behind.waypoint.namespace), name }, What::All(behind));
        }
        let keys: Box<[PolicyKey]> = wanted.keys().cloned().collect();
        self.relist(uid, wanted);
        keys
    }

    /// A workload lists nothing any more.
    pub(crate) fn forget(&mut self, uid: &WorkloadUid) {
        self.relist(uid, BTreeMap::new());
    }

    fn relist(&mut self, uid: &WorkloadUid, wanted: BTreeMap<PolicyKey, What>) {
        let before = self.lists.remove(uid).unwrap_or_default();
        if !wanted.is_empty() {
            self.lists.insert(uid.clone(), wanted.keys().cloned().collect());
        }
        for key in before.iter().filter(|key| !wanted.contains_key(*key)) {
            if let Some(guard) = self.used.get_mut(key) {
                guard.users = guard.users.saturating_sub(1);
                if guard.users == 0 {
                    self.stale.insert(key.clone());
                }
            }
        }
        for (key, what) in wanted.into_iter().filter(|(key, _)| !before.contains(key)) {
            let guard = self.used.entry(key.clone()).or_insert(Guard { what, users: 0, policy: None });
            guard.users += 1;
            if guard.users == 1 {
                self.stale.insert(key);
            }
        }
    }

    pub(crate) fn take_stale(&mut self) -> BTreeSet<PolicyKey> {
        std::mem::take(&mut self.stale)
    }

    /// Makes a policy anew, or lets it go where nobody lists it.
    pub(crate) fn compile(
        &mut self,
        key: &PolicyKey,
        waypoints: &Waypoints,
        frontends: &Frontends,
        shared: &mut Shared,
    ) {
        let Some(guard) = self.used.get(key) else { return };
        if guard.users == 0 {
            self.used.remove(key);
            return;
        }
        let policy = self.behind(&guard.what).map(|behind| {
            let mut is_ready = |waypoint: &GatewayKey| {
                let own = frontends.find(&own_service(waypoint, shared));
                let health = own.map_or(HealthPolicy::default(), |(_, frontend)| frontend.service.health_policy);
                waypoints.is_ready(waypoint, health, shared)
            };
            // Clients do as much.
            let passes = behind.failure == WaypointFailure::Open && !behind.waypoints().any(&mut is_ready);
            let identities = behind.waypoints().flat_map(|it| waypoints.identities(it, shared)).collect();
            deny_others(key, &guard.what, Some(identities).filter(|_| !passes))
        });
        if let Some(guard) = self.used.get_mut(key)
            && guard.policy.as_deref() != policy.as_ref()
        {
            guard.policy = policy.map(Arc::new);
        }
    }

    /// A policy that some workload lists.
    pub(crate) fn policy(&self, key: &PolicyKey) -> Option<&Arc<Authorization>> {
        self.used.get(key)?.policy.as_ref()
    }

    /// The policies that some workload lists.
    pub(crate) fn policies(&self) -> impl Iterator<Item = &Arc<Authorization>> {
        self.used.values().filter_map(|guard| guard.policy.as_ref())
    }
}

/// Underscores are in no name and no host, so that no two services have one of these together.
fn name_of_service(service: &ServiceKey, ports: &str) -> String {
    format!("{}service_{}_{ports}", PolicyKey::WAYPOINT_PREFIX, service.hostname)
}

/// A policy that denies everybody but the waypoint; nobody while the waypoint is not there, if that is to let
/// traffic pass.
fn deny_others(key: &PolicyKey, what: &What, but: Option<BTreeSet<Identity>>) -> Authorization {
    let others = |but: BTreeSet<Identity>| Match {
        not_principals: but.iter().map(|it| StringMatch::Exact(it.principal().into())).collect(),
        destination_ports: match what {
            What::Ports(_, ports) => ports.to_vec(),
            What::All(_) => Vec::new(),
        },
        ..Match::default()
    };
    let rule = |but| Rule { clauses: vec![Clause { matches: vec![others(but)] }] };
    let rules = but.map(rule).into_iter().collect();
    let (scope, action) = (Scope::WorkloadSelector, Action::Deny);
    Authorization { key: key.clone(), scope, action, rules, dry_run: false }
}
