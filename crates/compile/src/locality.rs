//! Where nodes and workloads are.

use std::net::IpAddr;
use std::sync::Arc;

use ambit_model::{Interner, Locality, canonical_ip};
use ambit_resources::Node;

const REGION: &str = "topology.kubernetes.io/region";
const ZONE: &str = "topology.kubernetes.io/zone";

/// Where a node is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Site {
    /// Nothing where nobody said.
    pub(crate) locality: Option<Arc<Locality>>,
    pub(crate) addresses: Box<[IpAddr]>,
}

/// Where a node is.
pub(crate) fn of_node(node: &Node, texts: &mut Interner<str>) -> Site {
    let label = |key: &str| node.metadata.labels.get(key).map(String::as_str).unwrap_or_default();
    let addresses = node.status.addresses.iter().filter_map(|it| it.address.parse().ok()).map(canonical_ip);
    Site { locality: locality(label(REGION), label(ZONE), texts), addresses: addresses.collect() }
}

/// What `region/zone/subzone` says, as far as it is used.
pub(crate) fn parse(text: &str, texts: &mut Interner<str>) -> Option<Arc<Locality>> {
    let mut parts = text.split('/');
    locality(parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), texts)
}

fn locality(region: &str, zone: &str, texts: &mut Interner<str>) -> Option<Arc<Locality>> {
    let known = !(region.is_empty() && zone.is_empty());
    known.then(|| Arc::new(Locality { region: texts.share(region), zone: texts.share(zone) }))
}
