//! EndpointSlices: the endpoints of services that select none.

use std::net::IpAddr;
use std::sync::Arc;

use ambit_model::{ServiceKey, WorkloadUid, canonical_ip, is_elsewhere};
use ambit_resources::{self as resources, ObjectId, WorkloadEntrySpec};

use crate::endpoints::Wanted;
use crate::service::{self, Frontend, is_tcp};
use crate::shared::Shared;
use crate::workload_entry::outside;

/// The label that names the service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// An EndpointSlice.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    /// Its service.
    pub(crate) service: ServiceKey,
    endpoints: Box<[Endpoint]>,
    /// By the name the service gives them.
    ports: Box<[(Arc<str>, u16)]>,
}

#[derive(Debug, PartialEq, Eq)]
struct Endpoint {
    address: IpAddr,
    healthy: bool,
    node: Arc<str>,
    /// The pod it stands for.
    pod: Option<WorkloadUid>,
}

/// What an EndpointSlice means by itself; nothing if it is of no service.
pub(crate) fn prepare(id: &ObjectId, slice: &resources::EndpointSlice, shared: &mut Shared) -> Option<Slice> {
    let service = slice.metadata.labels.get(SERVICE_NAME)?;
    let ports = slice.ports.iter().filter(|port| is_tcp(&port.protocol));
    let ports = ports.filter_map(|port| Some((shared.texts.share(port.name.as_str()), port.port?))).collect();
    let mut endpoints = Vec::new();
    for endpoint in &slice.endpoints {
        let pod = endpoint.target_ref.as_ref().filter(|target| target.kind == "Pod");
        let pod = pod.map(|pod| WorkloadUid::pod(&shared.options.cluster, &pod.namespace, &pod.name));
        for address in endpoint
            .addresses
            .iter()
            .filter_map(|text| text.parse().ok())
            .map(canonical_ip)
            .filter(|it| is_elsewhere(*it))
        {
            let (healthy, node) = (endpoint.conditions.ready != Some(false), endpoint.node_name.as_str());
            endpoints.push(Endpoint { address, healthy, node: shared.texts.share(node), pod: pod.clone() });
        }
    }
    let service = service::key(&id.namespace, service, shared);
    Some(Slice { service, endpoints: endpoints.into(), ports })
}

impl Slice {
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.endpoints.iter().map(|endpoint| endpoint.address)
    }

    /// Its endpoints behind its service. Depends on both. They may be anywhere, so that their addresses
    /// tell nobody who they are: like those of the host's network.
    pub(crate) fn endpoints(&self, id: &ObjectId, service: &Frontend, shared: &mut Shared) -> Vec<Wanted> {
        let port = |name: &Arc<str>| self.ports.iter().find(|(port, _)| port == name).map(|(_, number)| *number);
        let Some(ports) = service.ports(|target| port(&target.name)) else { return Vec::new() };
        let spec = WorkloadEntrySpec::default();
        let endpoints = self.endpoints.iter().map(|endpoint| {
            let mut workload = outside(Arc::clone(&id.namespace), &id.name, &spec, shared);
            let (cluster, address) = (&shared.options.cluster, endpoint.address);
            let uid = format!("{cluster}/discovery.k8s.io/EndpointSlice/{}/{}/{address}", id.namespace, id.name);
            workload.uid = WorkloadUid::new(uid);
            workload.addresses.push(address);
            workload.node = Arc::clone(&endpoint.node);
            (workload.healthy, workload.host_network) = (endpoint.healthy, true);
            Wanted { pod: endpoint.pod.clone(), services: vec![ports.clone()], workload }
        });
        endpoints.collect()
    }
}
