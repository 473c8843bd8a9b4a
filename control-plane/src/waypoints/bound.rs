//! What is behind which waypoint, and which waypoint enforces what: as conditions.

use ambit_model::{Canary, GatewayAddress, GatewayKey, Service, ServiceKey};
use ambit_resources::{Kind, ObjectId};

use super::objects::gateway;
use crate::condition::Condition;

/// Whether a service is behind the waypoint that it or its namespace asks for.
pub(crate) const WAYPOINT_BOUND: &str = "istio.io/WaypointBound";
/// Whether a waypoint enforces what is attached to something.
pub(crate) const WAYPOINT_ACCEPTED: &str = "WaypointAccepted";

/// The object that a service is made of, and what is said of its waypoint; nothing where it asks for none.
pub(crate) fn of_service(service: &Service) -> (ObjectId, Option<Condition>) {
    let condition = service.waypoint.as_deref().map(|waypoint| match gateway(waypoint) {
        Some(key) => Condition::new(WAYPOINT_BOUND, true, "WaypointAccepted", behind(&key, service.canary.as_ref())),
        None => {
            let (reason, message) = kept_out(waypoint);
            Condition::new(WAYPOINT_BOUND, false, reason, message)
        }
    });
    (object(service), condition)
}

fn behind(waypoint: &GatewayKey, canary: Option<&Canary>) -> String {
    match canary.and_then(|canary| Some((gateway(&canary.waypoint)?, canary.percent))) {
        Some((canary, percent)) => format!("behind waypoint {waypoint}, {percent}% of connections behind {canary}"),
        None => format!("behind waypoint {waypoint}"),
    }
}

/// The object that a service is made of.
pub(super) fn object(service: &Service) -> ObjectId {
    let ServiceKey { namespace, hostname } = &service.key;
    let own = format!("{}.{namespace}.svc.", service.name);
    let kind = if hostname.starts_with(&own) { Kind::Service } else { Kind::ServiceEntry };
    ObjectId { kind, namespace: namespace.clone(), name: service.name.clone() }
}

/// Why nobody is behind an address that stands for no waypoint.
fn kept_out(waypoint: &GatewayAddress) -> (&'static str, &'static str) {
    let not_allowed = waypoint.service().is_some_and(|service| service.hostname.ends_with(".not-allowed.invalid"));
    if not_allowed {
        ("AttachmentDenied", "the waypoint does not allow this namespace (allowedRoutes): connections are refused")
    } else {
        ("NoSuchWaypoint", "there is no such waypoint: connections are refused until there is")
    }
}

/// What is said of a policy by the waypoints that enforce it for each of its targets; of a target that has none, why.
pub(super) fn attached(targets: &[Result<String, Unbound>]) -> Option<Condition> {
    let no = |reason, message: String| Condition::new(WAYPOINT_ACCEPTED, false, reason, message);
    let unbound = targets.iter().find_map(|target| target.as_ref().err());
    Some(match unbound {
        Some(Unbound::Missing(target)) => no("TargetNotFound", format!("there is no {target}")),
        Some(Unbound::NoWaypoint(target)) => {
            no("AncestorNotBound", format!("{target} is behind no waypoint (istio.io/use-waypoint)"))
        }
        None => {
            let mut names: Vec<_> = targets.iter().flatten().map(String::as_str).collect();
            names.sort();
            names.dedup();
            if names.is_empty() {
                return None;
            }
            Condition::new(WAYPOINT_ACCEPTED, true, "Accepted", format!("in force at {}", names.join(", ")))
        }
    })
}

/// Why no waypoint enforces a policy for a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unbound {
    /// It is not there.
    Missing(String),
    /// It is there, and behind none.
    NoWaypoint(String),
}
