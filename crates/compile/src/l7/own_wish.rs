//! What a service itself says of how its endpoints are used: which of them, by what names they go. It counts beneath
//! a DestinationRule, but for `internalTrafficPolicy: Local` and `resolution: NONE`, which nothing changes.

use std::sync::Arc;

use ambit_l7::{LoadBalancing, Nearness, TlsMode, Traffic, TrafficPolicy};
use ambit_model::{LoadBalancingMode, Service};

/// How a service is used, with what it says itself.
pub(crate) fn with_own_wish(traffic: Option<Arc<Traffic>>, service: &Service) -> Option<Arc<Traffic>> {
    let has_names = !service.subject_alt_names.is_empty();
    if service.load_balancing == LoadBalancingMode::Unspecified && !(has_names && traffic.is_some()) {
        return traffic;
    }
    let mut traffic = traffic.as_deref().cloned().unwrap_or_default();
    let Traffic { policy, ports, subsets, .. } = &mut traffic;
    let of_subsets =
        subsets.values_mut().flat_map(|subset| std::iter::once(&mut subset.policy).chain(subset.ports.values_mut()));
    for policy in std::iter::once(policy).chain(ports.values_mut()).chain(of_subsets) {
        adapt(Arc::make_mut(policy), service);
    }
    Some(Arc::new(traffic))
}

fn adapt(policy: &mut TrafficPolicy, service: &Service) {
    match service.load_balancing {
        LoadBalancingMode::Unspecified => {}
        LoadBalancingMode::PreferZone => policy.nearness = Nearness::PreferZone,
        LoadBalancingMode::PreferNode => policy.nearness = Nearness::PreferNode,
        LoadBalancingMode::StrictNode => policy.nearness = Nearness::SameNode,
        LoadBalancingMode::Passthrough => policy.load_balancing = LoadBalancing::Passthrough,
    }
    // Whoever names nobody in a rule believes whom the service names.
    if policy.tls.mode != TlsMode::Disable && policy.tls.subject_alt_names.is_empty() {
        policy.tls.subject_alt_names.extend(service.subject_alt_names.iter().cloned());
    }
}

#[cfg(test)]
mod tests {
    use ambit_l7::{Subset, Tls};

    use super::*;
    use crate::l7::fixtures::{REVIEWS, service};

    fn wishing(load_balancing: LoadBalancingMode, names: &[&str]) -> Service {
        let subject_alt_names = names.iter().map(|name| Arc::from(*name)).collect();
        Service { load_balancing, subject_alt_names, ..Service::clone(&service(REVIEWS, &[80], true)) }
    }

    #[test]
    fn a_wish_is_in_every_policy() {
        let subset = Subset { ports: [(80, Arc::default())].into(), ..Subset::default() };
        let traffic = Traffic {
            ports: [(80, Arc::default())].into(),
            subsets: [("v1".into(), subset)].into(),
            ..Traffic::default()
        };
        for (wish, nearness, load_balancing) in [
            (LoadBalancingMode::PreferZone, Nearness::PreferZone, LoadBalancing::LeastRequest),
            (LoadBalancingMode::PreferNode, Nearness::PreferNode, LoadBalancing::LeastRequest),
            (LoadBalancingMode::StrictNode, Nearness::SameNode, LoadBalancing::LeastRequest),
            (LoadBalancingMode::Passthrough, Nearness::Any, LoadBalancing::Passthrough),
        ] {
            let service = wishing(wish, &[]);
            let made = with_own_wish(Some(Arc::new(traffic.clone())), &service).unwrap();
            for (port, subset) in [(80, None), (81, None), (80, Some("v1")), (81, Some("v1"))] {
                let policy = made.policy(port, subset);
                assert_eq!((policy.nearness, &policy.load_balancing), (nearness, &load_balancing), "{port} {subset:?}");
            }
            assert_eq!(with_own_wish(None, &service).unwrap().policy(80, None).nearness, nearness);
        }
        assert_eq!(with_own_wish(None, &wishing(LoadBalancingMode::Unspecified, &["x.org"])), None);
    }

    #[test]
    fn the_names_of_a_service_are_believed_where_a_rule_names_none() {
        for (mode, named, expected) in [
            (TlsMode::Simple, "", "a.org"),
            (TlsMode::Mutual, "", "a.org"),
            (TlsMode::MeshMutual, "", "a.org"),
            (TlsMode::Simple, "b.org", "b.org"),
            (TlsMode::Disable, "", ""),
        ] {
            let names = |text: &str| text.split_whitespace().map(Arc::from).collect::<Vec<Arc<str>>>();
            let tls = Tls { mode, subject_alt_names: names(named), ..Tls::default() };
            let policy = Arc::new(TrafficPolicy { tls, ..TrafficPolicy::default() });
            let traffic = Arc::new(Traffic { policy, ..Traffic::default() });
            let service = wishing(LoadBalancingMode::Unspecified, &["a.org"]);
            let made = with_own_wish(Some(traffic), &service).unwrap();
            assert_eq!(made.policy(80, None).tls.subject_alt_names, names(expected), "{mode:?} {named}");
        }
    }
}
