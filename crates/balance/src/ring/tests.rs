use super::*;
use crate::EndpointSpec;
use crate::fixtures::{endpoints, spec, specs};

fn keys() -> impl Iterator<Item = u64> {
    (0..20_000_u64).map(|n| hash_key(&n.to_be_bytes()))
}

/// The owners of keys, by name.
fn owners(specs: Vec<EndpointSpec>) -> Vec<Arc<str>> {
    let endpoints = endpoints(specs);
    let ring = Ring::new(&endpoints, 1024);
    keys().map(|key| Arc::clone(&endpoints[ring.from(key).next().unwrap()].spec().key)).collect()
}

#[test]
fn only_keys_of_those_who_come_and_go_move() {
    for (before, after) in [(0..10, 1..10), (0..10, 0..11), (0..2, 0..3), (0..1, 0..2), (0..700, 0..701), (3..9, 1..9)]
    {
        let (old, new) = (owners(specs(before.clone())), owners(specs(after.clone())));
        let left: Vec<_> = specs(before.clone()).into_iter().map(|spec| spec.key).collect();
        let stay: Vec<_> = specs(after.clone()).into_iter().map(|spec| spec.key).collect();
        let moved: Vec<_> = old.iter().zip(&new).filter(|(old, new)| old != new).collect();
        assert!(
            moved.iter().all(|(old, new)| !stay.contains(old) || !left.contains(new)),
            "{before:?} to {after:?}: from one that stays to one that was there"
        );
        let share = f64::from(before.end.abs_diff(after.end) + before.start.abs_diff(after.start))
            / f64::from((before.end - before.start).max(after.end - after.start));
        let expected = 20_000.0 * share;
        let count = f64::from(u32::try_from(moved.len()).unwrap());
        assert!((count - expected).abs() < expected * 0.3 + 30.0, "{before:?} to {after:?}: {count}, not {expected}");
    }
}

#[test]
fn shares_are_about_even_and_follow_weights() {
    for weights in [vec![1; 10], vec![100; 10], vec![1, 2, 4], vec![10, 20, 40], vec![1, 3]] {
        let specs =
            weights.iter().zip(0..).map(|(weight, n)| EndpointSpec { weight: *weight, ..spec(&format!("{n}")) });
        let owners = owners(specs.collect());
        for (weight, n) in weights.iter().zip(0..) {
            let count = owners.iter().filter(|owner| ***owner == *format!("{n}")).count();
            let expected = 20_000.0 * f64::from(*weight) / f64::from(weights.iter().sum::<u32>());
            let count = f64::from(u32::try_from(count).unwrap());
            assert!((count / expected - 1.0).abs() < 0.25, "{weights:?}: {count} of {n}, not {expected}");
        }
    }
}

#[test]
fn rings_are_as_large_as_asked_and_not_too_large() {
    for (count, minimum_size, expected) in [
        (0, 1024, 0),
        (4, 1024, 1024),
        (10, 1, 2560),
        (4, 100_000, 100_000),
        (2000, 1024, 256_000),
        (8, u32::MAX, 1 << 18),
    ] {
        let ring = Ring::new(&endpoints(specs(0..count)), minimum_size);
        let size = u64::try_from(ring.points.len()).unwrap();
        assert!(size <= MOST_POINTS && (expected / 2..=expected).contains(&size), "{count} {minimum_size}: {size}");
        assert!(ring.points.is_sorted());
        assert_eq!(ring.from(7).count(), ring.points.len());
    }
    let heavy = EndpointSpec { weight: u32::MAX, ..spec("heavy") };
    let ring = Ring::new(&endpoints([vec![heavy], specs(0..3)].concat()), 1024);
    assert!(u64::try_from(ring.points.len()).unwrap() <= MOST_POINTS + 3);
    assert!((0..4).all(|n| ring.owners.contains(&n)), "nobody is left out");
}
