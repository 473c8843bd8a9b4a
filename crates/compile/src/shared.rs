//! What the objects of a store share.

use ambit_model::{Application, Interner, ServicePorts};

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
}
