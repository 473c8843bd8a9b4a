//! The random choice of a few endpoints among many: uniform, distinct, and without work or memory in
//! proportion to the size of the service.

use std::sync::Arc;

use ambit_model::Workload;
use rand::seq::SliceRandom;
use rand::{Rng, RngExt};
use smallvec::SmallVec;

/// One to connect to, and two to try where that fails.
pub(crate) const CANDIDATES: usize = 3;

/// Blind picks before every endpoint is looked at. Where half are eligible, one choice in some fifty
/// thousand needs the look.
const PICKS: usize = 24;

/// In the order in which to try them.
pub(crate) type Chosen<'a> = SmallVec<[&'a Arc<Workload>; CANDIDATES]>;

/// Endpoints to choose from.
#[derive(Clone, Copy)]
pub(crate) struct Pool<'a> {
    pub(crate) endpoints: &'a [Arc<Workload>],
    /// Whether their weights count, or all have the same.
    pub(crate) weighted: bool,
}

/// Fills `chosen` up with eligible workloads of `pool` that it does not hold yet.
pub(crate) fn fill<'a>(
    chosen: &mut Chosen<'a>,
    Pool { endpoints: pool, weighted }: Pool<'a>,
    eligible: impl Fn(&Workload) -> bool,
    rng: &mut impl Rng,
) {
    if weighted {
        return by_weight(chosen, pool, eligible, rng);
    }
    if pool.len() > PICKS {
        pick(chosen, pool, &eligible, rng);
    }
    if chosen.len() < CANDIDATES {
        look_at_all(chosen, pool, &eligible, rng);
    }
}

fn pick<'a>(
    chosen: &mut Chosen<'a>,
    pool: &'a [Arc<Workload>],
    eligible: impl Fn(&Workload) -> bool,
    rng: &mut impl Rng,
) {
    for _ in 0..PICKS {
        if chosen.len() >= CANDIDATES {
            return;
        }
        if let Some(endpoint) = pool.get(rng.random_range(0..pool.len()))
            && eligible(endpoint)
            && !holds(chosen, endpoint)
        {
            chosen.push(endpoint);
        }
    }
}

/// Reservoir sampling over the places still free.
fn look_at_all<'a>(
    chosen: &mut Chosen<'a>,
    pool: &'a [Arc<Workload>],
    eligible: impl Fn(&Workload) -> bool,
    rng: &mut impl Rng,
) {
    let already = chosen.len();
    let mut reservoir = Chosen::new();
    let candidates = pool.iter().filter(|endpoint| eligible(endpoint) && !holds(chosen, endpoint));
    for (seen, endpoint) in candidates.enumerate() {
        if already + reservoir.len() < CANDIDATES {
            reservoir.push(endpoint);
        } else if let Some(place) = reservoir.get_mut(rng.random_range(0..=seen)) {
            *place = endpoint;
        }
    }
    // A reservoir is a fair set but not a fair order: the first ones seen keep their places.
    reservoir.shuffle(rng);
    chosen.extend(reservoir);
}

/// Each place still free goes to one of those left, by weight: to whose clock, that goes as fast as it weighs, rings
/// next. Entries have weights, which are few.
fn by_weight<'a>(
    chosen: &mut Chosen<'a>,
    pool: &'a [Arc<Workload>],
    eligible: impl Fn(&Workload) -> bool,
    rng: &mut impl Rng,
) {
    let mut rings: SmallVec<[(f64, &Arc<Workload>); 8]> = SmallVec::new();
    for endpoint in pool.iter().filter(|endpoint| eligible(endpoint) && !holds(chosen, endpoint)) {
        rings.push((-rng.random::<f64>().ln() / f64::from(endpoint.weight), endpoint));
    }
    rings.sort_unstable_by(|(one, _), (other, _)| one.total_cmp(other));
    let free = CANDIDATES.saturating_sub(chosen.len());
    chosen.extend(rings.into_iter().take(free).map(|(_, endpoint)| endpoint));
}

fn holds(chosen: &Chosen<'_>, endpoint: &Arc<Workload>) -> bool {
    chosen.iter().any(|held| Arc::ptr_eq(held, endpoint))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use ambit_model::Application;

    use super::*;
    use crate::fixtures::pod;

    /// Chooses among `size` endpoints of which every `nth` is eligible.
    fn check(size: usize, nth: usize) {
        let pool: Vec<_> = (0..size).map(|n| Arc::new(pod(&format!("pod-{n:05}"), "node", "10.0.0.1"))).collect();
        let eligible: Vec<_> = pool.iter().step_by(nth).map(|endpoint| endpoint.uid.clone()).collect();
        let mut rng = StdRng::seed_from_u64(7);
        let rounds = 200 * eligible.len();
        let mut counts = vec![[0_usize; CANDIDATES]; eligible.len()];
        for _ in 0..rounds {
            let mut chosen = Chosen::new();
            let pool = Pool { endpoints: &pool, weighted: false };
            fill(&mut chosen, pool, |endpoint| eligible.binary_search(&endpoint.uid).is_ok(), &mut rng);
            assert_eq!(chosen.len(), CANDIDATES.min(eligible.len()), "of {size}, every {nth}");
            for (place, endpoint) in chosen.iter().enumerate() {
                counts[eligible.binary_search(&endpoint.uid).unwrap()][place] += 1;
            }
            chosen.sort_by_key(|endpoint| Arc::as_ptr(endpoint));
            chosen.dedup_by_key(|endpoint| Arc::as_ptr(endpoint));
            assert_eq!(chosen.len(), CANDIDATES.min(eligible.len()), "distinct");
        }
        // 200 expected, standard deviation at most 14.2.
        for place in 0..CANDIDATES.min(eligible.len()) {
            let counts = || counts.iter().map(|places| places[place]);
            assert!(counts().all(|count| (130..=270).contains(&count)), "of {size}, every {nth}, place {place}");
        }
    }

    #[test]
    fn every_eligible_endpoint_is_as_likely_in_every_place() {
        for (size, nth) in
            [(1, 1), (2, 1), (3, 1), (10, 1), (20, 5), (25, 1), (60, 2), (100, 30), (100, 60), (100, 100)]
        {
            check(size, nth);
        }
    }

    #[test]
    fn weights_decide_on_who_is_first() {
        let of_weight = |weight| {
            let pod = pod(&format!("pod-{weight}"), "node", "10.0.0.1");
            let application = Application { weight, ..Application::clone(&pod) };
            Arc::new(Workload { application: Arc::new(application), ..pod })
        };
        let pool = [1, 2, 5, 8].map(of_weight);
        let mut rng = StdRng::seed_from_u64(7);
        let mut firsts = [0; 4];
        for _ in 0..1600 {
            let mut chosen = Chosen::new();
            fill(&mut chosen, Pool { endpoints: &pool, weighted: true }, |endpoint| endpoint.weight != 8, &mut rng);
            assert_eq!(chosen.len(), 3);
            firsts[pool.iter().position(|it| Arc::ptr_eq(it, chosen[0])).unwrap()] += 1;
        }
        // 200, 400 and 1000 expected, standard deviation at most 19.4.
        let close = |found: i32, expected: i32| (found - expected).abs() < 90;
        assert!(
            close(firsts[0], 200) && close(firsts[1], 400) && close(firsts[2], 1000) && firsts[3] == 0,
            "{firsts:?}"
        );
    }
}
