//! Objects that come in files, of which several may hold the same object.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ambit_resources::{FieldPath, ObjectId, Parsed, ParsedFile, Severity, parse_file};

use super::{Store, after_errors, judge};
use crate::held::Held;
use crate::world::World;
use crate::{Issue, L7Problem, Problem};

/// Which files there are. Of an object in several, the first file's is in force.
#[derive(Debug, Default)]
pub(super) struct Files {
    known: BTreeSet<Arc<str>>,
    /// Objects that another file's keep out of force, by the file that holds them.
    shadowed: BTreeMap<(ObjectId, Arc<str>), Held>,
}

impl Store {
    /// Takes a file's new text, and says what is wrong with it. An object that has become invalid
    /// keeps its last valid version; one that is no longer there is gone, unless a part of the file
    /// cannot be read and may be hiding it.
    pub fn replace_file(&mut self, name: &str, text: &str) -> Vec<Issue> {
        self.replace_parsed(name, parse_file(name, text))
    }

    /// [`Self::replace_file`] for a text that was read before.
    pub fn replace_parsed(&mut self, name: &str, parsed: ParsedFile) -> Vec<Issue> {
        let name = self.world.shared.texts.share(name);
        let mut gone = self.files.objects_of(&name, &self.world);
        self.files.known.insert(Arc::clone(&name));
        let (objects, refused, mut issues) = self.take_valid(parsed.objects);
        issues.splice(0..0, parsed.issues.into_iter().map(|issue| issue.map(Problem::Read)));
        let refused = refused.into_iter().map(|id| (id, Vec::new()));
        for (id, targets) in parsed.refused.into_iter().chain(refused) {
            if objects.contains_key(&id) {
                continue; // a second, broken one beside a valid one
            }
            let kept = gone.remove(&id);
            let said = issues.iter().find(|issue| issue.object.as_ref() == Some(&id));
            let after = match self.close(&id, &targets, said) {
                Some(held) => {
                    self.files.put(id.clone(), held, &mut self.world);
                    L7Problem::DeniesAll.into()
                }
                None if kept => Problem::LastVersionKept,
                None => Problem::NotInForce,
            };
            issues.extend(after_errors(&issues, &id, after));
        }
        for (id, held) in objects {
            gone.remove(&id);
            self.closed.remove(&id);
            self.files.put(id, held, &mut self.world);
        }
        if !parsed.unreadable {
            gone.iter().for_each(|id| {
                self.closed.remove(id);
                self.files.take(id, &name, &mut self.world);
            });
        }
        self.settle(BTreeSet::new());
        issues
    }

    /// Forgets a file and all its objects.
    pub fn remove_file(&mut self, name: &str) {
        let name = self.world.shared.texts.share(name);
        for id in self.files.objects_of(&name, &self.world) {
            self.closed.remove(&id);
            self.files.take(&id, &name, &mut self.world);
        }
        self.files.known.remove(&name);
        self.settle(BTreeSet::new());
    }

    /// Sorts the objects that could be read into those that are valid and the names of those that
    /// are not.
    fn take_valid(&mut self, given: Vec<Parsed>) -> (BTreeMap<ObjectId, Held>, Vec<ObjectId>, Vec<Issue>) {
        let (mut objects, mut refused, mut issues) = (BTreeMap::<_, Held>::new(), Vec::new(), Vec::<Issue>::new());
        for parsed in given {
            let (id, held, found) = judge(parsed, &mut self.world.shared);
            let valid = !found.iter().any(Issue::is_error);
            issues.extend(found);
            if let Some(first) = objects.get(&id) {
                issues.push(duplicate(&id, &held, (&first.file, first.line)));
            } else if valid {
                objects.insert(id, held);
            } else {
                refused.push(id);
            }
        }
        (objects, refused, issues)
    }
}

impl Files {
    /// The objects a file holds, in force or not.
    fn objects_of(&self, file: &Arc<str>, world: &World) -> BTreeSet<ObjectId> {
        if !self.known.contains(file) {
            return BTreeSet::new();
        }
        let shadowed = self.shadowed.keys().filter(|(_, other)| other == file).map(|(id, _)| id.clone());
        world.objects_of(file).chain(shadowed).collect()
    }

    /// Puts a file's object in force, unless one of a file before it is.
    fn put(&mut self, id: ObjectId, held: Held, world: &mut World) {
        let holder = world.place(&id).map(|(file, _)| Arc::clone(file));
        match holder {
            Some(file) if file < held.file => drop(self.shadowed.insert((id, Arc::clone(&held.file)), held)),
            Some(file) if file > held.file => {
                self.shadowed.remove(&(id.clone(), Arc::clone(&held.file)));
                if let Some(shadowed) = world.take(&id) {
                    self.shadowed.insert((id.clone(), file), shadowed);
                }
                world.put(id, held);
            }
            Some(_) | None => world.put(id, held),
        }
    }

    /// Takes a file's object out. What it kept out of force comes in its place.
    fn take(&mut self, id: &ObjectId, file: &Arc<str>, world: &mut World) {
        if self.shadowed.remove(&(id.clone(), Arc::clone(file))).is_some() {
            return;
        }
        world.take(id);
        let next = self.shadowed.range((id.clone(), Arc::from(""))..).next();
        let next = next.map(|(key, _)| key.clone()).filter(|(other, _)| other == id);
        if let Some(held) = next.and_then(|key| self.shadowed.remove(&key)) {
            world.put(id.clone(), held);
        }
    }

    /// What is to be said about the objects that are not in force.
    pub(super) fn duplicates(&self, world: &World) -> impl Iterator<Item = Issue> {
        self.shadowed.iter().filter_map(|((id, _), held)| Some(duplicate(id, held, world.place(id)?)))
    }
}

fn duplicate(id: &ObjectId, loser: &Held, (file, line): (&Arc<str>, u32)) -> Issue {
    Issue {
        severity: Severity::Error,
        file: Arc::clone(&loser.file),
        line: loser.line,
        object: Some(id.clone()),
        field: FieldPath::default(),
        problem: Problem::Duplicate { file: Arc::clone(file), line },
    }
}
