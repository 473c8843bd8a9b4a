//! What is known of a user's object, in the words of its kind's status.

use std::collections::BTreeMap;

use ambit_compile::{Issue, L7Problem, ParentStatus, Problem, RouteProblem, RouteStatus};
use ambit_model::GatewayKey;
use ambit_resources::{Kind, Severity};
use serde_json::{Value, json};

use crate::condition::{ACCEPTED, Condition, line, merged};
use crate::standing::{Standing, section};
use crate::waypoints::bound::{WAYPOINT_ACCEPTED, WAYPOINT_BOUND};
use crate::waypoints::gateways::CONTROLLER;

/// Whether all that an object refers to can be used.
const RESOLVED_REFS: &str = "ResolvedRefs";
/// Whether some of its rules are out of force.
const PARTIALLY_INVALID: &str = "PartiallyInvalid";
/// Most ancestors that the API takes.
const MAX_ANCESTORS: usize = 16;
const GATEWAY_API: &str = "gateway.networking.k8s.io";

/// What is known of an object.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// By the compiler for node agents.
    pub(crate) mesh: Vec<Issue>,
    /// By the compiler for waypoints, of the object by itself.
    pub(crate) own: Vec<Issue>,
    /// By the same, for each waypoint that is told of it.
    pub(crate) waypoints: BTreeMap<GatewayKey, Vec<Issue>>,
    /// Of a route's parents.
    pub(crate) route: RouteStatus,
    /// Of its waypoint, where it has something to do with one.
    pub(crate) waypoint: Option<Condition>,
}

impl Said {
    /// All issues, each once.
    pub(crate) fn issues(&self) -> impl Iterator<Item = &Issue> + Clone {
        let all = || self.mesh.iter().chain(&self.own).chain(self.waypoints.values().flatten());
        all()
            .enumerate()
            .filter(move |(i, issue)| !all().take(*i).any(|before| before == *issue))
            .map(|(_, issue)| issue)
    }

    /// Whether there is nothing to be said.
    pub(crate) fn is_empty(&self) -> bool {
        self.issues().next().is_none() && self.route.parents.is_empty() && self.waypoint.is_none()
    }

    /// What the list that we have a part in should show.
    pub(crate) fn wanted(&self, kind: Kind, standing: &Standing, now: &str) -> Vec<Value> {
        match section(kind) {
            "parents" => self.parents(standing, now),
            "ancestors" => self.ancestors(standing, now),
            _ => self.conditions(kind, standing, now),
        }
    }

    fn conditions(&self, kind: Kind, standing: &Standing, now: &str) -> Vec<Value> {
        let accepted = (kind != Kind::Service).then(|| Condition::accepted(self.issues()));
        let own =
            if kind == Kind::Service { &[WAYPOINT_BOUND][..] } else { &[ACCEPTED, WAYPOINT_BOUND, WAYPOINT_ACCEPTED] };
        let wanted: Vec<_> = accepted.into_iter().chain(self.waypoint.clone()).collect();
        merged(&standing.shown, own, &wanted, standing.generation, now)
    }

    fn parents(&self, standing: &Standing, now: &str) -> Vec<Value> {
        let is_ours = |entry: &Value| entry.get("controllerName").and_then(Value::as_str) == Some(CONTROLLER);
        let shown = || standing.shown.as_array().into_iter().flatten();
        let mut all: Vec<_> = shown().filter(|entry| !is_ours(entry)).cloned().collect();
        let of = |at: usize| self.route.parents.iter().find(|status| status.parent == at);
        for (at, parent) in standing.parents.iter().enumerate() {
            let Some(conditions) = of(at).map(said_of).or_else(|| unserved(parent)) else { continue };
            let before = shown().find(|entry| is_ours(entry) && entry.get("parentRef") == Some(parent));
            let before = before.and_then(|entry| entry.get("conditions")).unwrap_or(&Value::Null);
            let own = [ACCEPTED, RESOLVED_REFS, PARTIALLY_INVALID];
            let conditions = merged(before, &own, &conditions, standing.generation, now);
            all.push(json!({ "parentRef": parent, "controllerName": CONTROLLER, "conditions": conditions }));
        }
        all
    }

    /// A waypoint stands for the services of it that a policy is for.
    fn ancestors(&self, standing: &Standing, now: &str) -> Vec<Value> {
        let is_ours = |entry: &Value| entry.get("controllerName").and_then(Value::as_str) == Some(CONTROLLER);
        let shown = || standing.shown.as_array().into_iter().flatten();
        let mut all: Vec<_> = shown().filter(|entry| !is_ours(entry)).cloned().collect();
        for (GatewayKey { namespace, name }, issues) in &self.waypoints {
            let ancestor =
                json!({ "group": GATEWAY_API, "kind": "Gateway", "namespace": &**namespace, "name": &**name });
            let before = shown().find(|entry| is_ours(entry) && entry.get("ancestorRef") == Some(&ancestor));
            let before = before.and_then(|entry| entry.get("conditions")).unwrap_or(&Value::Null);
            let wanted = secured(issues.iter().chain(&self.mesh).chain(&self.own));
            let conditions = merged(before, &[ACCEPTED, RESOLVED_REFS], &wanted, standing.generation, now);
            if all.len() < MAX_ANCESTORS {
                all.push(json!({ "ancestorRef": ancestor, "controllerName": CONTROLLER, "conditions": conditions }));
            }
        }
        all
    }
}

/// What is said of a parent.
fn said_of(status: &ParentStatus) -> Vec<Condition> {
    let ParentStatus { accepted, resolved_refs, partially_invalid, .. } = status;
    let own = |kind, holds, reason: String, message: &str| Condition::new(kind, holds, &reason, message);
    let mut all = vec![
        own(ACCEPTED, accepted.reason.is_true(), accepted.reason.to_string(), &accepted.message),
        own(RESOLVED_REFS, resolved_refs.reason.is_true(), resolved_refs.reason.to_string(), &resolved_refs.message),
    ];
    let partly = partially_invalid.as_ref();
    all.extend(partly.map(|why| Condition::new(PARTIALLY_INVALID, true, "UnsupportedValue", why.as_str())));
    all
}

/// What is said of a parent that no waypoint serves; nothing where it may be another controller's.
fn unserved(parent: &Value) -> Option<Vec<Condition>> {
    let text = |field: &str| parent.get(field).and_then(Value::as_str);
    let kind = text("kind").unwrap_or("Gateway");
    let group = text("group").unwrap_or(GATEWAY_API);
    let is_service = matches!((group, kind), ("" | "core", "Service") | ("networking.istio.io", "ServiceEntry"));
    let name = text("name").unwrap_or_default();
    let message = format!("{kind} {name} is not there, or behind no waypoint (istio.io/use-waypoint)");
    is_service.then(|| vec![Condition::new(ACCEPTED, false, "NoMatchingParent", message)])
}

/// What is said to a BackendTLSPolicy of one waypoint.
fn secured<'a>(issues: impl Iterator<Item = &'a Issue> + Clone) -> Vec<Condition> {
    let find = |is: fn(&Problem) -> bool| issues.clone().find(|issue| is(&issue.problem));
    let error = issues.clone().find(|issue| issue.severity == Severity::Error);
    let older = find(|problem| matches!(problem, Problem::L7(L7Problem::OlderWins { .. })));
    let missing = find(|problem| {
        matches!(problem, Problem::L7(L7Problem::Credential(_) | L7Problem::Route(RouteProblem::NoAuthorities { .. })))
    });
    let accepted = |reason, issue| Condition::new(ACCEPTED, false, reason, line(issue));
    let accepted = match (error, older, missing) {
        (Some(error), _, _) => accepted("Invalid", error),
        (None, Some(older), _) => accepted("Conflicted", older),
        (None, None, Some(missing)) => accepted("NoValidCACertificate", missing),
        (None, None, None) => Condition::new(ACCEPTED, true, "Accepted", ""),
    };
    let resolved = match missing {
        Some(missing) => Condition::new(RESOLVED_REFS, false, "InvalidCACertificateRef", line(missing)),
        None => Condition::new(RESOLVED_REFS, true, "ResolvedRefs", ""),
    };
    vec![accepted, resolved]
}

#[cfg(test)]
mod tests;
