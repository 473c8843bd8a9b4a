//! How long a choice takes: `cargo run --release -p ambit-balance --example pick`.
#![expect(clippy::print_stdout, reason = "what it is for")]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use ambit_balance::{Ask, EndpointSpec, Group, NoPick, Place, hash_key};
use ambit_l7::{ConsistentHash, HashKey, HashRing, LoadBalancing, TrafficPolicy};
use rand::SeedableRng;
use rand::rngs::StdRng;

const PICKS: u32 = 2_000_000;

fn main() -> Result<(), NoPick> {
    let consistent = |ring| LoadBalancing::ConsistentHash(ConsistentHash { key: HashKey::SourceIp, ring });
    for (name, algorithm) in [
        ("LEAST_REQUEST", LoadBalancing::LeastRequest),
        ("ROUND_ROBIN", LoadBalancing::RoundRobin),
        ("RANDOM", LoadBalancing::Random),
        ("ring", consistent(HashRing::Ring { minimum_size: 1024 })),
        ("maglev", consistent(HashRing::Maglev { table_size: 65_537 })),
    ] {
        for (endpoints, weighted) in [(10, false), (1000, false), (1000, true)] {
            let (first, each) = measure(&algorithm, endpoints, weighted)?;
            let weights = if weighted { "different" } else { "equal" };
            println!("{name:13} {endpoints:5} endpoints of {weights:9} weights: {each:4} ns, the first {first:5} µs");
        }
    }
    Ok(())
}

/// Microseconds of the first choice, which works out what the others use, and nanoseconds of each other.
fn measure(algorithm: &LoadBalancing, endpoints: u32, weighted: bool) -> Result<(u128, u128), NoPick> {
    let policy = TrafficPolicy { load_balancing: algorithm.clone(), ..TrafficPolicy::default() };
    let start = Instant::now();
    let group = Group::new((0..endpoints).map(|n| endpoint(n, weighted)).collect(), Arc::new(policy), start);
    let mut rng = StdRng::seed_from_u64(7);

    let begun = Instant::now();
    drop(group.pick(&Ask::default(), &mut rng, start)?);
    let first = begun.elapsed().as_micros();

    let begun = Instant::now();
    for n in 0..PICKS {
        let ask = Ask { hash: Some(hash_key(&n.to_be_bytes())), ..Ask::default() };
        drop(group.pick(&ask, &mut rng, start)?);
    }
    Ok((first, begun.elapsed().as_nanos() / u128::from(PICKS)))
}

fn endpoint(n: u32, weighted: bool) -> EndpointSpec {
    EndpointSpec {
        key: format!("pod-{n}").into(),
        address: SocketAddr::from((Ipv4Addr::from(0x0a00_0000 + n), 8080)),
        workload: None,
        weight: if weighted { 1 + n % 7 } else { 1 },
        place: Place::default(),
        node: Arc::default(),
        labels: Arc::new(BTreeMap::new()),
        healthy: true,
    }
}
