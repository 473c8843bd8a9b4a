//! Waypoints, and what becomes of connections where one is not there.

use std::sync::Arc;

use ambit_model::{Canary, GatewayAddress, GatewayDestination, HBONE_PORT, ServiceKey, WaypointFailure};
use prost::Message;

use super::values::{invalid, ip, port, required};
use super::{Decoder, Fault};
use crate::encode::{STRING_VALUE, WAYPOINT_FAILURE_EXTENSION};
use crate::proto::workload as message;
use crate::proto::workload::gateway_address::Destination;

impl Decoder {
    /// One that cannot be read takes the whole object with it: its traffic would go past the waypoint.
    pub(super) fn waypoint(&mut self, it: message::GatewayAddress) -> Result<Arc<GatewayAddress>, Fault> {
        let destination = match it.destination.ok_or(Fault::Missing { field: "waypoint.destination" })? {
            Destination::Hostname(name) => GatewayDestination::Hostname(ServiceKey {
                namespace: self.texts.share(required("waypoint.namespace", name.namespace)?.as_str()),
                hostname: self.texts.share(required("waypoint.hostname", name.hostname)?.as_str()),
            }),
            Destination::Address(it) => GatewayDestination::Address(ip("waypoint.address", &it.address)?),
        };
        let hbone_port = match port("waypoint.hbone_mtls_port", it.hbone_mtls_port)? {
            0 => HBONE_PORT,
            port => port,
        };
        Ok(self.gateways.share(GatewayAddress { destination, hbone_port }))
    }

    /// Two at most, the first of them the one that there is without weights: to leave one out would be to lead its
    /// share past the rules it has.
    pub(super) fn canary(
        &mut self,
        waypoint: Option<&Arc<GatewayAddress>>,
        weighted: Vec<message::WeightedWaypoint>,
    ) -> Result<Option<Canary>, Fault> {
        let unsupported = || Fault::Unsupported { field: "weighted_waypoints" };
        let mut all = Vec::with_capacity(weighted.len());
        for message::WeightedWaypoint { destination, weight } in weighted {
            let destination = destination.ok_or(Fault::Missing { field: "weighted_waypoints.destination" })?;
            all.push((self.waypoint(destination)?, weight));
        }
        match &all[..] {
            [] => Ok(None),
            [(first, rest), (canary, percent)]
                if Some(first) == waypoint && rest.checked_add(*percent) == Some(100) =>
            {
                let percent = u8::try_from(*percent).map_err(|_| unsupported())?;
                Ok(Some(Canary { waypoint: Arc::clone(canary), percent }))
            }
            _ => Err(unsupported()),
        }
    }
}

/// Other extensions are others' own.
pub(super) fn failure(all: &[message::Extension]) -> Result<WaypointFailure, Fault> {
    match word(all, WAYPOINT_FAILURE_EXTENSION)?.as_deref() {
        None => Ok(WaypointFailure::Closed),
        Some("open") => Ok(WaypointFailure::Open),
        other => Err(invalid(WAYPOINT_FAILURE_EXTENSION, other)),
    }
}

/// The text an extension of this name holds, where there is one; an empty one where it holds anything else.
pub(super) fn word(all: &[message::Extension], name: &str) -> Result<Option<String>, Fault> {
    let Some(extension) = all.iter().find(|it| it.name == name) else { return Ok(None) };
    let config = extension.config.as_ref().filter(|it| it.type_url == STRING_VALUE);
    let word = config.map(|it| String::decode(it.value.as_slice())).transpose()?;
    Ok(Some(word.unwrap_or_default()))
}
