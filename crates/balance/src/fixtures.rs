//! Endpoints and policies for tests.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ambit_l7::{ConsistentHash, HashKey, HashRing, LoadBalancing, OutlierDetection, TrafficPolicy};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::endpoint::EndpointState;
use crate::{Ask, Endpoint, EndpointId, EndpointSpec, Group, Pick, Place};

pub(crate) const RING: HashRing = HashRing::Ring { minimum_size: 1024 };
pub(crate) const MAGLEV: HashRing = HashRing::Maglev { table_size: 65_537 };

pub(crate) fn rng() -> StdRng {
    StdRng::seed_from_u64(7)
}

/// `region/zone/subzone`, as much of it as is known.
pub(crate) fn place(text: &str) -> Place {
    let mut parts = text.split('/').map(Arc::from);
    let mut part = || parts.next().unwrap_or_default();
    Place { region: part(), zone: part(), subzone: part() }
}

pub(crate) fn spec(key: &str) -> EndpointSpec {
    EndpointSpec {
        key: key.into(),
        address: SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1), 8080)),
        workload: None,
        weight: 1,
        place: Place::default(),
        node: Arc::default(),
        labels: Arc::new(BTreeMap::new()),
        healthy: true,
    }
}

/// So many, of one place.
pub(crate) fn specs(range: std::ops::Range<u32>) -> Vec<EndpointSpec> {
    range.map(|n| spec(&format!("pod-{n:04}"))).collect()
}

/// So many at each place.
pub(crate) fn specs_at(places: &[(&str, u32)]) -> Vec<EndpointSpec> {
    let at = |(at, count): &(&str, u32)| {
        let place = place(at);
        (0..*count).map(|n| EndpointSpec { place: place.clone(), ..spec(&format!("{at}#{n}")) }).collect::<Vec<_>>()
    };
    places.iter().flat_map(at).collect()
}

pub(crate) fn endpoints(specs: Vec<EndpointSpec>) -> Vec<Arc<Endpoint>> {
    let endpoint = |(n, spec)| Arc::new(Endpoint { spec, state: Arc::new(EndpointState::new(EndpointId(n), 0)) });
    (1..).zip(specs).map(endpoint).collect()
}

pub(crate) fn policy(load_balancing: LoadBalancing) -> TrafficPolicy {
    TrafficPolicy { load_balancing, ..TrafficPolicy::default() }
}

pub(crate) fn consistent(ring: HashRing) -> LoadBalancing {
    LoadBalancing::ConsistentHash(ConsistentHash { key: HashKey::SourceIp, ring })
}

/// Five errors of any kind; ten seconds between sweeps, thirty for the first ejection, of anybody.
pub(crate) fn outliers() -> OutlierDetection {
    OutlierDetection {
        split_local_errors: false,
        consecutive_local: 5,
        consecutive_gateway: 0,
        consecutive_5xx: 5,
        error_codes: Vec::new(),
        interval: Duration::from_secs(10),
        base_ejection: Duration::from_secs(30),
        max_ejection_percent: 100,
        min_health_percent: 0,
    }
}

/// A group, its start, and chance.
pub(crate) struct Bench {
    pub(crate) group: Arc<Group>,
    pub(crate) start: Instant,
    pub(crate) rng: StdRng,
}

impl Bench {
    pub(crate) fn new(endpoints: Vec<EndpointSpec>, policy: TrafficPolicy) -> Self {
        let start = Instant::now();
        Self { group: Group::new(endpoints, Arc::new(policy), start), start, rng: rng() }
    }

    pub(crate) fn at(&self, seconds: u64) -> Instant {
        self.start + Duration::from_secs(seconds)
    }

    pub(crate) fn pick(&mut self, ask: &Ask<'_>) -> Pick {
        self.group.pick(ask, &mut self.rng, self.start).expect("an endpoint")
    }

    /// Keys chosen of so many requests one after the other, and how often.
    pub(crate) fn counts(&mut self, requests: u32, ask: &Ask<'_>, seconds: u64) -> BTreeMap<String, u32> {
        let (mut counts, at) = (BTreeMap::new(), self.at(seconds));
        for _ in 0..requests {
            let pick = self.group.pick(ask, &mut self.rng, at).expect("an endpoint");
            *counts.entry(key_of(&pick)).or_default() += 1;
        }
        counts
    }

    /// An endpoint as the group has it.
    pub(crate) fn endpoint(&self, key: &str) -> Arc<Endpoint> {
        self.group.endpoints().into_iter().find(|endpoint| &*endpoint.spec().key == key).expect("is in the group")
    }

    /// An endpoint, picked.
    pub(crate) fn pick_of(&self, key: &str) -> Pick {
        Pick::of(Arc::clone(&self.group), self.endpoint(key))
    }
}

pub(crate) fn key_of(pick: &Pick) -> String {
    pick.endpoint().expect("of an endpoint").spec().key.to_string()
}
