use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use ambit_l7::{LocalityBalancing, Nearness, OutlierDetection};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::*;
use crate::fixtures::{Bench, MAGLEV, RING, consistent, key_of, outliers, place, policy, spec, specs, specs_at};
use crate::{Client, hash_key};

#[test]
fn what_is_known_of_those_that_stay_stays() {
    let detecting = TrafficPolicy { outliers: Some(outliers()), ..TrafficPolicy::default() };
    let bench = Bench::new(specs(0..3), detecting.clone());
    let (id, pick) = (bench.endpoint("pod-0001").id(), bench.pick_of("pod-0001"));
    (0..4).for_each(|_| pick.report(Outcome::TimedOut, bench.start));
    let changed = EndpointSpec { weight: 7, ..spec("pod-0001") };
    bench.group.update(vec![spec("other"), changed], Arc::new(detecting.clone()), bench.at(1));
    let after = bench.endpoint("pod-0001");
    assert_eq!((after.id(), after.active(), after.spec().weight), (id, 1, 7));
    pick.report(Outcome::TimedOut, bench.at(1));
    assert!(after.is_ejected(), "the fifth in a row");
    bench.group.update(vec![spec("pod-0001")], Arc::new(detecting.clone()), bench.at(2));
    assert!(bench.endpoint("pod-0001").is_ejected());

    bench.group.update(Vec::new(), Arc::new(detecting.clone()), bench.at(3));
    bench.group.update(vec![spec("pod-0001")], Arc::new(detecting), bench.at(4));
    let again = bench.endpoint("pod-0001");
    assert!(again.id() != id && again.active() == 0 && !again.is_ejected(), "it is another one");
    drop(pick);
    assert_eq!((after.active(), again.active()), (0, 0));
}

#[test]
fn nothing_is_kept_of_those_that_left() {
    let bench = Bench::new(specs(0..100), TrafficPolicy::default());
    let state = Arc::downgrade(&bench.endpoint("pod-0007").state);
    for round in 1..20 {
        bench.group.update(specs(round * 100..(round + 1) * 100), Arc::default(), bench.at(1));
    }
    assert_eq!(bench.group.endpoints().len(), 100);
    assert!(state.upgrade().is_none());
}

#[test]
fn of_two_of_one_name_the_first_counts() {
    let second = EndpointSpec { weight: 9, ..spec("a") };
    let bench = Bench::new(vec![spec("b"), spec("a"), second], TrafficPolicy::default());
    let endpoints = bench.group.endpoints();
    let endpoints: Vec<_> = endpoints.iter().map(|one| (&*one.spec().key, one.spec().weight)).collect();
    assert_eq!(endpoints, [("a", 1), ("b", 1)]);
}

#[test]
fn the_order_of_endpoints_does_not_matter() {
    for ring in [RING, MAGLEV] {
        let mut one = Bench::new(specs(0..50), policy(consistent(ring)));
        let mut shuffled = specs(0..50);
        shuffled.shuffle(&mut StdRng::seed_from_u64(3));
        let mut other = Bench::new(shuffled, policy(consistent(ring)));
        for hash in (0..500_u32).map(|n| hash_key(&n.to_be_bytes())) {
            let ask = Ask { hash: Some(hash), ..Ask::default() };
            assert_eq!(key_of(&one.pick(&ask)), key_of(&other.pick(&ask)));
        }
    }
}

#[test]
fn keys_of_an_ejected_endpoint_alone_move_and_come_back() {
    for ring in [RING, MAGLEV] {
        let policy = TrafficPolicy { outliers: Some(outliers()), ..policy(consistent(ring)) };
        let mut bench = Bench::new(specs(0..10), policy);
        let owners = |bench: &mut Bench, seconds| {
            let at = bench.at(seconds);
            let hashes = (0..2000_u32).map(|n| hash_key(&n.to_be_bytes()));
            let owner = |hash| {
                let ask = Ask { hash: Some(hash), ..Ask::default() };
                key_of(&bench.group.pick(&ask, &mut bench.rng, at).expect("an endpoint"))
            };
            hashes.map(owner).collect::<Vec<_>>()
        };
        let before = owners(&mut bench, 0);
        let pick = bench.pick_of("pod-0003");
        (0..5).for_each(|_| pick.report(Outcome::TimedOut, bench.start));
        let during = owners(&mut bench, 0);
        let moved: Vec<_> = before.iter().zip(&during).filter(|(before, during)| before != during).collect();
        assert!(moved.iter().all(|(before, during)| *before == "pod-0003" && *during != "pod-0003"));
        assert_eq!(moved.iter().map(|(_, during)| during).collect::<BTreeSet<_>>().len(), 9, "spread over all others");
        assert_eq!(owners(&mut bench, 40), before);
    }
}

#[test]
fn passthrough_goes_where_the_client_asked_to() {
    let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
    let known = EndpointSpec { address: address("10.0.0.9:80"), ..spec("known") };
    let ejectable = TrafficPolicy { outliers: Some(outliers()), ..policy(LoadBalancing::Passthrough) };
    let mut bench = Bench::new(vec![known, spec("other")], ejectable);
    let to = |address| Ask { asked: Some(address), ..Ask::default() };

    let pick = bench.pick(&to(address("10.0.0.9:80")));
    assert_eq!((pick.address(), key_of(&pick).as_str()), (address("10.0.0.9:80"), "known"));
    (0..5).for_each(|_| pick.report(Outcome::TimedOut, bench.start));
    assert!(bench.endpoint("known").is_ejected());
    assert_eq!(bench.pick(&to(address("10.0.0.9:80"))).address(), address("10.0.0.9:80"), "untouched all the same");

    let pick = bench.pick(&to(address("192.0.2.1:443")));
    assert_eq!((pick.address(), pick.id()), (address("192.0.2.1:443"), None));
    pick.report(Outcome::TimedOut, bench.start);
    assert_eq!(key_of(&bench.pick(&Ask::default())), "other", "of the service's own address, any that is well");
}

#[test]
fn clients_of_many_kinds_take_no_more_memory() {
    let locality = LocalityBalancing { failover_priority: vec![("a".into(), None)], ..LocalityBalancing::default() };
    let policy =
        TrafficPolicy { locality: Some(locality), outliers: Some(outliers()), ..policy(LoadBalancing::Random) };
    let mut bench = Bench::new(specs(0..3), policy);
    for n in 0..1000 {
        let place = place(&format!("region-{n}"));
        let labels = [("a".into(), format!("{n}").into())].into();
        drop(
            bench.pick(&Ask {
                client: Client { place: Some(&place), node: "", labels: Some(&labels) },
                ..Ask::default()
            }),
        );
    }
    assert!(bench.group.set.load().views_known() <= 64);
}

#[test]
fn clients_differ_by_node_only_where_that_counts() {
    for (nearness, clients, expected) in [
        (Nearness::PreferZone, 200, 1),
        (Nearness::PreferNode, 200, 200),
        (Nearness::SameNode, 200, 200),
        (Nearness::PreferNode, 2000, 1024),
    ] {
        let mut bench = Bench::new(specs_at(&[("eu/a", 3)]), TrafficPolicy { nearness, ..TrafficPolicy::default() });
        let place = place("eu/a");
        for n in 0..clients {
            let client = Client { place: Some(&place), node: &format!("node-{n}"), labels: None };
            bench.group.pick(&Ask { client, ..Ask::default() }, &mut bench.rng, bench.start).ok();
        }
        assert_eq!(bench.group.set.load().views_known(), expected, "{nearness:?} {clients}");
    }
}

#[test]
fn workers_share_a_group() {
    let policy = || TrafficPolicy {
        outliers: Some(OutlierDetection { interval: Duration::from_millis(1), ..outliers() }),
        ..TrafficPolicy::default()
    };
    let start = Instant::now();
    let group = Group::new(specs(0..20), Arc::new(policy()), start);
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let group = &group;
            scope.spawn(move || {
                let mut rng = StdRng::seed_from_u64(worker);
                for n in 0..5000 {
                    let now = start + Duration::from_micros(n * 50);
                    if let Ok(pick) = group.pick(&Ask::default(), &mut rng, now) {
                        let failed = pick.endpoint().is_some_and(|endpoint| endpoint.spec().key.ends_with('7'));
                        pick.report(if failed { Outcome::TimedOut } else { Outcome::Connected }, now);
                    }
                }
            });
        }
        for round in 0..50 {
            group.update(specs(round % 5..20), Arc::new(policy()), start + Duration::from_millis(u64::from(round)));
        }
    });
    assert!(group.endpoints().iter().all(|endpoint| endpoint.active() == 0));
    let ejected = group.take_events().into_iter().filter(|event| event.kind != crate::EventKind::Returned);
    assert!(ejected.into_iter().all(|event| event.key.ends_with('7')));
}
