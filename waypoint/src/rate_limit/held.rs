//! The buckets of limits that are counted here. They outlive what is in force, or every change of a route would fill
//! them; those of a limit whose rate changes begin anew.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use ambit_balance::Buckets;
use ambit_l7::{AttachedLimit, GlobalLimit, LimitCounter, RateLimit, ServiceRules};
use ambit_model::PolicyKey;

/// A limit of a service, ready for use.
#[derive(Debug)]
pub(crate) struct Limit {
    /// What it is about.
    pub(crate) attached: AttachedLimit,
    /// Who counts.
    pub(crate) counter: Counter,
}

/// Who counts.
#[derive(Debug)]
pub(crate) enum Counter {
    /// All workers, in these.
    Local(Arc<Buckets>),
    /// A service.
    Global(GlobalLimit),
}

/// All buckets, by policy and rule: a limit has the same ones wherever it is attached.
#[derive(Debug, Default)]
pub(crate) struct HeldBuckets(HashMap<(PolicyKey, Arc<str>), Arc<Buckets>>);

impl HeldBuckets {
    /// A service's limits, with the buckets they had `before`.
    pub(crate) fn ready(&mut self, before: &Self, rules: &ServiceRules) -> Box<[Limit]> {
        let ready = |attached: &AttachedLimit| {
            let counter = match &attached.limit.counter {
                LimitCounter::Local(rate) => {
                    let name = name(&attached.limit);
                    let known = self.0.get(&name).or_else(|| before.0.get(&name));
                    let known = known.filter(|buckets| buckets.rate() == *rate).map(Arc::clone);
                    let buckets = known.unwrap_or_else(|| Arc::new(Buckets::new(*rate, Instant::now())));
                    self.0.insert(name, Arc::clone(&buckets));
                    Counter::Local(buckets)
                }
                LimitCounter::Global(global) => Counter::Global(global.clone()),
            };
            Limit { attached: attached.clone(), counter }
        };
        rules.limits.iter().map(ready).collect()
    }

    /// Keeps those of limits that go on as they are.
    pub(crate) fn keep(&mut self, limits: &[Limit]) {
        for Limit { attached, counter } in limits {
            if let Counter::Local(buckets) = counter {
                self.0.insert(name(&attached.limit), Arc::clone(buckets));
            }
        }
    }
}

fn name(limit: &RateLimit) -> (PolicyKey, Arc<str>) {
    (limit.policy.clone(), Arc::clone(&limit.name))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use ambit_l7::{HttpAuthorizationRule, LimitScope, Rate};

    use super::*;

    fn rules(name: &str, requests: u32) -> ServiceRules {
        let requests = NonZeroU32::new(requests).unwrap();
        let limit = Arc::new(RateLimit {
            policy: PolicyKey { namespace: "shop".into(), name: "limits".into() },
            name: name.into(),
            when: HttpAuthorizationRule::default(),
            key: Vec::new(),
            counter: LimitCounter::Local(Rate { requests, per: Duration::from_secs(3600), burst: requests }),
            dry_run: false,
            told: true,
            resource_exhausted: false,
        });
        let limits = vec![AttachedLimit { limit, scopes: vec![LimitScope::All] }];
        ServiceRules { limits, ..ServiceRules::default() }
    }

    #[test]
    fn buckets_outlive_everything_but_their_rate() {
        let drawn = |limits: &[Limit]| match &limits[0].counter {
            Counter::Local(buckets) => buckets.draw(0, Instant::now()).left,
            Counter::Global(_) => panic!(),
        };
        let mut first = HeldBuckets::default();
        assert_eq!(drawn(&first.ready(&HeldBuckets::default(), &rules("a", 10))), 9);
        let elsewhere = first.ready(&HeldBuckets::default(), &rules("a", 10));
        assert_eq!(drawn(&elsewhere), 8, "attached to another service");
        let mut kept = HeldBuckets::default();
        kept.keep(&elsewhere);
        let mut next = HeldBuckets::default();
        assert_eq!(drawn(&next.ready(&kept, &rules("a", 10))), 7, "after another change");
        assert_eq!(drawn(&next.ready(&kept, &rules("b", 10))), 9, "another rule");
        assert_eq!(drawn(&next.ready(&kept, &rules("a", 20))), 19, "another rate");
    }
}
