//! What there is to say about the objects: each thing logged once, and shown in the status of users' objects.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ambit_compile::Issue;
use ambit_resources::{ObjectId, Severity};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::condition::{Accepted, Standing, line};

/// All of it. The world fills it, the leader writes statuses from it.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    found: Mutex<HashMap<ObjectId, Found>>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Found {
    issues: Vec<Issue>,
    /// None where the status is not ours to write.
    standing: Option<Box<Standing>>,
    /// What was written last; the watch has yet to show it.
    written: Option<Accepted>,
}

/// A status to be written.
#[derive(Debug)]
pub(crate) struct Overdue {
    /// Whose.
    pub(crate) id: ObjectId,
    /// Where it stands.
    pub(crate) standing: Box<Standing>,
    /// What it should say.
    pub(crate) accepted: Accepted,
}

impl Findings {
    /// Takes what a batch came to: where objects stand now (none once they are gone), and what is to be said
    /// about them now. At once, so that no status is written of one without the other.
    pub(crate) fn update(
        &self,
        standings: Vec<(ObjectId, Option<Box<Standing>>)>,
        issues: Vec<(ObjectId, Vec<Issue>)>,
    ) {
        let mut found = self.lock();
        let mut touched: HashSet<_> =
            standings.iter().map(|(id, _)| id).chain(issues.iter().map(|(id, _)| id)).cloned().collect();
        for (id, standing) in standings {
            let entry = found.entry(id).or_default();
            // Whatever was written, the object shows now: or somebody wrote over it.
            (entry.standing, entry.written) = (standing, None);
        }
        for (id, issues) in issues {
            let entry = found.entry(id).or_default();
            log_new(&entry.issues, &issues);
            entry.issues = issues;
        }
        touched.retain(|id| match found.get(id) {
            Some(entry) if entry.standing.is_none() && entry.issues.is_empty() => {
                found.remove(id);
                false
            }
            Some(entry) => entry.overdue(id).is_some(),
            None => false,
        });
        if !touched.is_empty() {
            self.changed.notify_one();
        }
    }

    /// Waits until something may be overdue that was not when this was called last.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The statuses that do not say what they should.
    pub(crate) fn overdue(&self) -> Vec<Overdue> {
        self.lock().iter().filter_map(|(id, found)| found.overdue(id)).collect()
    }

    /// A status was written.
    pub(crate) fn written(&self, id: &ObjectId, accepted: Accepted) {
        if let Some(found) = self.lock().get_mut(id) {
            found.written = Some(accepted);
        }
    }

    /// How many objects are not in force as they are written.
    pub(crate) fn errors(&self) -> usize {
        self.lock().values().filter(|found| found.issues.iter().any(Issue::is_error)).count()
    }

    /// For the admin page.
    pub(crate) fn dump(&self) -> Value {
        let found = self.lock();
        let mut objects: Vec<_> = found.iter().filter(|(_, found)| !found.issues.is_empty()).collect();
        objects.sort_by_key(|(id, _)| *id);
        let issues = |found: &Found| -> Vec<_> {
            found.issues.iter().map(|issue| json!({ "severity": issue.severity.word(), "says": line(issue) })).collect()
        };
        let entry = |(id, found): (&ObjectId, &Found)| json!({ "object": id.to_string(), "issues": issues(found) });
        objects.into_iter().map(entry).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectId, Found>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Found {
    fn overdue(&self, id: &ObjectId) -> Option<Overdue> {
        let standing = self.standing.as_ref()?;
        let accepted = standing.accepted(self.issues.iter());
        let due = |said: &Option<Accepted>| said.as_ref() != Some(&accepted);
        (due(&standing.shown) && due(&self.written)).then(|| Overdue {
            id: id.clone(),
            standing: standing.clone(),
            accepted: accepted.clone(),
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
    use ambit_resources::{FieldPath, Kind};

    use super::*;

    fn id() -> ObjectId {
        ObjectId { kind: Kind::AuthorizationPolicy, namespace: "shop".into(), name: "p".into() }
    }

    fn standing(generation: i64, shown: Option<&Accepted>) -> Option<Box<Standing>> {
        let object = json!({"metadata": {"generation": generation, "resourceVersion": "1"}});
        let mut standing = Standing::of(&object, "v1");
        standing.shown = shown.cloned();
        Some(Box::new(standing))
    }

    fn error() -> Vec<Issue> {
        let problem = Problem::EmptyValue;
        let (severity, field) = (Severity::Error, FieldPath::default());
        vec![Issue { severity, file: "kubernetes".into(), line: 0, object: Some(id()), field, problem }]
    }

    #[test]
    fn a_status_is_overdue_until_it_is_written_or_shown() {
        let findings = Findings::default();
        let overdue = || findings.overdue().pop().map(|overdue| overdue.accepted);
        findings.update(vec![(id(), standing(1, None))], vec![]);
        let accepted = overdue().unwrap();
        assert!(accepted.holds && accepted.generation == 1);

        findings.written(&id(), accepted.clone());
        assert_eq!(overdue(), None, "the watch has yet to show it");
        findings.update(vec![(id(), standing(1, Some(&accepted)))], vec![]);
        assert_eq!(overdue(), None);

        findings.update(vec![(id(), standing(2, Some(&accepted)))], vec![(id(), error())]);
        let refused = overdue().unwrap();
        assert!(!refused.holds && refused.generation == 2);
        findings.written(&id(), refused);
        findings.update(vec![(id(), standing(2, Some(&accepted)))], vec![]);
        assert!(overdue().is_some(), "somebody wrote over it");
        assert_eq!(findings.errors(), 1);

        findings.update(vec![(id(), None)], vec![(id(), vec![])]);
        assert_eq!((overdue(), findings.errors()), (None, 0));
        assert!(findings.lock().is_empty());
    }

    #[test]
    fn what_has_no_status_of_ours_is_only_remembered_while_there_is_something_to_say() {
        let findings = Findings::default();
        let pod = ObjectId { kind: Kind::Pod, ..id() };
        findings.update(vec![], vec![(pod.clone(), error())]);
        assert_eq!((findings.overdue().len(), findings.errors()), (0, 1));
        findings.update(vec![], vec![(pod, vec![])]);
        assert!(findings.lock().is_empty());
    }
}
