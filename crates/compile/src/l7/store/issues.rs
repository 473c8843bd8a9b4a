//! What there is to be said about objects.

use std::collections::{BTreeMap, BTreeSet};

use ambit_model::ServiceKey;
use ambit_resources::{ObjectId, Severity};

use crate::Issue;

/// Why there is something to be said about an object that is valid by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reason {
    /// What came of looking up its destinations for a service.
    Service(ServiceKey),
    /// Other objects for the same host.
    Merged(Vec<ObjectId>),
    /// Its provider.
    Provider,
    /// The credentials it names.
    Credentials,
    /// Objects that count in its place for a service.
    Outranked(ServiceKey),
}

/// What there is to be said, and what was said last.
#[derive(Debug, Default)]
pub(super) struct Issues {
    own: BTreeMap<ObjectId, Vec<Issue>>,
    together: BTreeMap<ObjectId, BTreeMap<Reason, Vec<Issue>>>,
    said: BTreeMap<ObjectId, Vec<Issue>>,
    touched: BTreeSet<ObjectId>,
}

impl Issues {
    /// What is to be said about an object by itself.
    pub(super) fn own(&mut self, id: &ObjectId, issues: Vec<Issue>) {
        self.touched.insert(id.clone());
        if issues.is_empty() {
            self.own.remove(id);
        } else {
            self.own.insert(id.clone(), issues);
        }
    }

    /// What is said about an object by itself.
    pub(super) fn of(&self, id: &ObjectId) -> impl Iterator<Item = &Issue> {
        self.own.get(id).into_iter().flatten()
    }

    /// What is to be said about an object for another reason.
    pub(super) fn for_reason(&mut self, id: &ObjectId, reason: Reason, issues: Vec<Issue>) {
        let before = if issues.is_empty() {
            self.together.get_mut(id).and_then(|all| all.remove(&reason))
        } else {
            self.together.entry(id.clone()).or_default().insert(reason, issues.clone())
        };
        if before.unwrap_or_default() != issues {
            self.touched.insert(id.clone());
        }
    }

    /// Forgets all that was said for other reasons.
    pub(super) fn forget_together(&mut self, id: &ObjectId) {
        if self.together.remove(id).is_some() {
            self.touched.insert(id.clone());
        }
    }

    /// What is to be said now, of each object of which something else was said before.
    pub(super) fn changed(&mut self) -> Vec<(ObjectId, Vec<Issue>)> {
        let mut changed = Vec::new();
        for id in std::mem::take(&mut self.touched) {
            let issues = self.about(&id);
            let before =
                if issues.is_empty() { self.said.remove(&id) } else { self.said.insert(id.clone(), issues.clone()) };
            if before.unwrap_or_default() != issues {
                changed.push((id, issues));
            }
        }
        changed
    }

    /// All there is to be said, each thing once: what is wrong for one service is often wrong for all. The worst
    /// first.
    fn about(&self, id: &ObjectId) -> Vec<Issue> {
        let together = self.together.get(id).into_iter().flat_map(BTreeMap::values).flatten();
        let mut seen = std::collections::HashSet::new();
        let mut issues: Vec<_> = self
            .own
            .get(id)
            .into_iter()
            .flatten()
            .chain(together)
            .filter(|issue| seen.insert(*issue))
            .cloned()
            .collect();
        issues.sort_by_key(|issue| std::cmp::Reverse(issue.severity.max(Severity::Info)));
        issues
    }
}
