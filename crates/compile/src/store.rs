//! The objects in force: of every object, its last valid version.

mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ambit_resources::{FieldPath, ObjectId, Parsed, TargetRef};

use crate::findings::Findings;
use crate::held::Held;
use crate::shared::Shared;
use crate::world::World;
use crate::{Compiled, Delta, Input, Issue, L7Problem, Options, Problem};
use files::Files;

/// The objects in force. What is wrong never reaches further than the object it is in, and never puts
/// out of force what was in force.
#[derive(Debug, Default)]
pub struct Store {
    world: World,
    files: Files,
    /// What is to be said about objects by themselves, where they came one by one.
    own: BTreeMap<ObjectId, Vec<Issue>>,
    /// Policies for waypoints that were never valid: what stands for them only says what they are attached to.
    closed: BTreeSet<ObjectId>,
    /// What was said last.
    said: BTreeMap<ObjectId, Vec<Issue>>,
}

impl Store {
    /// A store without objects.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { world: World::new(options), ..Self::default() }
    }

    /// Takes in what happened, and says what differs from before. An object that has become invalid keeps
    /// its last valid version. Costs what depends on the objects that changed, and nothing else.
    pub fn apply(&mut self, inputs: impl IntoIterator<Item = Input>) -> Delta {
        let mut touched = BTreeSet::new();
        for input in inputs {
            touched.extend(self.take_in(input));
        }
        self.settle(touched)
    }

    /// What all objects mean together.
    #[must_use]
    pub fn compile(&mut self) -> Compiled {
        self.settle(BTreeSet::new());
        let mut compiled = Compiled::default();
        for instance in self.world.workloads() {
            let Some(workload) = instance.published() else { continue };
            compiled.workloads.push(workload.clone());
            if let Some(netns) = instance.netns() {
                compiled.netns.insert(workload.uid.clone(), netns.into());
            }
        }
        compiled.services = self.world.services().cloned().collect();
        compiled.services.sort_by(|a, b| (&a.key.namespace, &a.name, &a.key).cmp(&(&b.key.namespace, &b.name, &b.key)));
        compiled.authorizations = self.world.authorizations().cloned().collect();
        compiled.authorizations.sort_by(|a, b| a.key.cmp(&b.key));
        compiled.issues = self.files.duplicates(&self.world).chain(self.said.values().flatten().cloned()).collect();
        compiled
    }

    /// Returns the object about which there may be something else to be said.
    fn take_in(&mut self, input: Input) -> Option<ObjectId> {
        match input {
            Input::Put(parsed, read) => {
                let (id, held, found) = judge(*parsed, &mut self.world.shared);
                let mut issues: Vec<_> = read.into_iter().map(|issue| issue.map(Problem::Read)).collect();
                issues.extend(found);
                if issues.iter().any(Issue::is_error) {
                    return Some(self.refuse(id, &[], issues));
                }
                self.say(&id, issues);
                self.closed.remove(&id);
                self.world.put(id.clone(), held);
                Some(id)
            }
            Input::Refused(id, targets, read) => {
                Some(self.refuse(id, &targets, read.into_iter().map(|issue| issue.map(Problem::Read)).collect()))
            }
            Input::Remove(id) => {
                self.own.remove(&id);
                self.closed.remove(&id);
                self.world.take(&id);
                Some(id)
            }
            Input::Enrolled { uid, enrolled } => {
                self.world.report(&uid, enrolled);
                None
            }
        }
    }

    fn refuse(&mut self, id: ObjectId, targets: &[TargetRef], mut issues: Vec<Issue>) -> ObjectId {
        let closed = self.close(&id, targets, issues.first());
        let after = if closed.is_some() {
            L7Problem::DeniesAll.into()
        } else if self.world.place(&id).is_some() {
            Problem::LastVersionKept
        } else {
            Problem::NotInForce
        };
        issues.extend(after_errors(&issues, &id, after));
        self.say(&id, issues);
        closed.into_iter().for_each(|held| self.world.put(id.clone(), held));
        id
    }

    /// What stands for a policy that was never valid: nobody goes round the waypoint to what it is attached to,
    /// where the waypoint denies everything.
    fn close(&mut self, id: &ObjectId, targets: &[TargetRef], said: Option<&Issue>) -> Option<Held> {
        if self.world.place(id).is_some() && !self.closed.contains(id) {
            return None;
        }
        let Issue { file, line, .. } = said?;
        let held = Held::closed((Arc::clone(file), *line), id, targets, &mut self.world.shared)?;
        self.closed.insert(id.clone());
        Some(held)
    }

    fn say(&mut self, id: &ObjectId, issues: Vec<Issue>) {
        if issues.is_empty() {
            self.own.remove(id);
        } else {
            self.own.insert(id.clone(), issues);
        }
    }

    fn settle(&mut self, mut touched: BTreeSet<ObjectId>) -> Delta {
        let (mut delta, others) = self.world.settle();
        touched.extend(others);
        for id in touched {
            let mut issues = self.own.get(&id).cloned().unwrap_or_default();
            issues.extend(self.world.issues_of(&id));
            let before =
                if issues.is_empty() { self.said.remove(&id) } else { self.said.insert(id.clone(), issues.clone()) };
            if before.unwrap_or_default() != issues {
                delta.issues.push((id, issues));
            }
        }
        delta
    }
}

/// What an object means by itself, and what is wrong with it.
fn judge(mut parsed: Parsed, shared: &mut Shared) -> (ObjectId, Held, Vec<Issue>) {
    parsed.origin.id.namespace = shared.texts.share(&*parsed.origin.id.namespace);
    parsed.origin.file = shared.texts.share(&*parsed.origin.file);
    let mut findings = Findings::of(&parsed.origin);
    let held = Held::of(&parsed, shared, &mut findings);
    let issues = findings.issues;
    (parsed.origin.id, held, issues)
}

/// What the errors of an object come to, said at the first of them.
fn after_errors(issues: &[Issue], id: &ObjectId, problem: Problem) -> Option<Issue> {
    let first = issues.iter().find(|issue| issue.is_error() && issue.object.as_ref() == Some(id))?;
    Some(Issue { field: FieldPath::default(), problem, ..first.clone() })
}

#[cfg(test)]
mod tests;
