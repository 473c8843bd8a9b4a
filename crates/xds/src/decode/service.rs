//! Services.

use std::sync::Arc;

use ambit_model::{HealthPolicy, LoadBalancingMode, Service, ServiceKey, ServicePort};

use super::values::{app_protocol, ip, known, open_port, required};
use super::waypoint::{failure, word};
use super::{Decoder, Fault};
use crate::encode::EXPORTED_TO_EXTENSION;
use crate::proto::workload as message;
use crate::proto::workload::load_balancing::{HealthPolicy as Health, Mode, Scope};
use crate::proto::workload::service::Visibility;

impl Decoder {
    pub(super) fn service(&mut self, it: message::Service) -> Result<Service, Fault> {
        let exported_to = self.exported_to(&it)?;
        let waypoint = it.waypoint.map(|it| self.waypoint(it)).transpose()?;
        let canary = self.canary(waypoint.as_ref(), it.weighted_waypoints)?;
        let (load_balancing, health_policy) = load_balancing(it.load_balancing.as_ref())?;
        let port = |it: &message::Port| {
            let port = open_port("ports.service_port", it.service_port)?;
            Ok(ServicePort { port, name: self.texts.share(""), app_protocol: app_protocol(it.app_protocol) })
        };
        let ports = it.ports.iter().map(port).collect::<Result<_, Fault>>()?;
        Ok(Service {
            key: ServiceKey {
                namespace: self.texts.share(required("namespace", it.namespace)?.as_str()),
                hostname: required("hostname", it.hostname)?.into(),
            },
            name: it.name.into(),
            addresses: it.addresses.iter().map(address).collect::<Result<_, _>>()?,
            ports,
            subject_alt_names: it.subject_alt_names.iter().map(|it| self.texts.share(it.as_str())).collect(),
            health_policy,
            load_balancing,
            waypoint,
            canary,
            waypoint_failure: failure(&it.extensions)?,
            exported_to,
        })
    }

    fn exported_to(&mut self, it: &message::Service) -> Result<Option<Arc<[Arc<str>]>>, Fault> {
        match known("visibility", it.visibility)? {
            Visibility::Public => Ok(None),
            Visibility::Namespace => {
                let list = word(&it.extensions, EXPORTED_TO_EXTENSION)?.unwrap_or_else(|| it.namespace.clone());
                let namespaces = list.split(',').filter(|name| !name.is_empty());
                Ok(Some(namespaces.map(|name| self.texts.share(name)).collect()))
            }
        }
    }
}

fn address(it: &message::NetworkAddress) -> Result<std::net::IpAddr, Fault> {
    let whole = u32::try_from(it.address.len() * 8).ok();
    if it.length.is_some() && it.length != whole {
        return Err(Fault::Unsupported { field: "addresses.length" });
    }
    ip("addresses", &it.address)
}

/// What is asked for beside the zone and the node is not known here. As a preference it is left out; as a bound it
/// cannot be.
fn load_balancing(it: Option<&message::LoadBalancing>) -> Result<(LoadBalancingMode, HealthPolicy), Fault> {
    let Some(it) = it else { return Ok(Default::default()) };
    let health = match known("load_balancing.health_policy", it.health_policy)? {
        Health::OnlyHealthy => HealthPolicy::OnlyHealthy,
        Health::AllowAll => HealthPolicy::AllowAll,
    };
    // The node is the narrowest: who shares it shares what else is asked for.
    let node = it.routing_preference.contains(&Scope::Node.into());
    let zone = it.routing_preference.contains(&Scope::Zone.into());
    let mode = match known("load_balancing.mode", it.mode)? {
        Mode::Strict if node => LoadBalancingMode::StrictNode,
        Mode::Strict if !it.routing_preference.is_empty() => {
            return Err(Fault::Unsupported { field: "load_balancing.routing_preference" });
        }
        Mode::Failover if node => LoadBalancingMode::PreferNode,
        Mode::Failover if zone => LoadBalancingMode::PreferZone,
        Mode::UnspecifiedMode | Mode::Strict | Mode::Failover => LoadBalancingMode::Unspecified,
        Mode::Passthrough => LoadBalancingMode::Passthrough,
    };
    Ok((mode, health))
}
