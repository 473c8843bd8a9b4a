//! Which endpoints are near to a client: levels of failover, and shares of `distribute`.

use std::sync::Arc;

use ambit_l7::{Locality, LocalityBalancing, LocalitySplit, Nearness, TrafficPolicy};
use smallvec::SmallVec;

use crate::{Client, EndpointSpec, Labels, Place};

/// Levels that the place alone makes: same sub-zone, zone, region, region to fail over to, anywhere.
const LEVELS_OF_PLACE: usize = 5;

/// Kinds of clients that are remembered at a time where they differ by place and labels.
const MOST_PLACES: usize = 64;

/// The same where they differ by node.
const MOST_NODES: usize = 1024;

/// How the client's place and labels narrow the choice.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Preference<'a> {
    /// Not at all.
    None,
    /// It decides on shares.
    Distribute(&'a [LocalitySplit]),
    /// It decides on the order in which endpoints are used.
    Failover(&'a LocalityBalancing),
    /// The same, as the Service itself would have it: or on which endpoints are used at all.
    Near(Nearness),
}

/// What of a client a preference looks at, in an order of the preference's own.
pub(crate) type Traits<'a> = SmallVec<[&'a str; 8]>;

impl<'a> Preference<'a> {
    /// Failover is in force beside outlier detection only: without it no level would ever fail. What the Service
    /// wishes counts where nobody else says anything; what it demands, always.
    pub(crate) fn of(policy: &'a TrafficPolicy) -> Self {
        match (policy.nearness, &policy.locality) {
            (Nearness::SameNode, _) => Self::Near(Nearness::SameNode),
            (_, Some(locality)) if !locality.distribute.is_empty() => Self::Distribute(&locality.distribute),
            (_, Some(locality)) if policy.outliers.is_some() => Self::Failover(locality),
            (Nearness::Any, _) => Self::None,
            (wish, _) => Self::Near(wish),
        }
    }

    /// Clients of the same traits see the same.
    pub(crate) fn traits<'c>(&self, client: &Client<'c>) -> Traits<'c>
    where
        'a: 'c,
    {
        let mut traits = Traits::new();
        if let Self::None = self {
            return traits;
        }
        if self.is_by_node() {
            traits.push(client.node);
        }
        if let Some(place) = client.place {
            traits.extend([&*place.region, &*place.zone, &*place.subzone]);
        }
        if let Self::Failover(locality) = self {
            traits.extend(locality.failover_priority.iter().map(|priority| wanted(priority, client)));
        }
        traits
    }

    /// Clients of more kinds than this are not remembered at a time.
    pub(crate) fn most_views(&self) -> usize {
        if self.is_by_node() { MOST_NODES } else { MOST_PLACES }
    }

    fn is_by_node(&self) -> bool {
        matches!(self, Self::Near(Nearness::SameNode | Nearness::PreferNode))
    }
}

/// The level an endpoint is of, for a client: the lower, the sooner used.
pub(crate) fn level(locality: &LocalityBalancing, client: &Client<'_>, endpoint: &EndpointSpec) -> usize {
    let by_labels = levels_missed(&locality.failover_priority, client, endpoint);
    if !locality.failover_priority.is_empty() && locality.failover.is_empty() {
        return by_labels;
    }
    by_labels * LEVELS_OF_PLACE + client.place.map_or(0, |place| level_of_place(locality, place, &endpoint.place))
}

/// The level an endpoint is of where the Service says how near it is to be; none: it is not used.
pub(crate) fn level_of_nearness(nearness: Nearness, client: &Client<'_>, endpoint: &EndpointSpec) -> Option<usize> {
    let is_same_node = !client.node.is_empty() && *endpoint.node == *client.node;
    let is_same_region = client.place.is_some_and(|client| client.is_same_region(&endpoint.place));
    let is_same_zone = client.place.is_some_and(|client| client.is_same_zone(&endpoint.place));
    match nearness {
        Nearness::SameNode => is_same_node.then_some(0),
        Nearness::PreferNode if is_same_node => Some(0),
        Nearness::PreferNode | Nearness::PreferZone if is_same_zone => Some(1),
        Nearness::PreferNode | Nearness::PreferZone if is_same_region => Some(2),
        Nearness::PreferNode | Nearness::PreferZone | Nearness::Any => Some(3),
    }
}

/// Labels from the first one on that differs.
fn levels_missed(priorities: &[(Arc<str>, Option<Arc<str>>)], client: &Client<'_>, endpoint: &EndpointSpec) -> usize {
    let equal = |priority: &&(Arc<str>, Option<Arc<str>>)| {
        label(&priority.0, Some(&endpoint.labels), Some(&endpoint.place)) == wanted(priority, client)
    };
    priorities.len() - priorities.iter().take_while(equal).count()
}

fn wanted<'a>((name, value): &'a (Arc<str>, Option<Arc<str>>), client: &Client<'a>) -> &'a str {
    value.as_deref().unwrap_or_else(|| label(name, client.labels, client.place))
}

/// Empty where there is none: what neither has is equal.
fn label<'a>(name: &str, labels: Option<&'a Labels>, place: Option<&'a Place>) -> &'a str {
    if let Some(value) = labels.and_then(|labels| labels.get(name)) {
        return value;
    }
    match (name, place) {
        ("topology.kubernetes.io/region", Some(place)) => &place.region,
        ("topology.kubernetes.io/zone", Some(place)) => &place.zone,
        ("topology.istio.io/subzone", Some(place)) => &place.subzone,
        _ => "",
    }
}

fn level_of_place(locality: &LocalityBalancing, client: &Place, endpoint: &Place) -> usize {
    if client.is_unknown() {
        return 0;
    }
    if client.region != endpoint.region {
        let next = locality.failover.iter().find(|failover| failover.from == client.region);
        return if next.is_none_or(|failover| failover.to == endpoint.region) { 3 } else { 4 };
    }
    match (client.zone == endpoint.zone, client.subzone == endpoint.subzone) {
        (true, true) => 0,
        (true, false) => 1,
        (false, _) => 2,
    }
}

/// How traffic of a client is split: by the most specific of those that match.
pub(crate) fn split_for<'a>(splits: &'a [LocalitySplit], client: &Client<'_>) -> Option<&'a LocalitySplit> {
    let unknown = Place::default();
    let place = client.place.unwrap_or(&unknown);
    most_specific(splits.iter().map(|split| (split, &split.from)), place)
}

/// The place in a split's list where an endpoint has its share; none: it gets nothing.
pub(crate) fn share_of(split: &LocalitySplit, endpoint: &EndpointSpec) -> Option<usize> {
    most_specific(split.to.iter().enumerate().map(|(n, (locality, _))| (n, locality)), &endpoint.place)
}

/// The first of the most specific.
fn most_specific<'a, T>(all: impl Iterator<Item = (T, &'a Locality)>, place: &Place) -> Option<T> {
    let mut best: Option<(T, usize)> = None;
    for (item, locality) in all {
        if let Some(parts) = parts_matched(locality, place)
            && best.as_ref().is_none_or(|(_, most)| parts > *most)
        {
            best = Some((item, parts));
        }
    }
    best.map(|(item, _)| item)
}

/// How many parts of a place a pattern names, if it matches.
fn parts_matched(pattern: &Locality, place: &Place) -> Option<usize> {
    let mut named = 0;
    for (pattern, part) in
        [(&pattern.region, &place.region), (&pattern.zone, &place.zone), (&pattern.subzone, &place.subzone)]
    {
        match pattern.as_deref() {
            None | Some("*") => {}
            Some(pattern) if *pattern == **part => named += 1,
            Some(_) => return None,
        }
    }
    Some(named)
}

#[cfg(test)]
mod tests;
