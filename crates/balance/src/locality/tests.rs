use ambit_l7::Failover;

use super::*;
use crate::fixtures::{place, spec};

fn labels(text: &str) -> Labels {
    text.split_terminator(',').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect()
}

fn at(text: &str, with: &str) -> EndpointSpec {
    EndpointSpec { place: place(text), labels: Arc::new(labels(with)), ..spec("pod") }
}

fn pattern(text: &str) -> Locality {
    let mut parts = text.split('/').map(|part| Some(Arc::from(part)));
    let mut part = || parts.next().flatten();
    Locality { region: part(), zone: part(), subzone: part() }
}

#[test]
fn levels_by_place() {
    let failover = [("eu", "us"), ("us", "eu")].map(|(from, to)| Failover { from: from.into(), to: to.into() });
    let settings = LocalityBalancing { failover: failover.to_vec(), ..LocalityBalancing::default() };
    for (client, endpoint, expected) in [
        ("eu/a/1", "eu/a/1", 0),
        ("eu/a", "eu/a", 0),
        ("eu/a/1", "eu/a/2", 1),
        ("eu/a/1", "eu/a", 1),
        ("eu/a/1", "eu/b/1", 2),
        ("eu/a/1", "us/a/1", 3),
        ("eu/a/1", "asia/a/1", 4),
        ("eu/a/1", "", 4),
        ("asia/a", "eu/a", 3),
        ("asia/a", "us/a", 3),
        ("", "eu/a", 0),
    ] {
        let place = place(client);
        let client = Client { place: Some(&place), node: "", labels: None };
        assert_eq!(level(&settings, &client, &at(endpoint, "")), expected, "{client:?} to {endpoint}");
    }
    assert_eq!(level(&settings, &Client::default(), &at("eu/a", "")), 0, "nobody knows where the client is");
}

#[test]
fn levels_by_labels() {
    let zone = "topology.kubernetes.io/zone";
    for (priorities, client, endpoint, expected) in [
        (vec!["a", "b"], "a=1,b=2", "a=1,b=2", 0),
        (vec!["a", "b"], "a=1,b=2", "a=1,b=3", 1),
        (vec!["a", "b"], "a=1,b=2", "a=2,b=2", 2),
        (vec!["a", "b"], "a=1", "a=1", 0),
        (vec!["a", "b"], "", "a=1", 2),
        (vec!["a=7", "b"], "a=1,b=2", "a=7,b=2", 0),
        (vec!["a=7", "b"], "a=7,b=2", "a=1,b=2", 2),
        (vec![zone, "b"], "b=2", "b=2", 0),
        (vec![zone], "topology.kubernetes.io/zone=z", "", 1),
    ] {
        let failover_priority = priorities
            .iter()
            .map(|text| text.split_once('=').map_or((Arc::from(*text), None), |(k, v)| (k.into(), Some(v.into()))))
            .collect();
        let settings = LocalityBalancing { failover_priority, ..LocalityBalancing::default() };
        let (place, labels) = (place("eu/a"), labels(client));
        let client = Client { place: Some(&place), node: "", labels: Some(&labels) };
        assert_eq!(level(&settings, &client, &at("eu/a", endpoint)), expected, "{priorities:?} {client:?} {endpoint}");
    }
}

#[test]
fn labels_come_before_regions() {
    let settings = LocalityBalancing {
        failover_priority: vec![("a".into(), None)],
        failover: vec![Failover { from: "eu".into(), to: "us".into() }],
        ..LocalityBalancing::default()
    };
    let (place, labels) = (place("eu/a"), labels("a=1"));
    let client = Client { place: Some(&place), node: "", labels: Some(&labels) };
    let levels = [("eu/a", "a=1"), ("us/a", "a=1"), ("asia/a", "a=1"), ("eu/a", "a=2"), ("us/a", "a=2")];
    let levels = levels.map(|(place, labels)| level(&settings, &client, &at(place, labels)));
    assert!(levels.is_sorted_by(|one, other| one < other), "{levels:?}");
}

#[test]
fn the_most_specific_split_counts() {
    let split = |from: &str, to: &[&str]| LocalitySplit {
        from: pattern(from),
        to: to.iter().map(|to| (pattern(to), 1)).collect(),
    };
    let splits = [split("eu/*", &["eu/a/*", "eu/*", "*"]), split("eu/a/*", &[]), split("eu/a/1", &[])];
    for (client, expected) in
        [("eu/a/1", Some(2)), ("eu/a/2", Some(1)), ("eu/a", Some(1)), ("eu/b/1", Some(0)), ("us/a/1", None), ("", None)]
    {
        let place = place(client);
        let found = split_for(&splits, &Client { place: Some(&place), node: "", labels: None });
        assert_eq!(found, expected.map(|n: usize| &splits[n]), "{client}");
    }
    for (endpoint, expected) in [("eu/a/1", Some(0)), ("eu/b/1", Some(1)), ("us/a/1", Some(2)), ("", Some(2))] {
        assert_eq!(share_of(&splits[0], &at(endpoint, "")), expected, "{endpoint}");
    }
    let everybody = [split("*", &[])];
    assert!(split_for(&everybody, &Client::default()).is_some());
}
