//! What there is to say about the objects: each thing logged once, and shown in the status of users' objects.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ambit_compile::{Issue, RouteStatus};
use ambit_model::GatewayKey;
use ambit_resources::{Kind, ObjectId, Severity};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::condition::{Condition, line};
use crate::standing::Standing;
use crate::statuses::Said;

/// All of it. The world and the review fill it, the leader writes statuses from it.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    found: Mutex<Known>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Known {
    objects: HashMap<ObjectId, Found>,
    /// Objects whose status does not say what it should.
    overdue: BTreeSet<ObjectId>,
    /// How often something came or changed.
    updates: u64,
}

#[derive(Debug, Default)]
struct Found {
    said: Said,
    /// None where the status is not ours to write.
    standing: Option<Box<Standing>>,
    /// The update since which it is not known yet what it comes to at waypoints: until then there would be less to say
    /// than there is, or what was true of the version before.
    awaited: Option<u64>,
    /// What was written last; the watch has yet to show it.
    written: Option<Vec<Value>>,
}

/// A status to be written.
#[derive(Debug)]
pub(crate) struct Overdue {
    /// Whose.
    pub(crate) id: ObjectId,
    /// A patch of it.
    pub(crate) patch: Value,
    /// The version of the kind that the API server has it by.
    pub(crate) served: &'static str,
    /// What it should say, at no time.
    wanted: Vec<Value>,
}

/// Where an object stands since it came or changed.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// Which.
    pub(crate) id: ObjectId,
    /// None where the status is not ours to write, or it is gone.
    pub(crate) standing: Option<Box<Standing>>,
    /// What is to be said about it by itself, for waypoints.
    pub(crate) issues: Vec<Issue>,
    /// Whether the review will say what it comes to.
    pub(crate) awaited: bool,
}

/// What an object comes to at waypoints.
#[derive(Debug)]
pub(crate) struct Reviewed {
    /// Which.
    pub(crate) id: ObjectId,
    /// Of each waypoint that is told of it, what there is to be said.
    pub(crate) waypoints: BTreeMap<GatewayKey, Vec<Issue>>,
    /// Of its parents.
    pub(crate) route: RouteStatus,
    /// Whether a waypoint enforces it, where it is attached to something.
    pub(crate) attached: Option<Condition>,
}

impl Findings {
    /// Takes what a batch came to: what arrived, what is to be said about objects now, and whether services are bound
    /// to their waypoints. At once, so that no status is written of one without the other. Hands back the number of the
    /// update.
    pub(crate) fn update(
        &self,
        arrivals: Vec<Arrival>,
        issues: Vec<(ObjectId, Vec<Issue>)>,
        bound: Vec<(ObjectId, Option<Condition>)>,
    ) -> u64 {
        let mut known = self.lock();
        known.updates += 1;
        let update = known.updates;
        let mut touched = HashSet::new();
        for Arrival { id, standing, issues, awaited } in arrivals {
            let entry = known.touch(&id, &mut touched);
            if standing.is_none() {
                entry.said.waypoint = None;
            }
            // Whatever was written, the object shows now: or somebody wrote over it.
            (entry.standing, entry.awaited, entry.written) = (standing, awaited.then_some(update), None);
            log_new(&entry.said.own, &issues);
            entry.said.own = issues;
        }
        for (id, issues) in issues {
            let entry = known.touch(&id, &mut touched);
            log_new(&entry.said.mesh, &issues);
            entry.said.mesh = issues;
        }
        for (id, bound) in bound {
            known.touch(&id, &mut touched).said.waypoint = bound;
        }
        self.settle(&mut known, &touched);
        update
    }

    /// Takes what objects come to at waypoints, as of an update. What has changed since is yet to be reviewed.
    pub(crate) fn review(&self, reviewed: Vec<Reviewed>, update: u64) {
        let mut known = self.lock();
        let mut touched = HashSet::new();
        for Reviewed { id, waypoints, route, attached } in reviewed {
            let entry = known.touch(&id, &mut touched);
            entry.awaited = entry.awaited.filter(|since| *since > update);
            entry.said.route = route;
            entry.said.waypoints = waypoints;
            // Of Services it is said elsewhere.
            if id.kind != Kind::Service && id.kind != Kind::ServiceEntry {
                entry.said.waypoint = attached;
            }
        }
        self.settle(&mut known, &touched);
    }

    fn settle(&self, known: &mut Known, touched: &HashSet<ObjectId>) {
        for id in touched {
            known.settle(id);
        }
        if touched.iter().any(|id| known.overdue.contains(id)) {
            self.changed.notify_one();
        }
    }

    /// Waits until something may be overdue that was not when this was called last.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The statuses that do not say what they should.
    pub(crate) fn overdue(&self, now: &str) -> Vec<Overdue> {
        let known = self.lock();
        let overdue = |id: &ObjectId| known.objects.get(id)?.overdue(id, now);
        known.overdue.iter().filter_map(overdue).collect()
    }

    /// A status was written.
    pub(crate) fn written(&self, overdue: Overdue) {
        let mut known = self.lock();
        if let Some(found) = known.objects.get_mut(&overdue.id) {
            found.written = Some(overdue.wanted);
        }
        known.settle(&overdue.id);
    }

    /// How many objects are not in force as they are written.
    pub(crate) fn errors(&self) -> usize {
        self.lock().objects.values().filter(|found| found.said.issues().any(Issue::is_error)).count()
    }

    /// For the admin page.
    pub(crate) fn dump(&self) -> Value {
        let known = self.lock();
        let mut objects: Vec<_> =
            known.objects.iter().filter(|(_, found)| found.said.issues().next().is_some()).collect();
        objects.sort_by_key(|(id, _)| *id);
        let issues = |found: &Found| -> Vec<_> {
            let shown = |issue: &Issue| json!({ "severity": issue.severity.word(), "says": line(issue) });
            found.said.issues().map(shown).collect()
        };
        let entry = |(id, found): (&ObjectId, &Found)| json!({ "object": id.to_string(), "issues": issues(found) });
        objects.into_iter().map(entry).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn touch(&mut self, id: &ObjectId, touched: &mut HashSet<ObjectId>) -> &mut Found {
        touched.insert(id.clone());
        self.objects.entry(id.clone()).or_default()
    }

    /// Something of an object is otherwise than before.
    fn settle(&mut self, id: &ObjectId) {
        let Some(found) = self.objects.get(id) else { return };
        if found.overdue(id, "").is_some() {
            self.overdue.insert(id.clone());
        } else {
            self.overdue.remove(id);
        }
        if found.standing.is_none() && found.said.is_empty() {
            self.objects.remove(id);
        }
    }
}

impl Found {
    fn overdue(&self, id: &ObjectId, now: &str) -> Option<Overdue> {
        let standing = self.standing.as_ref().filter(|_| self.awaited.is_none())?;
        let wanted = self.said.wanted(id.kind, standing, "");
        // In whichever order: others sort as they like.
        let is_shown = standing
            .shown
            .as_array()
            .is_some_and(|shown| shown.len() == wanted.len() && wanted.iter().all(|it| shown.contains(it)));
        (!is_shown && self.written.as_ref() != Some(&wanted)).then(|| Overdue {
            id: id.clone(),
            patch: standing.patch(id.kind, &self.said.wanted(id.kind, standing, now)),
            served: standing.served,
            wanted,
        })
    }
}

/// Logs what was not said before.
fn log_new(before: &[Issue], now: &[Issue]) {
    for issue in now.iter().filter(|issue| !before.contains(*issue)) {
        let object = issue.object.as_ref().map(ToString::to_string).unwrap_or_default();
        match issue.severity {
            Severity::Error => tracing::error!(target: "config", object, "{}", line(issue)),
            Severity::Warning => tracing::warn!(target: "config", object, "{}", line(issue)),
            Severity::Info => tracing::debug!(target: "config", object, "{}", line(issue)),
        }
    }
}

#[cfg(test)]
mod tests {
    use ambit_compile::Problem;
    use ambit_resources::FieldPath;

    use super::*;

    fn id() -> ObjectId {
        ObjectId { kind: Kind::AuthorizationPolicy, namespace: "shop".into(), name: "p".into() }
    }

    /// The object at a generation, with what its status shows.
    fn arrival(generation: i64, shown: &Value) -> Vec<Arrival> {
        let metadata = json!({"generation": generation, "resourceVersion": "1"});
        let object = json!({"metadata": metadata, "status": { "conditions": shown }});
        let standing = Some(Box::new(Standing::of(id().kind, &object, "v1")));
        vec![Arrival { id: id(), standing, issues: Vec::new(), awaited: false }]
    }

    fn error() -> Vec<Issue> {
        let problem = Problem::EmptyValue;
        let (severity, field) = (Severity::Error, FieldPath::default());
        vec![Issue { severity, file: "kubernetes".into(), line: 0, object: Some(id()), field, problem }]
    }

    fn shown(overdue: &Overdue) -> Value {
        overdue.patch["status"]["conditions"].clone()
    }

    #[test]
    fn a_status_is_overdue_until_it_is_written_or_shown() {
        let findings = Findings::default();
        let overdue = || findings.overdue("now").pop();
        findings.update(arrival(1, &json!([])), vec![], vec![]);
        let accepted = overdue().unwrap();
        let first = shown(&accepted);
        assert_eq!((&first[0]["status"], &first[0]["observedGeneration"]), (&json!("True"), &json!(1)));

        findings.written(accepted);
        assert!(overdue().is_none(), "the watch has yet to show it");
        findings.update(arrival(1, &first), vec![], vec![]);
        assert!(overdue().is_none());

        findings.update(arrival(2, &first), vec![(id(), error())], vec![]);
        let refused = overdue().unwrap();
        let second = shown(&refused);
        assert_eq!((&second[0]["status"], &second[0]["observedGeneration"]), (&json!("False"), &json!(2)));
        findings.written(refused);
        findings.update(arrival(2, &first), vec![], vec![]);
        assert!(overdue().is_some(), "somebody wrote over it");
        assert_eq!(findings.errors(), 1);

        let gone = Arrival { id: id(), standing: None, issues: Vec::new(), awaited: false };
        findings.update(vec![gone], vec![(id(), vec![])], vec![]);
        assert_eq!((overdue().is_none(), findings.errors()), (true, 0));
        assert!(findings.lock().objects.is_empty());
    }

    #[test]
    fn nothing_is_written_before_it_is_known_what_an_object_comes_to_at_waypoints() {
        let findings = Findings::default();
        let mut arrivals = arrival(1, &json!([]));
        arrivals.iter_mut().for_each(|arrival| arrival.awaited = true);
        let first = findings.update(arrivals, vec![], vec![]);
        assert!(findings.overdue("now").is_empty());
        let waypoint = GatewayKey { namespace: "shop".into(), name: "wp".into() };
        let reviewed = |issues: Vec<Issue>| {
            let (waypoints, route) = ([(waypoint.clone(), issues)].into(), RouteStatus::default());
            vec![Reviewed { id: id(), waypoints, route, attached: None }]
        };
        findings.review(reviewed(error()), first);
        assert_eq!(shown(&findings.overdue("now").pop().unwrap())[0]["status"], "False");
        // The next version comes while the one before it is still reviewed.
        let mut arrivals = arrival(2, &json!([]));
        arrivals.iter_mut().for_each(|arrival| arrival.awaited = true);
        let second = findings.update(arrivals, vec![], vec![]);
        findings.review(reviewed(error()), first);
        assert!(findings.overdue("now").is_empty(), "that was not about the version which is there");
        findings.review(reviewed(vec![]), second);
        let overdue = findings.overdue("now").pop().unwrap();
        assert_eq!(
            (&shown(&overdue)[0]["status"], &shown(&overdue)[0]["observedGeneration"]),
            (&json!("True"), &json!(2))
        );
    }

    #[test]
    fn what_has_no_status_of_ours_is_only_remembered_while_there_is_something_to_say() {
        let findings = Findings::default();
        let pod = ObjectId { kind: Kind::Pod, ..id() };
        findings.update(vec![], vec![(pod.clone(), error())], vec![]);
        assert_eq!((findings.overdue("now").len(), findings.errors()), (0, 1));
        findings.update(vec![], vec![(pod, vec![])], vec![]);
        assert!(findings.lock().objects.is_empty());
    }
}
