//! What users' objects come to at the waypoints that are told of them, for their statuses: compiled here as each
//! waypoint compiles them, beside the world, which does not wait for it.

mod attachments;
mod inbox;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ambit_compile::{
    Input, Issue, L7Delta, L7Options, L7Problem, L7Services, L7Store, ParentStatus, Problem, RouteStatus,
};
use ambit_model::{GatewayKey, Service, ServiceKey};
use ambit_resources::{ObjectId, Parsed, Refusal, parse_object};
use bytes::Bytes;
use serde_json::Value;

use super::attached::AttachedRoutes;
use super::gateways::Gateways;
use crate::findings::{Findings, Reviewed};
use crate::watch::SOURCE;
use attachments::Attachments;
use inbox::Waiting;
pub(crate) use inbox::{Inbox, News};

/// The services of the mesh.
#[derive(Debug, Default)]
struct Services(BTreeMap<ServiceKey, Arc<Service>>);

impl L7Services for Services {
    fn service(&self, key: &ServiceKey) -> Option<Arc<Service>> {
        self.0.get(key).cloned()
    }
}

/// The review.
pub(crate) struct Review {
    inbox: Arc<Inbox>,
    findings: Arc<Findings>,
    gateways: Arc<Gateways>,
    root_namespace: Arc<str>,
    services: Services,
    waypoints: BTreeMap<GatewayKey, Waypoint>,
    /// Of each object, the waypoints that are told of it, and what there is to be said.
    objects: BTreeMap<ObjectId, BTreeMap<GatewayKey, AtWaypoint>>,
    attachments: Attachments,
}

/// What a waypoint does, as it does it.
#[derive(Default)]
struct Waypoint {
    store: L7Store,
    routes: AttachedRoutes,
}

/// What an object comes to at a waypoint.
#[derive(Debug, Default)]
struct AtWaypoint {
    issues: Vec<Issue>,
    route: RouteStatus,
}

impl Review {
    /// A review of what comes to `inbox`.
    pub(crate) fn new(
        inbox: Arc<Inbox>,
        findings: Arc<Findings>,
        gateways: Arc<Gateways>,
        root_namespace: Arc<str>,
    ) -> Self {
        let (services, waypoints, objects, attachments) = Default::default();
        Self { inbox, findings, gateways, root_namespace, services, waypoints, objects, attachments }
    }

    /// Works for ever.
    pub(crate) async fn run(mut self) {
        loop {
            let waiting = self.inbox.take().await;
            let update = waiting.update;
            let reviewed = self.round(waiting);
            self.findings.review(reviewed, update);
        }
    }

    fn round(&mut self, mut waiting: Waiting) -> Vec<Reviewed> {
        let mut touched: BTreeSet<_> = waiting.objects.keys().cloned().collect();
        let mut all = !waiting.services.is_empty();
        for (id, object) in &waiting.objects {
            self.attachments.put(id, object.as_ref());
        }
        let changed: Vec<_> = waiting.services.keys().cloned().collect();
        for (key, service) in std::mem::take(&mut waiting.services) {
            match service {
                Some(service) => drop(self.services.0.insert(key, service)),
                None => drop(self.services.0.remove(&key)),
            }
        }
        let fresh = match waiting.waypoints.take() {
            Some(now) => {
                all = true;
                self.exist(&now, &mut touched)
            }
            None => BTreeSet::new(),
        };
        let mut inputs = BTreeMap::<_, Vec<_>>::new();
        for ((key, id), object) in waiting.told {
            inputs.entry(key.clone()).or_default().extend(self.told(&key, &id, object.as_ref()));
            touched.insert(id);
        }
        for key in self.waypoints.keys().cloned().collect::<Vec<_>>() {
            let inputs = inputs.remove(&key).unwrap_or_default();
            let is_fresh = fresh.contains(&key);
            let changed = if is_fresh { self.services.0.keys().cloned().collect() } else { changed.clone() };
            if !inputs.is_empty() || !changed.is_empty() {
                self.apply(&key, inputs, changed, &mut touched);
            }
        }
        if all {
            touched.extend(self.attachments.policies().cloned());
        }
        touched.into_iter().map(|id| self.reviewed(id)).collect()
    }

    /// These are the waypoints there are. Hands back those that have just come.
    fn exist(&mut self, now: &BTreeSet<GatewayKey>, touched: &mut BTreeSet<ObjectId>) -> BTreeSet<GatewayKey> {
        self.waypoints.retain(|key, _| now.contains(key));
        for (id, at) in &mut self.objects {
            let before = at.len();
            at.retain(|key, _| now.contains(key));
            if at.len() != before {
                touched.insert(id.clone());
            }
        }
        self.objects.retain(|_, at| !at.is_empty());
        let fresh: BTreeSet<_> = now.iter().filter(|key| !self.waypoints.contains_key(*key)).cloned().collect();
        for key in &fresh {
            let options = L7Options {
                waypoint: key.clone(),
                root_namespace: Arc::clone(&self.root_namespace),
                ..L7Options::default()
            };
            self.waypoints.insert(key.clone(), Waypoint { store: L7Store::new(options), ..Waypoint::default() });
        }
        fresh
    }

    /// A waypoint is told what an object is now, or that it is none of its concern.
    fn told(&mut self, key: &GatewayKey, id: &ObjectId, object: Option<&Bytes>) -> Option<Input> {
        self.waypoints.contains_key(key).then_some(())?;
        if let Some(object) = object.and_then(|json| serde_json::from_slice(json).ok()) {
            self.objects.entry(id.clone()).or_default().entry(key.clone()).or_default();
            return Some(read(id, object));
        }
        if let Some(at) = self.objects.get_mut(id) {
            at.remove(key);
            if at.is_empty() {
                self.objects.remove(id);
            }
        }
        Some(Input::Remove(id.clone()))
    }

    fn apply(
        &mut self,
        key: &GatewayKey,
        inputs: Vec<Input>,
        changed: Vec<ServiceKey>,
        touched: &mut BTreeSet<ObjectId>,
    ) {
        let Some(waypoint) = self.waypoints.get_mut(key) else { return };
        let L7Delta { routes, issues, .. } = waypoint.store.apply(inputs, changed, &self.services);
        let attaches = !routes.is_empty();
        for (id, route) in routes {
            let places = self.attachments.places(&id, key, route.as_ref());
            waypoint.routes.put(&id, places);
            if let Some(at) = self.objects.get_mut(&id).and_then(|at| at.get_mut(key)) {
                at.route = route.unwrap_or_default();
            }
            touched.insert(id);
        }
        for (id, issues) in issues {
            if let Some(at) = self.objects.get_mut(&id).and_then(|at| at.get_mut(key)) {
                at.issues = issues;
            }
            touched.insert(id);
        }
        if attaches {
            self.gateways.attach(key, waypoint.routes.clone());
        }
    }

    fn reviewed(&self, id: ObjectId) -> Reviewed {
        let at = || self.objects.get(&id).into_iter().flatten();
        let waypoints = at().map(|(key, at)| (key.clone(), at.issues.clone())).collect();
        let mut parents: Vec<ParentStatus> = Vec::new();
        for status in at().flat_map(|(_, at)| &at.route.parents) {
            match parents.iter_mut().find(|known| known.parent == status.parent) {
                None => parents.push(status.clone()),
                // Of a parent that several waypoints serve, what keeps it out of force anywhere.
                Some(known) if known.accepted.reason.is_true() && !status.accepted.reason.is_true() => {
                    known.clone_from(status);
                }
                Some(_) => {}
            }
        }
        let attached = self.attachments.condition(&id, &self.services.0, |key| self.waypoints.contains_key(key));
        Reviewed { id, waypoints, route: RouteStatus { parents }, attached }
    }
}

/// An object as waypoints read it.
fn read(id: &ObjectId, object: Value) -> Input {
    match parse_object(object, &Arc::from(SOURCE)) {
        Ok((Some(parsed), issues)) => Input::Put(Box::new(parsed), issues),
        Ok((None, issues)) => Input::Refused(id.clone(), Vec::new(), issues),
        Err(Refusal { issues, targets, .. }) => Input::Refused(id.clone(), targets, issues),
    }
}

/// What is to be said about an object by itself, wherever its waypoint may be. What comes of that is not.
pub(crate) fn issues_of(parsed: &Parsed, root_namespace: &Arc<str>) -> Vec<Issue> {
    let waypoint = GatewayKey { namespace: Arc::clone(&parsed.origin.id.namespace), name: "".into() };
    let options = L7Options { waypoint, root_namespace: Arc::clone(root_namespace), ..L7Options::default() };
    let put = Input::Put(Box::new(parsed.clone()), Vec::new());
    let delta = L7Store::new(options).apply([put], [], &Services::default());
    // Which credentials there are is known where waypoints are told of them.
    let is_consequence = |issue: &Issue| {
        use L7Problem::{Credential, DeniesAll};
        matches!(issue.problem, Problem::LastVersionKept | Problem::NotInForce | Problem::L7(DeniesAll | Credential(_)))
    };
    delta.issues.into_iter().flat_map(|(_, issues)| issues).filter(|issue| !is_consequence(issue)).collect()
}

#[cfg(test)]
mod tests;
