//! What the objects of a store share.

use std::collections::BTreeMap;
use std::sync::Arc;

use ambit_model::{Application, GatewayAddress, Interner, Labels, ServicePorts};

use crate::Options;
use crate::replica::Replica;

/// The services a workload is an endpoint of, with its ports for each.
pub(crate) type Services = ServicePorts;

/// The options, and what objects have in common, each value once.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) texts: Interner<str>,
    pub(crate) replicas: Interner<Replica>,
    pub(crate) services: Interner<Services>,
    pub(crate) applications: Interner<Application>,
    pub(crate) labels: Interner<Labels>,
    pub(crate) gateways: Interner<GatewayAddress>,
}

impl Shared {
    /// The labels a workload carries.
    pub(crate) fn labels_of(&mut self, labels: &BTreeMap<String, String>) -> Arc<Labels> {
        let carried = labels.iter().filter(|_| self.options.labels);
        let carried: Labels =
            carried.map(|(key, value)| (self.texts.share(key.as_str()), self.texts.share(value.as_str()))).collect();
        self.labels.share(carried)
    }
}
