//! Open connections, so that each can be judged again when policy, identity or enrolment changes, and
//! cut if it would be denied now. One list a worker; nothing is shared.
//!
//! No change is missed: a connection registers and is judged in one go without awaiting, and the list
//! is judged again, on the same thread, after every publication. A snapshot published meanwhile is
//! therefore either the one the connection was judged by, or one whose round it takes part in.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use ambit_model::{DenyReason, Identity, Workload, WorkloadUid};
use ambit_policy::{Decision, Facts, Permit, Rehearsal, decide, rehearse};
use ambit_state::Snapshot;
use tokio::sync::Notify;

/// What a connection is judged by, kept for as long as it is open.
#[derive(Debug, Clone)]
pub(crate) enum Subject {
    /// A connection into a pod of this node.
    Inbound(Inbound),
    /// A connection out of a pod of this node, in a tunnel of this identity.
    Outbound {
        /// The pod.
        pod: WorkloadUid,
        /// The cookie of its network namespace.
        netns: u64,
        /// Who the tunnel says it is.
        identity: Identity,
    },
}

/// A connection into a pod of this node.
#[derive(Debug, Clone)]
pub(crate) struct Inbound {
    /// The pod.
    pub(crate) pod: WorkloadUid,
    /// The cookie of its network namespace.
    pub(crate) netns: u64,
    /// Who connects; `None` for plaintext.
    pub(crate) peer: Option<Identity>,
    /// From where.
    pub(crate) peer_ip: IpAddr,
    /// On whose behalf, where the peer is a waypoint that may say so. Boxed: most connections have no such thing.
    pub(crate) vouched: Option<Box<Vouched>>,
    /// Where in the pod.
    pub(crate) destination: SocketAddr,
}

/// What a waypoint says of a client.
#[derive(Debug, Clone)]
pub(crate) struct Vouched {
    /// Who it is.
    pub(crate) client: Identity,
    /// Its address.
    pub(crate) ip: IpAddr,
}

impl Inbound {
    /// What policy is asked about. A waypoint's word counts for as long as the workload, or a service that leads to
    /// the port, is behind that waypoint; after that the connection is the waypoint's own.
    fn facts(&self, snapshot: &Snapshot, workload: &Workload) -> Facts<'_> {
        let peer = self.peer.as_ref();
        let vouched = self.vouched.as_deref();
        let port = self.destination.port();
        let vouched = vouched.filter(|_| peer.is_some_and(|peer| snapshot.may_vouch(peer, workload, port)));
        Facts {
            source: vouched.map(|vouched| &vouched.client).or(peer),
            peer,
            source_ip: vouched.map_or(self.peer_ip, |vouched| vouched.ip),
            destination_ip: self.destination.ip(),
            destination_port: port,
        }
    }
}

impl Subject {
    /// What dry-run policies would make of the connection; `None` where there are none.
    pub(crate) fn rehearse(&self, snapshot: &Snapshot) -> Option<Rehearsal> {
        let Self::Inbound(inbound) = self else { return None };
        let workload = snapshot.workload(&inbound.pod)?;
        rehearse(snapshot.policies_for(workload), &inbound.facts(snapshot, workload))
    }

    fn netns(&self) -> u64 {
        match self {
            Self::Inbound(Inbound { netns, .. }) | Self::Outbound { netns, .. } => *netns,
        }
    }

    /// Judges the connection. An inbound connection is judged by policy; an outbound one, whose policy
    /// is judged at its destination, must still be of a pod with the identity that its tunnel shows.
    pub(crate) fn judge(&self, snapshot: &Snapshot) -> Result<Option<Permit>, DenyReason> {
        match self {
            Self::Inbound(inbound) => {
                let workload = known(snapshot, &inbound.pod)?;
                match decide(snapshot.policies_for(workload), &inbound.facts(snapshot, workload)) {
                    Decision::Allow(permit) => Ok(Some(permit)),
                    Decision::Deny(reason) => Err(reason),
                }
            }
            Self::Outbound { pod, identity, .. } => {
                let workload = known(snapshot, pod)?;
                if workload.identity == *identity { Ok(None) } else { Err(DenyReason::IdentityChanged) }
            }
        }
    }
}

/// Whether the workload says that it takes tunnels does not count: others are told so only once it is
/// captured. A pod that leaves the mesh takes its connections with it when it is let go
/// ([`OpenConnections::cut_pod`]).
fn known<'a>(snapshot: &'a Snapshot, pod: &WorkloadUid) -> Result<&'a Workload, DenyReason> {
    snapshot.workload(pod).map(|workload| &**workload).ok_or(DenyReason::Unenrolled)
}

/// The open connections of one worker.
#[derive(Debug, Default)]
pub(crate) struct OpenConnections {
    next: Cell<u64>,
    open: RefCell<HashMap<u64, Rc<Open>>>,
}

#[derive(Debug)]
struct Open {
    subject: Subject,
    verdict: RefCell<Option<DenyReason>>,
    cut: Notify,
}

/// A connection's place in the list; it leaves the list when this is dropped.
#[derive(Debug)]
pub(crate) struct Registered {
    list: Rc<OpenConnections>,
    key: u64,
    open: Rc<Open>,
}

impl OpenConnections {
    /// Puts a connection on the list. The caller judges it next, before it awaits anything.
    pub(crate) fn register(self: &Rc<Self>, subject: Subject) -> Registered {
        let key = self.next.get();
        self.next.set(key + 1);
        let open = Rc::new(Open { subject, verdict: RefCell::new(None), cut: Notify::new() });
        self.open.borrow_mut().insert(key, Rc::clone(&open));
        Registered { list: Rc::clone(self), key, open }
    }

    /// Judges all by `snapshot` and cuts those it denies. Returns how many.
    pub(crate) fn judge_again(&self, snapshot: &Snapshot) -> usize {
        self.cut_where(|subject| subject.judge(snapshot).err())
    }

    /// Cuts all of a pod, by the cookie of its network namespace. Returns how many.
    pub(crate) fn cut_pod(&self, netns: u64) -> usize {
        self.cut_where(|subject| (subject.netns() == netns).then_some(DenyReason::Unenrolled))
    }

    fn cut_where(&self, verdict: impl Fn(&Subject) -> Option<DenyReason>) -> usize {
        let mut cut = 0;
        for open in self.open.borrow().values() {
            if open.verdict.borrow().is_some() {
                continue;
            }
            if let Some(reason) = verdict(&open.subject) {
                *open.verdict.borrow_mut() = Some(reason);
                open.cut.notify_one();
                cut += 1;
            }
        }
        cut
    }
}

impl Registered {
    /// What the connection is judged by.
    pub(crate) fn subject(&self) -> &Subject {
        &self.open.subject
    }

    /// Judges the connection by `snapshot`.
    pub(crate) fn judge(&self, snapshot: &Snapshot) -> Result<Option<Permit>, DenyReason> {
        self.open.subject.judge(snapshot)
    }

    /// Waits until the connection must end, and says why.
    pub(crate) async fn cut(&self) -> DenyReason {
        loop {
            if let Some(reason) = self.open.verdict.borrow().clone() {
                return reason;
            }
            self.open.cut.notified().await;
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.list.open.borrow_mut().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ambit_model::{Action, Authorization, PolicyKey, Scope};

    use super::*;
    use crate::cluster::fixtures::workload;

    fn deny_all() -> Authorization {
        Authorization {
            key: PolicyKey { namespace: "istio-system".into(), name: "deny".into() },
            scope: Scope::Global,
            action: Action::Allow,
            rules: Vec::new(),
            dry_run: false,
        }
    }

    fn subject(pod: &WorkloadUid) -> Subject {
        Subject::Inbound(Inbound {
            pod: pod.clone(),
            netns: 1,
            peer: None,
            peer_ip: "10.0.0.1".parse().unwrap(),
            vouched: None,
            destination: "10.0.0.2:80".parse().unwrap(),
        })
    }

    /// The connection of a client as a waypoint carries it, or says it does.
    fn carried(pod: &WorkloadUid, by: &str, client: &str) -> Subject {
        let identity = |name: &str| Identity::new("cluster.local", "shop", name);
        let Subject::Inbound(plain) = subject(pod) else { panic!("no connection into a pod") };
        let vouched = Some(Box::new(Vouched { client: identity(client), ip: "10.0.0.9".parse().unwrap() }));
        Subject::Inbound(Inbound { peer: Some(identity(by)), vouched, ..plain })
    }

    #[test]
    fn a_waypoints_word_counts_while_the_workload_is_behind_it() {
        use ambit_model::{Clause, GatewayAddress, Match, PortMapping, Rule, ServiceKey, StringMatch};
        let key = ServiceKey { namespace: "shop".into(), hostname: "wp.shop.svc.cluster.local".into() };
        let mut waypoint = workload("wp", &["10.0.0.3".parse().unwrap()]);
        let port = PortMapping { service_port: 15008, target_port: 15008, app_protocol: Default::default() };
        Arc::make_mut(&mut waypoint.application).services = Arc::new([(key.clone(), vec![port])].into_iter().collect());
        let mut web = workload("web", &["10.0.0.2".parse().unwrap()]);
        Arc::make_mut(&mut web.application).waypoint = Some(Arc::new(GatewayAddress::of_service(key)));
        let naming = |m: Match| Authorization {
            key: PolicyKey { namespace: "shop".into(), name: "p".into() },
            scope: Scope::Namespace,
            action: Action::Deny,
            rules: vec![Rule { clauses: vec![Clause { matches: vec![m] }] }],
            dry_run: false,
        };
        let principal = |name: &str| Match {
            principals: vec![StringMatch::Exact(format!("cluster.local/ns/shop/sa/{name}").into())],
            ..Match::default()
        };
        let from = |ip: &str| Match { source_ips: vec![ip.parse().unwrap()], ..Match::default() };
        let bound = |policy: Authorization| Snapshot::build(vec![web.clone(), waypoint.clone()], vec![], vec![policy]);
        let mut unbound = web.clone();
        Arc::make_mut(&mut unbound.application).waypoint = None;
        let freed = |policy| Snapshot::build(vec![unbound.clone(), waypoint.clone()], vec![], vec![policy]);
        for (by, denies, while_bound, after) in [
            ("wp", principal("client"), false, true),
            ("wp", principal("wp"), true, false),
            ("wp", from("10.0.0.9/32"), false, true),
            ("wp", from("10.0.0.1/32"), true, false),
            ("other", principal("client"), true, true),
            ("other", principal("other"), false, false),
        ] {
            let carried = carried(&web.uid, by, "client");
            let shown = format!("{by} {denies:?}");
            assert_eq!(carried.judge(&bound(naming(denies.clone()))).is_ok(), while_bound, "{shown}");
            assert_eq!(carried.judge(&freed(naming(denies))).is_ok(), after, "{shown}, no more behind it");
        }
    }

    #[test]
    fn a_services_waypoint_has_no_word_on_other_ports() {
        use ambit_model::{
            Clause, GatewayAddress, HealthPolicy, LoadBalancingMode, Match, PortMapping, Rule, Service, ServiceKey,
            StringMatch, WaypointFailure,
        };
        let service = |name: &str, waypoint| Service {
            key: ServiceKey { namespace: "shop".into(), hostname: format!("{name}.shop.svc.cluster.local").into() },
            name: name.into(),
            addresses: Vec::new(),
            ports: Vec::new(),
            subject_alt_names: Vec::new(),
            health_policy: HealthPolicy::default(),
            load_balancing: LoadBalancingMode::default(),
            waypoint,
            canary: None,
            waypoint_failure: WaypointFailure::default(),
            exported_to: None,
        };
        let own = service("wp", None);
        let bound = service("web", Some(Arc::new(GatewayAddress::of_service(own.key.clone()))));
        let serving = |name: &str, address: &str, key: &ServiceKey, target_port| {
            let mut workload = workload(name, &[address.parse().unwrap()]);
            let port = PortMapping { service_port: 80, target_port, app_protocol: Default::default() };
            let services = Arc::new([(key.clone(), vec![port])].into_iter().collect());
            Arc::make_mut(&mut workload.application).services = services;
            workload
        };
        let client = StringMatch::Exact("cluster.local/ns/shop/sa/client".into());
        let allow = Match { principals: vec![client], ..Match::default() };
        let policy =
            Authorization { rules: vec![Rule { clauses: vec![Clause { matches: vec![allow] }] }], ..deny_all() };
        // The connection is for port 80 of the pod.
        for (target_port, expected) in [(80, true), (8080, false)] {
            let web = serving("web", "10.0.0.2", &bound.key, target_port);
            let carried = carried(&web.uid, "wp", "client");
            let pods = vec![web, serving("wp", "10.0.0.3", &own.key, 15008)];
            let snapshot = Snapshot::build(pods, vec![bound.clone(), own.clone()], vec![policy.clone()]);
            assert_eq!(carried.judge(&snapshot).is_ok(), expected, "port 80 of the service is {target_port}");
        }
    }

    #[test]
    fn a_workload_that_is_gone_ends_its_connections() {
        let list = Rc::new(OpenConnections::default());
        let pod = WorkloadUid::pod("Kubernetes", "shop", "web");
        let registered = list.register(subject(&pod));
        assert_eq!(registered.judge(&Snapshot::default()).unwrap_err(), DenyReason::Unenrolled);
        assert_eq!(list.judge_again(&Snapshot::build(Vec::new(), Vec::new(), vec![deny_all()])), 1);
        assert_eq!(list.judge_again(&Snapshot::default()), 0, "a cut connection was judged again");
        drop(registered);
        assert!(list.open.borrow().is_empty());
    }

    #[test]
    fn of_unknown_policies_those_of_peer_authentications_deny_plaintext_and_nothing_else() {
        let key = |text: &str| {
            let (namespace, name) = text.split_once('/').unwrap();
            PolicyKey { namespace: namespace.into(), name: name.into() }
        };
        let never = |text: &str| Authorization {
            key: key(text),
            scope: Scope::WorkloadSelector,
            action: Action::Deny,
            ..deny_all()
        };
        let derived = "shop/ambit_peer_authentication_web";
        for (listed, known, plaintext) in [
            ("shop/users", None, true),
            ("istio-system/ambit_strict", None, false),
            (derived, None, false),
            (derived, Some(derived), true),
        ] {
            let mut web = workload("web", &["10.0.0.2".parse().unwrap()]);
            Arc::make_mut(&mut web.application).authorization_policies = [key(listed)].into();
            let plain = subject(&web.uid);
            let mut tunnelled = plain.clone();
            if let Subject::Inbound(Inbound { peer, .. }) = &mut tunnelled {
                *peer = Some(Identity::new("cluster.local", "shop", "client"));
            }
            let snapshot = Snapshot::build(vec![web], Vec::new(), known.map(never).into_iter().collect());
            assert_eq!(plain.judge(&snapshot).is_ok(), plaintext, "{listed} in plaintext");
            assert!(tunnelled.judge(&snapshot).is_ok(), "{listed} in a tunnel");
        }
    }

    #[test]
    fn a_namespace_that_is_let_go_ends_its_own_connections_only() {
        let list = Rc::new(OpenConnections::default());
        let _one = list.register(subject(&WorkloadUid::pod("Kubernetes", "shop", "web")));
        assert_eq!(list.cut_pod(2), 0);
        assert_eq!(list.cut_pod(1), 1);
    }
}
