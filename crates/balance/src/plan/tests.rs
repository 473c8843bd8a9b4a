use std::collections::BTreeMap;

use ambit_l7::{Failover, Locality, LocalityBalancing, LocalitySplit, Nearness, OutlierDetection, TrafficPolicy};

use super::*;
use crate::fixtures::{Bench, MAGLEV, RING, consistent, outliers, place, policy, spec, specs, specs_at};
use crate::{Ask, Client, EndpointSpec, Outcome};
use ambit_l7::LoadBalancing;

fn failover() -> LocalityBalancing {
    let failover = vec![Failover { from: "eu".into(), to: "us".into() }];
    LocalityBalancing { failover, ..LocalityBalancing::default() }
}

fn near(min_health_percent: u8) -> TrafficPolicy {
    TrafficPolicy {
        locality: Some(failover()),
        outliers: Some(OutlierDetection { min_health_percent, ..outliers() }),
        ..policy(LoadBalancing::Random)
    }
}

/// Ejects so many of each place.
fn eject(bench: &Bench, counts: &[(&str, u32)]) {
    for (at, count) in counts {
        for n in 0..*count {
            let pick = bench.pick_of(&format!("{at}#{n}"));
            (0..5).for_each(|_| pick.report(Outcome::ConnectFailed, bench.start));
            assert!(pick.endpoint().expect("of an endpoint").is_ejected());
        }
    }
}

/// Percent of requests by place, of a client in `eu/a`.
fn places(bench: &mut Bench) -> BTreeMap<String, u32> {
    let place = place("eu/a");
    let ask = Ask { client: Client { place: Some(&place), node: "", labels: None }, ..Ask::default() };
    let mut places = BTreeMap::new();
    for (key, count) in bench.counts(20_000, &ask, 0) {
        *places.entry(key.split('#').next().unwrap().to_owned()).or_default() += count;
    }
    places
}

fn assert_percent(places: &BTreeMap<String, u32>, expected: &[(&str, u32)], why: &str) {
    let expected_of = |at: &str| expected.iter().find(|(of, _)| *of == at).map_or(0, |(_, percent)| *percent);
    for at in places.keys().map(String::as_str).chain(expected.iter().map(|(at, _)| *at)) {
        let percent = f64::from(places.get(at).copied().unwrap_or(0)) / 200.0;
        let wanted = f64::from(expected_of(at));
        assert!(
            (percent - wanted).abs() < 2.0 && (wanted > 0.0 || percent <= 0.0),
            "{why}: {places:?}, not {expected:?}"
        );
    }
}

#[test]
fn levels_bear_what_they_can() {
    for (health, expected) in [
        (vec![100], vec![100]),
        (vec![1], vec![100]),
        (vec![0], vec![0]),
        (vec![], vec![]),
        (vec![100, 100], vec![100, 0]),
        (vec![70, 100], vec![70, 30]),
        (vec![0, 100], vec![0, 100]),
        (vec![35, 35], vec![50, 50]),
        (vec![35, 35, 100], vec![35, 35, 30]),
        (vec![30, 30, 30], vec![34, 33, 33]),
        (vec![0, 0, 30], vec![0, 0, 100]),
    ] {
        assert_eq!(shares_of_levels(&health), expected, "{health:?}");
    }
}

#[test]
fn traffic_spills_over_as_near_endpoints_fail() {
    let specs = specs_at(&[("eu/a", 10), ("eu/b", 10), ("us/a", 10), ("asia/a", 10)]);
    for (ejected, min_health, expected) in [
        (vec![], 0, vec![("eu/a", 100)]),
        (vec![("eu/a", 2)], 0, vec![("eu/a", 100)]),
        (vec![("eu/a", 5)], 0, vec![("eu/a", 70), ("eu/b", 30)]),
        (vec![("eu/a", 10)], 0, vec![("eu/b", 100)]),
        (vec![("eu/a", 5), ("eu/b", 10)], 0, vec![("eu/a", 70), ("us/a", 30)]),
        (vec![("eu/a", 10), ("eu/b", 10), ("us/a", 10)], 0, vec![("asia/a", 100)]),
        // Others bear it: no reason for panic.
        (vec![("eu/a", 8)], 50, vec![("eu/a", 28), ("eu/b", 72)]),
        (
            vec![("eu/a", 10), ("eu/b", 10), ("us/a", 10), ("asia/a", 10)],
            50,
            vec![("eu/a", 25), ("eu/b", 25), ("us/a", 25), ("asia/a", 25)],
        ),
    ] {
        let mut bench = Bench::new(specs.clone(), near(min_health));
        eject(&bench, &ejected);
        assert_percent(&places(&mut bench), &expected, &format!("{ejected:?}"));
    }
}

#[test]
fn no_panic_where_others_bear_it() {
    let place = place("eu/a");
    let ask = Ask { client: Client { place: Some(&place), node: "", labels: None }, ..Ask::default() };
    for (elsewhere, expected) in [(10, 2), (0, 10)] {
        let mut bench = Bench::new(specs_at(&[("eu/a", 10), ("us/a", elsewhere)]), near(50));
        eject(&bench, &[("eu/a", 8)]);
        let counts = bench.counts(5000, &ask, 0);
        let near = counts.keys().filter(|key| key.starts_with("eu/a")).count();
        assert_eq!(near, expected, "{elsewhere} elsewhere: {counts:?}");
    }
}

#[test]
fn failover_needs_outlier_detection() {
    let specs = specs_at(&[("eu/a", 10), ("us/a", 10)]);
    let mut bench = Bench::new(specs, TrafficPolicy { outliers: None, ..near(0) });
    assert_percent(&places(&mut bench), &[("eu/a", 50), ("us/a", 50)], "none");
}

#[test]
fn endpoints_not_ready_are_missing_ones() {
    let mut specs = specs_at(&[("eu/a", 10), ("us/a", 10)]);
    specs.iter_mut().take(5).for_each(|spec| spec.healthy = false);
    let mut bench = Bench::new(specs, near(100));
    assert_percent(&places(&mut bench), &[("eu/a", 70), ("us/a", 30)], "half of them");
    assert!((0..5).all(|n| bench.endpoint(&format!("eu/a#{n}")).active() == 0));
}

#[test]
fn too_few_healthy_ones_and_ejections_do_not_count() {
    for (ejected, min_health, expected) in [(5, 50, 5), (6, 50, 10), (10, 50, 10), (9, 0, 1), (2, 81, 10)] {
        let policy = TrafficPolicy { locality: None, ..near(min_health) };
        let mut specs = specs_at(&[("eu/a", 10)]);
        specs.push(EndpointSpec { healthy: false, ..spec("unready") });
        let mut bench = Bench::new(specs, policy);
        eject(&bench, &[("eu/a", ejected)]);
        let counts = bench.counts(2000, &Ask::default(), 0);
        assert_eq!(counts.len(), expected, "{ejected} ejected, {min_health} %: {counts:?}");
        assert!(!counts.contains_key("unready"));
    }
}

#[test]
fn distribute_splits_among_those_left() {
    let pattern = |region: &str, zone: &str| Locality {
        region: Some(region.into()),
        zone: Some(zone.into()),
        subzone: Some("*".into()),
    };
    let distribute = vec![LocalitySplit {
        from: pattern("eu", "*"),
        to: vec![(pattern("eu", "a"), 60), (pattern("eu", "*"), 30), (pattern("us", "*"), 10), (pattern("us", "z"), 0)],
    }];
    let locality = Some(LocalityBalancing { distribute, ..LocalityBalancing::default() });
    let specs = specs_at(&[("eu/a", 4), ("eu/b", 10), ("us/a", 1), ("us/z", 5), ("asia/a", 9)]);
    for load_balancing in [LoadBalancing::RoundRobin, LoadBalancing::LeastRequest, consistent(RING), consistent(MAGLEV)]
    {
        // In force without outlier detection too.
        let without = TrafficPolicy { locality: locality.clone(), ..policy(load_balancing) };
        let mut bench = Bench::new(specs.clone(), without.clone());
        assert_percent(&places(&mut bench), &[("eu/a", 60), ("eu/b", 30), ("us/a", 10)], "all are well");
        let with = TrafficPolicy { outliers: Some(outliers()), ..without };
        let mut bench = Bench::new(specs.clone(), with);
        eject(&bench, &[("us/a", 1)]);
        let tried: Vec<_> = bench.group.endpoints().iter().map(|endpoint| endpoint.id()).collect();
        let (place, tried) = (place("eu/a"), &tried[..20]);
        let client = Client { place: Some(&place), node: "", labels: None };
        let retry = bench.pick(&Ask { client, tried, remote_localities: true, ..Ask::default() });
        assert!(retry.endpoint().unwrap().spec().key.starts_with("eu"), "a retry goes nowhere else, either");
        assert_percent(&places(&mut bench), &[("eu/a", 67), ("eu/b", 33)], "one share is gone");
        eject(&bench, &[("eu/a", 2)]);
        // 60 × 0.7 = 42 beside 30.
        assert_percent(&places(&mut bench), &[("eu/a", 58), ("eu/b", 42)], "one is halved");
    }
    let mut bench = Bench::new(specs, TrafficPolicy { locality, ..policy(LoadBalancing::Random) });
    assert_eq!(bench.counts(5000, &Ask::default(), 0).len(), 29, "a client that no split is for");
}

#[test]
fn retries_go_elsewhere_where_asked_to() {
    for load_balancing in [LoadBalancing::RoundRobin, LoadBalancing::LeastRequest, consistent(RING), consistent(MAGLEV)]
    {
        let mut bench =
            Bench::new(specs_at(&[("eu/a", 2), ("eu/b", 1), ("us/a", 1)]), TrafficPolicy { load_balancing, ..near(0) });
        let place = place("eu/a");
        let mut ask =
            Ask { client: Client { place: Some(&place), node: "", labels: None }, hash: Some(7), ..Ask::default() };
        let mut tried = Vec::new();
        let mut order = Vec::new();
        for _ in 0..5 {
            let pick = bench.pick(&Ask { tried: &tried, remote_localities: true, ..ask });
            order.push(pick.endpoint().unwrap().spec().place.clone());
            tried.extend(pick.id());
        }
        let expected = ["eu/a", "eu/b", "us/a", "eu/a", "eu/a"].map(crate::fixtures::place);
        assert_eq!(order, expected, "other places, then other endpoints, then any");

        let first = [tried[0]];
        ask.tried = &first;
        let second = bench.pick(&ask);
        assert_eq!(second.endpoint().unwrap().spec().place, place, "not asked to");
        assert_ne!(second.id(), Some(first[0]));
    }
}

#[test]
fn refusals_say_why() {
    let unready = |mut spec: EndpointSpec| {
        spec.healthy = false;
        spec
    };
    let detecting = TrafficPolicy { outliers: Some(outliers()), ..TrafficPolicy::default() };
    for (specs, eject_all, expected) in [
        (Vec::new(), false, NoPick::NoEndpoints),
        (specs(0..3).into_iter().map(unready).collect(), false, NoPick::NoneReady),
        (specs_at(&[("eu", 3)]), true, NoPick::AllEjected),
    ] {
        for load_balancing in [
            LoadBalancing::LeastRequest,
            LoadBalancing::RoundRobin,
            LoadBalancing::Passthrough,
            consistent(RING),
            consistent(MAGLEV),
        ] {
            let mut bench = Bench::new(specs.clone(), TrafficPolicy { load_balancing, ..detecting.clone() });
            if eject_all {
                eject(&bench, &[("eu", 3)]);
            }
            let pick = bench.group.pick(&Ask::default(), &mut bench.rng, bench.start);
            assert_eq!(pick.err(), Some(expected));
        }
    }
}

#[test]
fn a_service_is_used_as_near_as_it_wishes() {
    let at = |name: &str, node: &str, at: &str, healthy| EndpointSpec {
        place: place(at),
        node: node.into(),
        healthy,
        ..spec(name)
    };
    let all = |near: bool| {
        vec![
            at("node", "n1", "eu/a", near),
            at("zone", "n2", "eu/a", near),
            at("region", "n3", "eu/b", near),
            // A zone of another region has the name of the client's.
            at("far", "n4", "us/a", true),
        ]
    };
    for (nearness, near, expected) in [
        (Nearness::PreferNode, true, Some("node")),
        (Nearness::PreferZone, true, Some("node zone")),
        (Nearness::SameNode, true, Some("node")),
        (Nearness::PreferNode, false, Some("far")),
        (Nearness::PreferZone, false, Some("far")),
        (Nearness::SameNode, false, None),
        (Nearness::Any, true, Some("far node region zone")),
    ] {
        let mut bench = Bench::new(all(near), TrafficPolicy { nearness, ..policy(LoadBalancing::Random) });
        let place = place("eu/a");
        let ask = Ask { client: Client { place: Some(&place), node: "n1", labels: None }, ..Ask::default() };
        let found = bench.group.pick(&ask, &mut bench.rng, bench.start).ok().map(|pick| {
            drop(pick);
            bench.counts(200, &ask, 0).into_keys().collect::<Vec<_>>().join(" ")
        });
        assert_eq!(found.as_deref(), expected, "{nearness:?} {near}");
    }
}
