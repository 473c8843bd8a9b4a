//! Waypoints that take some connections in the place of others.

use std::sync::Arc;

use ambit_model::GatewayKey;
use ambit_resources::{Kind, ObjectId};

use super::World;
use crate::Problem;
use crate::guards::Target;
use crate::namespace::Space;
use crate::service::Frontend;
use crate::waypoint::{AskedCanary, Choice, Gateway};
use crate::waypoints::Purpose;

impl World {
    /// The canary of the waypoint that a service is behind, where that may have one: its own, or that of its namespace
    /// if so is the waypoint.
    pub(super) fn canary_of(
        &self,
        frontend: &Frontend,
        space: Option<&Space>,
        waypoint: &GatewayKey,
        purpose: Purpose<'_>,
    ) -> Option<AskedCanary> {
        let from_space = space.and_then(|space| space.ask.canary.as_ref()).filter(|_| !purpose.explicit);
        let asked = frontend.ask.canary.as_ref().or(from_space)?;
        self.judge_canary(asked, waypoint, purpose).is_ok().then(|| asked.clone())
    }

    /// Whether a canary may take connections in the place of a waypoint. What is to be enforced for all of them may not
    /// be attached to that one alone.
    fn judge_canary(&self, asked: &AskedCanary, waypoint: &GatewayKey, purpose: Purpose<'_>) -> Result<(), Problem> {
        let canary = &asked.waypoint;
        let no = |why| Err(Problem::Canary { waypoint: canary.clone(), why });
        let Ok(stable) = self.waypoints.judge(waypoint, purpose) else {
            return no("is of a waypoint that is not there");
        };
        let found = match self.waypoints.judge(canary, purpose) {
            _ if canary.namespace != waypoint.namespace => return no("is not in the namespace of the waypoint"),
            _ if canary == waypoint => return no("is the waypoint itself"),
            Ok(found) if found.serves.services => found,
            Ok(_) => return no("is not for services (istio.io/waypoint-for)"),
            Err(Problem::WaypointMissing { .. }) => return no("is not there"),
            Err(Problem::WaypointNotAllowed { .. }) => return no("does not allow this namespace (allowedRoutes)"),
            Err(_) => return no("is a Gateway of another class, and no waypoint"),
        };
        let targets = |key: &GatewayKey, gateway: &Gateway| {
            [Target::Gateway(key.clone()), Target::Class(Arc::clone(&gateway.class))]
        };
        if !self.guards.are_attached_too(&targets(waypoint, stable), &targets(canary, found)) {
            return no("lacks a policy that is attached to the waypoint (targetRefs)");
        }
        // Its pods let in nobody but the waypoint they are behind themselves.
        if stable.serves.workloads && self.guards.is_attached(targets(waypoint, stable)) {
            return no("is beside a waypoint for workloads, too (istio.io/waypoint-for), that has policies attached");
        }
        Ok(())
    }

    /// What is wrong with the canary an object asks for itself.
    pub(super) fn canary_problem(&self, id: &ObjectId) -> Option<Problem> {
        let ask = self.ask_of(id)?;
        let canary = ask.canary.as_ref()?;
        let namespace = if id.kind == Kind::Namespace { &id.name } else { &id.namespace };
        let space = self.namespaces.get(namespace);
        let purpose = Purpose { namespace, labels: space.map(|space| &space.labels), workload: false, explicit: true };
        let choice = ask.waypoint.as_ref().or(space.and_then(|space| space.ask.waypoint.as_ref()));
        let Some(waypoint) = choice.and_then(Choice::waypoint) else {
            let why = "has no waypoint beside it (istio.io/use-waypoint)";
            return Some(Problem::Canary { waypoint: canary.waypoint.clone(), why });
        };
        self.judge_canary(canary, waypoint, purpose).err()
    }
}
