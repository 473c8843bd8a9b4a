//! Workloads.

use std::collections::BTreeMap;
use std::sync::Arc;

use ambit_model::{
    Application, DEFAULT_TRUST_DOMAIN, Identity, Locality, PolicyKey, PortMapping, SPIFFE_SCHEME, SameNode,
    ServicePorts, TunnelProtocol, Workload, WorkloadKind, WorkloadUid,
};

use super::values::{app_protocol, invalid, ip, known, open_port, policy_key, required, service_key};
use super::waypoint::{failure, word};
use super::{Decoder, Fault};
use crate::encode::{DEFAULT_SERVICE_ACCOUNT, SAME_NODE_EXTENSION};
use crate::proto::workload as message;

impl Decoder {
    pub(super) fn workload(&mut self, it: message::Workload) -> Result<Workload, Fault> {
        if it.network_gateway.is_some() {
            return Err(Fault::Unsupported { field: "network_gateway" });
        }
        let namespace = self.texts.share(required("namespace", it.namespace)?.as_str());
        let identity = self.identity(&it.trust_domain, &namespace, &it.service_account)?;
        let services = services(it.services);
        let uid = WorkloadUid::new(required("uid", it.uid)?);
        // Said once where it is the workload's own, so that its like are alike.
        let workload_name = if it.workload_name == uid.name() { "" } else { it.workload_name.as_str() };
        let application = Application {
            namespace,
            identity,
            canonical_name: self.texts.share(it.canonical_name.as_str()),
            canonical_revision: self.texts.share(it.canonical_revision.as_str()),
            kind: kind(it.workload_type),
            workload_name: self.texts.share(workload_name),
            services: self.services.share(services),
            authorization_policies: policies(&it.authorization_policies)?,
            waypoint: it.waypoint.map(|it| self.waypoint(it)).transpose()?,
            waypoint_failure: failure(&it.extensions)?,
            labels: Arc::default(),
            cluster: self.texts.share(it.cluster_id.as_str()),
            // One that has addresses need not be looked up.
            hostname: Some(it.hostname).filter(|name| !name.is_empty() && it.addresses.is_empty()).map(Arc::from),
            weight: it.capacity.unwrap_or(1).max(1),
        };
        Ok(Workload {
            uid,
            addresses: it.addresses.iter().map(|bytes| ip("addresses", bytes)).collect::<Result<_, _>>()?,
            node: self.texts.share(it.node.as_str()),
            locality: it.locality.map(|it| self.locality(&it)),
            tunnel_protocol: tunnel_protocol(it.tunnel_protocol)?,
            native_tunnel: it.native_tunnel,
            healthy: known::<message::WorkloadStatus>("status", it.status)? == message::WorkloadStatus::Healthy,
            host_network: known::<message::NetworkMode>("network_mode", it.network_mode)?
                == message::NetworkMode::HostNetwork,
            same_node: same_node(&it.extensions)?,
            application: self.applications.share(application),
        })
    }

    fn locality(&mut self, it: &message::Locality) -> Arc<Locality> {
        let [region, zone] = [&it.region, &it.zone].map(|text| self.texts.share(text.as_str()));
        self.localities.share(Locality { region, zone })
    }

    fn identity(&mut self, trust_domain: &str, namespace: &Arc<str>, account: &str) -> Result<Identity, Fault> {
        let or = |text, default| if str::is_empty(text) { default } else { text };
        let trust_domain = self.texts.share(or(trust_domain, DEFAULT_TRUST_DOMAIN));
        let account = self.texts.share(or(account, DEFAULT_SERVICE_ACCOUNT));
        // Through the parser, since a part may hold what would make it another's identity.
        let text = format!("{SPIFFE_SCHEME}{trust_domain}/ns/{namespace}/sa/{account}");
        let parsed: Identity = text.parse().map_err(|_| invalid("service_account", &text))?;
        drop(parsed);
        Ok(Identity::new(trust_domain, Arc::clone(namespace), account))
    }
}

fn tunnel_protocol(value: i32) -> Result<TunnelProtocol, Fault> {
    Ok(match known("tunnel_protocol", value)? {
        message::TunnelProtocol::Hbone => TunnelProtocol::Hbone,
        // Whoever speaks the legacy protocol beside the workload takes what comes, or refuses it, by the
        // mode set there; there is no tunnel to it.
        message::TunnelProtocol::None | message::TunnelProtocol::LegacyIstioMtls => TunnelProtocol::None,
    })
}

/// For metrics and logs only: an unknown one does no harm.
fn kind(value: i32) -> WorkloadKind {
    match message::WorkloadType::try_from(value) {
        Ok(message::WorkloadType::Deployment) => WorkloadKind::Deployment,
        Ok(message::WorkloadType::Cronjob) => WorkloadKind::CronJob,
        Ok(message::WorkloadType::Job) => WorkloadKind::Job,
        Ok(message::WorkloadType::Pod) | Err(_) => WorkloadKind::Pod,
    }
}

/// The services that can be read. It takes another object to put a workload behind a service: one that
/// cannot be read must not take the workload out of the mesh.
fn services(all: BTreeMap<String, message::PortList>) -> ServicePorts {
    let ports = |list: message::PortList| list.ports.into_iter().map(mapping).collect::<Result<_, _>>();
    let service = |(name, list): (String, _)| Ok::<_, Fault>((service_key("services", &name)?, ports(list)?));
    all.into_iter().filter_map(|named| service(named).ok()).collect()
}

fn mapping(it: message::Port) -> Result<PortMapping, Fault> {
    Ok(PortMapping {
        service_port: open_port("services.service_port", it.service_port)?,
        target_port: open_port("services.target_port", it.target_port)?,
        app_protocol: app_protocol(it.app_protocol),
    })
}

fn policies(all: &[String]) -> Result<Arc<[PolicyKey]>, Fault> {
    let mut keys = all.iter().map(|it| policy_key("authorization_policies", it)).collect::<Result<Vec<_>, _>>()?;
    keys.sort();
    Ok(keys.into())
}

/// Other extensions are others' own.
fn same_node(all: &[message::Extension]) -> Result<Option<SameNode>, Fault> {
    match word(all, SAME_NODE_EXTENSION)?.as_deref() {
        None => Ok(None),
        Some("direct") => Ok(Some(SameNode::Direct)),
        Some("tunnel") => Ok(Some(SameNode::Tunnel)),
        other => Err(invalid(SAME_NODE_EXTENSION, other)),
    }
}
