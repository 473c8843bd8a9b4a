use std::time::Duration;

use ambit_l7::{Aggression, TrafficPolicy};

use super::*;
use crate::EndpointSpec;
use crate::fixtures::{Bench, MAGLEV, RING, consistent, key_of, policy, spec, specs};

fn algorithms() -> Vec<LoadBalancing> {
    vec![
        LoadBalancing::LeastRequest,
        LoadBalancing::RoundRobin,
        LoadBalancing::Random,
        LoadBalancing::Passthrough,
        consistent(RING),
        consistent(MAGLEV),
    ]
}

fn weighted(weights: &[u32]) -> Vec<EndpointSpec> {
    weights.iter().enumerate().map(|(n, weight)| EndpointSpec { weight: *weight, ..spec(&format!("{n}")) }).collect()
}

#[test]
fn shares_follow_weights() {
    for weights in [vec![1], vec![1, 1], vec![0, 1], vec![1; 40], vec![1, 9], vec![5, 1, 1], vec![100, 300, 200]] {
        for algorithm in algorithms() {
            let mut bench = Bench::new(weighted(&weights), policy(algorithm.clone()));
            let counts = bench.counts(10_000, &Ask::default(), 0);
            let sum: u32 = weights.iter().map(|weight| weight.max(&1)).sum();
            for (n, weight) in weights.iter().enumerate() {
                let expected = f64::from(10_000 * weight.max(&1)) / f64::from(sum);
                let count = f64::from(counts.get(&n.to_string()).copied().unwrap_or(0));
                // Chance: some eight standard deviations; a ring's own: three times 6 %.
                let slack = 8.0 * expected.sqrt() + if algorithm == consistent(RING) { expected * 0.2 } else { 0.0 };
                assert!((count - expected).abs() <= slack, "{algorithm:?} {weights:?}: {n} of {counts:?}");
            }
        }
    }
}

#[test]
fn round_robin_is_exact() {
    for (weights, requests, expected) in
        [(vec![1, 1, 1], 300, vec![100, 100, 100]), (vec![5, 1, 1], 70, vec![50, 10, 10]), (vec![2, 4], 9, vec![3, 6])]
    {
        let mut bench = Bench::new(weighted(&weights), policy(LoadBalancing::RoundRobin));
        let counts = bench.counts(requests, &Ask::default(), 0);
        assert_eq!(counts.values().copied().collect::<Vec<_>>(), expected, "{weights:?}");
    }
}

#[test]
fn the_less_busy_is_chosen() {
    let mut bench = Bench::new(specs(0..2), policy(LoadBalancing::LeastRequest));
    let busy = bench.pick_of("pod-0000");
    assert!(bench.counts(100, &Ask::default(), 0).get("pod-0000").is_none_or(|count| *count <= 1));
    drop(busy);
    assert_eq!(bench.endpoint("pod-0000").active(), 0);

    // Requests that never end are spread evenly: two choices differ by far less than one would.
    let mut bench = Bench::new(specs(0..50), policy(LoadBalancing::LeastRequest));
    let held: Vec<_> = (0..5000).map(|_| bench.pick(&Ask::default())).collect();
    let active: Vec<_> = bench.group.endpoints().iter().map(|endpoint| endpoint.active()).collect();
    assert!(active.iter().all(|active| (95..=105).contains(active)), "{active:?}");
    drop(held);
    assert!(bench.group.endpoints().iter().all(|endpoint| endpoint.active() == 0));
}

#[test]
fn busy_counts_by_weight() {
    let mut bench = Bench::new(weighted(&[10, 30]), policy(LoadBalancing::LeastRequest));
    let held: Vec<_> = (0..4000).map(|_| bench.pick(&Ask::default())).collect();
    let light = bench.endpoint("0").active();
    assert!((900..=1100).contains(&light), "{light} of {}", held.len());
}

#[test]
fn those_tried_come_last() {
    for algorithm in algorithms() {
        for size in [2, 5, 300] {
            let mut bench = Bench::new(specs(0..size), policy(algorithm.clone()));
            let all: Vec<_> = bench.group.endpoints().iter().map(|endpoint| endpoint.id()).collect();
            for left in [0, 1, usize::try_from(size).unwrap() - 1] {
                let tried: Vec<_> = all.iter().copied().filter(|id| *id != all[left]).collect();
                let ask = Ask { tried: &tried, hash: Some(9), ..Ask::default() };
                assert_eq!(bench.pick(&ask).id(), Some(all[left]), "{algorithm:?}, {size}");
            }
            let ask = Ask { tried: &all, hash: Some(9), ..Ask::default() };
            assert!(bench.pick(&ask).id().is_some(), "all tried: {algorithm:?}, {size}");
        }
    }
}

#[test]
fn equal_keys_have_equal_endpoints_and_retries_the_next() {
    for ring in [RING, MAGLEV] {
        let mut bench = Bench::new(specs(0..20), policy(consistent(ring)));
        for hash in (0..200_u64).map(|n| crate::hash_key(&n.to_be_bytes())) {
            let first = bench.pick(&Ask { hash: Some(hash), ..Ask::default() });
            let again = bench.pick(&Ask { hash: Some(hash), ..Ask::default() });
            assert_eq!(first.id(), again.id());
            let tried = [first.id().unwrap()];
            let ask = Ask { hash: Some(hash), tried: &tried, ..Ask::default() };
            let (second, again) = (bench.pick(&ask), bench.pick(&ask));
            assert_ne!(first.id(), second.id());
            assert_eq!(second.id(), again.id());
        }
        assert_eq!(bench.counts(2000, &Ask::default(), 0).len(), 20, "without a key, anybody");
    }
}

#[test]
fn new_endpoints_are_spared() {
    let warmup = Warmup { duration: Duration::from_secs(100), minimum_percent: 10, aggression: Aggression::default() };
    for (algorithm, spared) in
        [(LoadBalancing::LeastRequest, true), (LoadBalancing::RoundRobin, true), (LoadBalancing::Random, false)]
    {
        let policy = TrafficPolicy { warmup: Some(warmup), ..policy(algorithm.clone()) };
        let mut bench = Bench::new(specs(0..4), policy.clone());
        let even = bench.counts(4000, &Ask::default(), 0);
        assert!(even.values().all(|count| (800..1200).contains(count)), "all new: {algorithm:?} {even:?}");

        bench.group.update(specs(0..5), Arc::new(policy.clone()), bench.at(200));
        for (seconds, share) in [(200, 0.1), (225, 0.25), (250, 0.5), (300, 1.0), (900, 1.0)] {
            let share = if spared { share } else { 1.0 };
            let expected = 10_000.0 * share / (4.0 + share);
            let count = bench.counts(10_000, &Ask::default(), seconds).get("pod-0004").copied().unwrap_or(0);
            let slack = 8.0 * f64::sqrt(expected) + 20.0;
            assert!((f64::from(count) - expected).abs() < slack, "{algorithm:?} at {seconds}: {count}, not {expected}");
        }

        // One that was not ready for a while is new again.
        let unready = EndpointSpec { healthy: false, ..spec("pod-0000") };
        bench.group.update([vec![unready], specs(1..5)].concat(), Arc::new(policy.clone()), bench.at(950));
        bench.group.update(specs(0..5), Arc::new(policy), bench.at(1000));
        let count = bench.counts(10_000, &Ask::default(), 1000).get("pod-0000").copied().unwrap_or(0);
        assert_eq!(count < 500, spared, "{algorithm:?}: {count}");
    }
}

#[test]
fn a_new_endpoint_is_spared_under_load() {
    let warmup = Warmup { duration: Duration::from_secs(100), minimum_percent: 10, aggression: Aggression::default() };
    let policy = TrafficPolicy { warmup: Some(warmup), ..policy(LoadBalancing::LeastRequest) };
    let mut bench = Bench::new(specs(0..2), policy.clone());
    bench.group.update(specs(0..3), Arc::new(policy), bench.at(200));
    let at = bench.at(200);
    let held: Vec<_> =
        (0..2100).map(|_| bench.group.pick(&Ask::default(), &mut bench.rng, at).expect("an endpoint")).collect();
    let new = held.iter().filter(|pick| key_of(pick) == "pod-0002").count();
    assert!((60..=140).contains(&new), "{new}, not some 100");
}
