//! Where nodes and workloads are.

use std::sync::Arc;

use ambit_model::{Interner, Locality};
use ambit_resources::Node;

const REGION: &str = "topology.kubernetes.io/region";
const ZONE: &str = "topology.kubernetes.io/zone";

/// Where a node is; nothing where nobody said.
pub(crate) fn of_node(node: &Node, texts: &mut Interner<str>) -> Option<Arc<Locality>> {
    let label = |key: &str| node.metadata.labels.get(key).map(String::as_str).unwrap_or_default();
    locality(label(REGION), label(ZONE), texts)
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
