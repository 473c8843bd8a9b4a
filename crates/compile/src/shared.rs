//! What the objects of a store share.

use std::collections::BTreeMap;

use ambit_model::{Interner, PortMapping, ServiceKey};

use crate::Options;
use crate::replica::Replica;

/// The services a workload is an endpoint of, with its ports for each.
pub(crate) type Services = BTreeMap<ServiceKey, Vec<PortMapping>>;

/// The options, and what objects have in common, each value once.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) texts: Interner<str>,
    pub(crate) replicas: Interner<Replica>,
    pub(crate) services: Interner<Services>,
}
