use std::collections::BTreeSet;

use ambit_model::{Scope, TunnelProtocol};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::fixtures::{governed, pod, policy, policy_key, service, service_key, serving};

const NAMES: [&str; 3] = ["a", "b", "c"];
const NODES: [&str; 2] = ["n1", "n2"];
const ADDRESSES: [&str; 4] = ["10.0.0.1", "10.0.0.2", "10.0.0.1 10.0.0.2 fd00::1", ""];
const SCOPES: [Scope; 3] = [Scope::Global, Scope::Namespace, Scope::WorkloadSelector];

fn workload_strategy() -> impl Strategy<Value = Workload> {
    let name = || select(&NAMES[..]);
    let flags = (any::<bool>(), any::<bool>(), prop::bool::weighted(0.2));
    (name(), select(&NODES[..]), select(&ADDRESSES[..]), prop::option::of(name()), flags).prop_map(
        |(name, node, addresses, of, (healthy, enrolled, host_network))| {
            let pod = pod(name, node, addresses);
            let pod = if let Some(of) = of { serving(pod, of) } else { pod };
            let tunnel_protocol = if enrolled { TunnelProtocol::Hbone } else { TunnelProtocol::None };
            Workload { healthy, host_network, tunnel_protocol, ..governed(pod, &["shop/a"]) }
        },
    )
}

fn update_strategy() -> impl Strategy<Value = Update> {
    let name = || select(&NAMES[..]);
    prop_oneof![
        6 => workload_strategy().prop_map(|workload| Update::Workload(Arc::new(workload))),
        2 => name().prop_map(|name| Update::RemoveWorkload(pod(name, "", "").uid)),
        3 => (name(), select(&ADDRESSES[..])).prop_map(|(name, at)| Update::Service(Arc::new(service(name, at)))),
        1 => name().prop_map(|name| Update::RemoveService(service_key(name))),
        3 => (name(), select(&SCOPES[..]))
            .prop_map(|(name, scope)| Update::Policy(Arc::new(policy(&format!("shop/{name}"), scope)))),
        1 => name().prop_map(|name| Update::RemovePolicy(policy_key(&format!("shop/{name}")))),
    ]
}

/// Everything a snapshot can be asked, as text.
fn answers(snapshot: &Snapshot) -> String {
    let mut text = snapshot.dump().to_string();
    for address in ["10.0.0.1", "10.0.0.2", "fd00::1", "10.0.0.3"] {
        let ip = address.parse().unwrap();
        let workload = snapshot.workload_by_ip(ip).map(|workload| &workload.uid);
        let service = snapshot.service_by_vip(ip).map(|service| &service.key);
        text += &format!("\n{address}: {workload:?} {service:?} {}", snapshot.is_mesh_destination(ip));
    }
    for name in NAMES {
        let endpoints: Vec<_> = snapshot.endpoints(&service_key(name)).iter().map(|endpoint| &endpoint.uid).collect();
        text += &format!("\n{name}: {endpoints:?}");
        if let Some(workload) = snapshot.workload(&pod(name, "", "").uid) {
            text += &format!(" {:?}", snapshot.policies_for(workload).map(|policy| &policy.key).collect::<Vec<_>>());
        }
    }
    text
}

type Objects = (Vec<Arc<Workload>>, Vec<Arc<Service>>, Vec<Arc<Authorization>>);

/// The objects of a snapshot, to build it again from scratch.
fn objects(snapshot: &Snapshot) -> Objects {
    fn owned<'a, T: Clone + 'a>(objects: impl Iterator<Item = &'a Arc<T>>) -> Vec<Arc<T>> {
        objects.map(|object| Arc::new(T::clone(object))).collect()
    }
    (owned(snapshot.workloads()), owned(snapshot.services()), owned(snapshot.policies()))
}

fn destinations(snapshot: &Snapshot) -> BTreeSet<IpAddr> {
    snapshot.mesh_destinations().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_way_to_a_state_gives_the_same_snapshot(batches in vec(vec(update_strategy(), 0..6), 0..12)) {
        let mut snapshot = Snapshot::default();
        let mut followed = BTreeSet::new();
        for batch in batches {
            let before = answers(&snapshot);
            let (next, changes) = snapshot.apply(batch);
            prop_assert_eq!(answers(&snapshot), before, "the snapshot before is as it was");
            for ip in changes.addresses() {
                if next.is_mesh_destination(ip) { followed.insert(ip) } else { followed.remove(&ip) };
            }
            prop_assert_eq!(&followed, &destinations(&next));
            snapshot = next;
        }
        let (workloads, services, policies) = objects(&snapshot);
        let (built, _) = Snapshot::default().replace_all(workloads, services, policies);
        prop_assert_eq!(answers(&built), answers(&snapshot));
    }

    #[test]
    fn replacing_all_leaves_nothing_of_before(
        before in vec(update_strategy(), 0..20),
        after in vec(update_strategy(), 0..20),
    ) {
        let (before, _) = Snapshot::default().apply(before);
        let (after, _) = Snapshot::default().apply(after);
        let (workloads, services, policies) = objects(&after);
        let (replaced, _) = before.replace_all(workloads, services, policies);
        prop_assert_eq!(answers(&replaced), answers(&after));
    }
}

#[test]
fn what_is_unchanged_is_kept_and_not_told() {
    let pods =
        |healthy| vec![pod("a", "n1", "10.0.0.1").into(), Workload { healthy, ..pod("b", "n1", "10.0.0.2") }.into()];
    let policies = || vec![policy("shop/a", Scope::Namespace).into()];
    let services = || vec![service("web", "10.96.0.1").into()];
    let (first, _) = Snapshot::default().replace_all(pods(true), services(), policies());

    let (same, changes) = first.replace_all(pods(true), services(), policies());
    assert!(changes.is_empty(), "{changes:?}");
    let (second, changes) = same.replace_all(pods(false), vec![], policies());
    assert_eq!((changes.workloads.len(), changes.services.len(), changes.policies.len()), (1, 1, 0));
    let change = &changes.workloads[0];
    assert_eq!(change.before.as_ref().map(|workload| workload.healthy), Some(true));
    assert_eq!(change.after.as_ref().map(|workload| workload.healthy), Some(false));
    assert!(changes.services[0].after.is_none());

    let at = |snapshot: &Snapshot, name| Arc::clone(snapshot.workload(&pod(name, "", "").uid).unwrap());
    assert!(Arc::ptr_eq(&at(&first, "a"), &at(&second, "a")));
    assert!(!Arc::ptr_eq(&at(&first, "b"), &at(&second, "b")));
}
