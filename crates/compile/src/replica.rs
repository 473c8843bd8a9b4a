//! What the replicas of one application have in common.

use std::collections::BTreeMap;
use std::sync::Arc;

use ambit_resources::Pod;

use crate::labels::Labels;
use crate::service::is_tcp;
use crate::shared::Shared;

/// All of a workload that services and policies look at: what they mean for one replica they mean for
/// all.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Replica {
    pub(crate) namespace: Arc<str>,
    pub(crate) labels: Labels,
    /// Its TCP ports that have a name.
    ports: Box<[(Arc<str>, u16)]>,
}

impl Replica {
    pub(crate) fn of_pod(namespace: Arc<str>, pod: &Pod, shared: &mut Shared) -> Arc<Self> {
        let beside = pod.spec.init_containers.iter().filter(|container| container.restart_policy == "Always");
        let ports = pod.spec.containers.iter().chain(beside).flat_map(|container| &container.ports);
        let named = ports.filter(|port| !port.name.is_empty() && is_tcp(&port.protocol));
        let ports = named.map(|port| (port.name.as_str(), port.container_port));
        Self::of(namespace, &pod.metadata.labels, ports, shared)
    }

    pub(crate) fn of<'a>(
        namespace: Arc<str>,
        labels: &BTreeMap<String, String>,
        ports: impl Iterator<Item = (&'a str, u16)>,
        shared: &mut Shared,
    ) -> Arc<Self> {
        let ports = ports.map(|(name, port)| (shared.texts.share(name), port)).collect();
        let labels = Labels::of(labels, &mut shared.texts);
        shared.replicas.share(Self { namespace, labels, ports })
    }

    /// The port of a name.
    pub(crate) fn port(&self, name: &str) -> Option<u16> {
        self.ports.iter().find(|(port, _)| **port == *name).map(|(_, number)| *number)
    }
}
