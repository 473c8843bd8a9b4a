//! The snapshot: the endpoints and how they are used.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use ambit_l7::{HashRing, LoadBalancing, TrafficPolicy};
use arc_swap::ArcSwap;
use rand::Rng;

use crate::choose::Wish;
use crate::locality::Preference;
use crate::maglev::Maglev;
use crate::ring::Ring;
use crate::view::View;
use crate::{Ask, Endpoint, NoPick};

/// The endpoints and how they are used. Never changed, but for what it remembers of its own working out.
#[derive(Debug)]
pub(crate) struct EndpointSet {
    /// By key: what is worked out of them is the same whatever order they came in.
    pub(crate) endpoints: Vec<Arc<Endpoint>>,
    pub(crate) policy: Arc<TrafficPolicy>,
    views: Views,
    /// Consistent hashing's, of all endpoints: nobody's key moves but those of endpoints that may not be used
    /// just now, or not by that client.
    hashed: OnceLock<Hashed>,
    /// For PASSTHROUGH; else empty.
    by_address: HashMap<SocketAddr, Arc<Endpoint>>,
}

#[derive(Debug)]
enum Views {
    /// All clients see the same.
    One(View),
    /// It depends on the client.
    ByClient(ArcSwap<Vec<Arc<View>>>),
}

/// To whom keys belong.
#[derive(Debug)]
enum Hashed {
    Ring(Ring),
    Maglev(Maglev),
}

impl EndpointSet {
    pub(crate) fn new(endpoints: Vec<Arc<Endpoint>>, policy: Arc<TrafficPolicy>) -> Self {
        let views = match Preference::of(&policy) {
            Preference::None => Views::One(View::of_all(&endpoints)),
            Preference::Distribute(_) | Preference::Failover(_) | Preference::Near(_) => {
                Views::ByClient(ArcSwap::default())
            }
        };
        let by_address = match policy.load_balancing {
            LoadBalancing::Passthrough => endpoints.iter().map(|one| (one.spec.address, Arc::clone(one))).collect(),
            LoadBalancing::LeastRequest
            | LoadBalancing::RoundRobin
            | LoadBalancing::Random
            | LoadBalancing::ConsistentHash(_) => HashMap::new(),
        };
        Self { endpoints, policy, views, hashed: OnceLock::new(), by_address }
    }

    pub(crate) fn choose(&self, wish: &Wish<'_>, rng: &mut impl Rng) -> Result<Arc<Endpoint>, NoPick> {
        match &self.views {
            Views::One(view) => view.choose(wish, rng),
            Views::ByClient(views) => self.view(views, wish.ask).choose(wish, rng),
        }
    }

    pub(crate) fn at(&self, address: SocketAddr) -> Option<&Arc<Endpoint>> {
        self.by_address.get(&address)
    }

    /// The first endpoint, of those a key belongs to one after the other, that will do. By its place in the
    /// set.
    pub(crate) fn owner(
        &self,
        ring: HashRing,
        hash: u64,
        will_do: impl Fn(usize, &Endpoint) -> bool,
    ) -> Option<&Arc<Endpoint>> {
        let hashed = self.hashed.get_or_init(|| match ring {
            HashRing::Ring { minimum_size } => Hashed::Ring(Ring::new(&self.endpoints, minimum_size)),
            HashRing::Maglev { table_size } => Hashed::Maglev(Maglev::new(&self.endpoints, table_size)),
        });
        let will_do = |n: &usize| self.endpoints.get(*n).is_some_and(|endpoint| will_do(*n, endpoint));
        let owner = match hashed {
            Hashed::Ring(ring) => ring.from(hash).find(will_do),
            Hashed::Maglev(table) => table.from(hash).find(will_do),
        };
        self.endpoints.get(owner?)
    }

    #[cfg(test)]
    pub(crate) fn views_known(&self) -> usize {
        match &self.views {
            Views::One(_) => 1,
            Views::ByClient(views) => views.load().len(),
        }
    }

    fn view(&self, views: &ArcSwap<Vec<Arc<View>>>, ask: &Ask<'_>) -> Arc<View> {
        let preference = Preference::of(&self.policy);
        let traits = preference.traits(&ask.client);
        if let Some(view) = views.load().iter().find(|view| view.is_for(&traits)) {
            return Arc::clone(view);
        }
        let view = Arc::new(View::new(&self.endpoints, preference, &ask.client));
        views.rcu(|known| {
            // The oldest goes where there are too many: clients name their own places, memory must not grow by it.
            let kept = known.iter().skip((known.len() + 1).saturating_sub(preference.most_views()));
            kept.cloned().chain([Arc::clone(&view)]).collect::<Vec<_>>()
        });
        view
    }
}
