use super::*;
use crate::EndpointSpec;
use crate::fixtures::{endpoints, spec, specs};

fn table(specs: Vec<EndpointSpec>, size: u32) -> Vec<u32> {
    Maglev::new(&endpoints(specs), size).table
}

fn count(table: &[u32], endpoint: u32) -> usize {
    table.iter().filter(|owner| **owner == endpoint).count()
}

#[test]
fn the_table_is_full_and_even() {
    for (endpoints, size) in [(1, 7), (3, 7), (10, 1009), (1000, 65_537), (7, 7), (20, 7)] {
        let table = table(specs(0..endpoints), size);
        assert_eq!(table.len(), usize::try_from(size).unwrap());
        let counts: Vec<_> = (0..endpoints).map(|n| count(&table, n)).collect();
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(most - least <= 1, "{endpoints} in {size}: {counts:?}");
    }
    assert!(table(Vec::new(), 7).is_empty());
    assert_eq!(Maglev::new(&[], 7).from(9).next(), None);
}

#[test]
fn shares_follow_weights() {
    for weights in [vec![1, 2, 5], vec![100, 200, 500], vec![1, 1, 1, 7]] {
        let specs =
            weights.iter().zip(0..).map(|(weight, n)| EndpointSpec { weight: *weight, ..spec(&format!("{n}")) });
        let table = table(specs.collect(), 10_007);
        for (weight, n) in weights.iter().zip(0..) {
            let expected = 10_007.0 * f64::from(*weight) / f64::from(weights.iter().sum::<u32>());
            let count = f64::from(u32::try_from(count(&table, n)).unwrap());
            assert!((count / expected - 1.0).abs() < 0.01, "{weights:?}: {count} of {n}, not {expected}");
        }
    }
    let heavy = EndpointSpec { weight: u32::MAX, ..spec("heavy") };
    let table = table([vec![heavy], specs(0..3)].concat(), 10_007);
    assert!((0..4).all(|n| count(&table, n) > 0), "nobody is left out");
}

#[test]
fn few_keys_move() {
    for (before, after) in [(0..10, 1..10), (0..10, 0..11), (0..100, 0..99)] {
        let name = |specs: Vec<EndpointSpec>| {
            let table = table(specs.clone(), 65_537);
            table.into_iter().map(|n| Arc::clone(&specs[usize::try_from(n).unwrap()].key)).collect::<Vec<_>>()
        };
        let (old, new) = (name(specs(before.clone())), name(specs(after.clone())));
        let stays: Vec<_> = specs(after.clone()).into_iter().map(|spec| spec.key).collect();
        let was: Vec<_> = specs(before.clone()).into_iter().map(|spec| spec.key).collect();
        let moved = old.iter().zip(&new).filter(|(old, new)| old != new && stays.contains(old) && was.contains(new));
        let moved = f64::from(u32::try_from(moved.count()).unwrap()) / 65_537.0;
        assert!(moved < 0.06, "{before:?} to {after:?}: {moved} moved without need");
    }
}

#[test]
fn sizes_that_are_not_prime_are_raised() {
    for (asked, expected) in [(0, 2), (2, 2), (4, 5), (100, 101), (65_537, 65_537), (u32::MAX, LARGEST)] {
        assert_eq!(next_prime(asked.clamp(2, LARGEST)), expected, "{asked}");
    }
    assert_eq!(table(specs(0..3), 100).len(), 101);
}

#[test]
fn all_endpoints_come_in_turn() {
    let endpoints = endpoints(specs(0..30));
    let table = Maglev::new(&endpoints, 211);
    for key in [0, 5, u64::MAX] {
        assert!((0..30).all(|n| table.from(key).any(|owner| owner == n)));
    }
}
