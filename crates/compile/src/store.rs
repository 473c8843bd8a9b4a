//! The objects in force: of every object, its last valid version.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ambit_resources::{FieldPath, ObjectId, Parsed, Severity, parse_file};

use crate::address_book::AddressBook;
use crate::authorization::Selected;
use crate::bindings::Bindings;
use crate::enrolment::Wish;
use crate::findings::Findings;
use crate::held::{Held, Meaning};
use crate::peer_authentication::{Modes, PeerAuthentications};
use crate::place::Place;
use crate::service::Frontend;
use crate::shared::Shared;
use crate::workload::Pod;
use crate::{Compiled, Issue, Options, Problem};

/// The objects in force, by the file they come from. What is wrong never reaches further than the
/// object it is in, and never puts out of force what was in force.
#[derive(Debug, Default)]
pub struct Store {
    files: BTreeMap<Arc<str>, File>,
    shared: Shared,
}

#[derive(Debug, Default)]
struct File {
    /// By name, each once.
    objects: Box<[(ObjectId, Held)]>,
    /// Objects that never had a valid version.
    missing: BTreeSet<ObjectId>,
    /// Whether there is a part of which not even the name can be read.
    unnamed: bool,
}

impl Store {
    /// A store without objects.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { files: BTreeMap::new(), shared: Shared { options, ..Shared::default() } }
    }

    /// Takes a file's new text, and says what is wrong with it. An object that has become invalid
    /// keeps its last valid version; one that is no longer there is gone, unless a part of the file
    /// cannot be read and may be hiding it.
    pub fn replace_file(&mut self, name: &str, text: &str) -> Vec<Issue> {
        let parsed = parse_file(name, text);
        let old = self.files.remove(name).unwrap_or_default();
        let mut kept: BTreeMap<_, _> = old.objects.into_iter().collect();
        let (mut objects, refused, mut issues) = self.take_valid(parsed.objects);
        issues.splice(0..0, parsed.issues.into_iter().map(|issue| issue.map(Problem::Read)));
        for (id, held) in &mut objects {
            kept.remove(id).into_iter().for_each(|old| held.succeed(old));
        }
        let mut missing = BTreeSet::new();
        for id in parsed.refused.into_iter().chain(refused) {
            if objects.contains_key(&id) {
                continue; // a second, broken one beside a valid one
            }
            let kept = kept.remove(&id);
            issues.extend(after_errors(&issues, &id, kept.is_some()));
            match kept {
                Some(kept) => drop(objects.insert(id, kept)),
                None => drop(missing.insert(id)),
            }
        }
        if parsed.unreadable {
            missing.extend(old.missing.into_iter().filter(|id| !objects.contains_key(id)));
            for (id, object) in kept {
                objects.entry(id).or_insert(object);
            }
        }
        let file = File { objects: objects.into_iter().collect(), missing, unnamed: parsed.unreadable };
        self.files.insert(name.into(), file);
        issues
    }

    /// Forgets a file and all its objects.
    pub fn remove_file(&mut self, name: &str) {
        self.files.remove(name);
    }

    /// Whether everything that was given is known to be in force, in its last version or in an
    /// earlier one. An agent that starts while this is false may enforce less than its users wrote:
    /// it must not become ready.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.files.values().all(|file| file.missing.is_empty() && !file.unnamed)
    }

    /// What the objects mean together.
    #[must_use]
    pub fn compile(&mut self) -> Compiled {
        let Self { files, shared } = self;
        let mut compiled = Compiled::default();
        let InForce { namespaces, pods, services, policies, modes } = InForce::of(files, &mut compiled.issues);
        let root_namespace = Arc::clone(&shared.options.root_namespace);
        let peers = PeerAuthentications::of(modes, root_namespace, &mut compiled.issues);
        let mut bindings = Bindings::of(&services, &policies, peers, &mut shared.services);
        let mut addresses = AddressBook::for_pods(pods.len());
        compiled.workloads.reserve(pods.len());
        for (place, pod) in pods {
            let place = Place { line: pod.addresses_line, ..place };
            let taken = addresses.claim(place, pod, &mut compiled.issues);
            let binding = bindings.binding(&pod.replica, &mut compiled.issues);
            let namespace = namespaces.get(&*place.id.namespace).copied().unwrap_or_default();
            let workload = pod.compile(namespace, binding, &taken);
            if let Some(netns) = &pod.netns {
                compiled.netns.insert(workload.uid.clone(), netns.clone());
            }
            compiled.workloads.push(workload);
        }
        compiled.services = services.into_iter().map(|it| Arc::clone(&it.service)).collect();
        compiled.authorizations = policies.into_iter().map(|policy| Arc::clone(&policy.authorization)).collect();
        compiled.authorizations.extend(bindings.into_policies().map(Arc::new));
        compiled.authorizations.sort_by(|a, b| a.key.cmp(&b.key));
        compiled
    }

    /// Sorts the objects that could be read into those that are valid and the names of those that
    /// are not.
    fn take_valid(&mut self, given: Vec<Parsed>) -> (BTreeMap<ObjectId, Held>, Vec<ObjectId>, Vec<Issue>) {
        let (mut objects, mut refused, mut issues) = (BTreeMap::<_, Held>::new(), Vec::new(), Vec::<Issue>::new());
        for mut parsed in given {
            parsed.origin.id.namespace = self.shared.texts.share(&*parsed.origin.id.namespace);
            let mut findings = Findings::of(&parsed.origin);
            let held = Held::of(&parsed, &mut self.shared, &mut findings);
            let found = findings.issues;
            let valid = !found.iter().any(Issue::is_error);
            issues.extend(found);
            let (id, file) = (parsed.origin.id, parsed.origin.file);
            if let Some(first) = objects.get(&id) {
                issues.push(duplicate(Place { id: &id, file: &file, line: held.line }, &file, first.line));
            } else if valid {
                objects.insert(id, held);
            } else {
                refused.push(id);
            }
        }
        (objects, refused, issues)
    }
}

/// The objects in force by kind, each in the order of their names.
#[derive(Default)]
struct InForce<'a> {
    namespaces: BTreeMap<&'a str, Wish>,
    pods: Vec<(Place<'a>, &'a mut Pod)>,
    services: Vec<&'a Frontend>,
    policies: Vec<&'a Selected>,
    modes: Vec<(Place<'a>, &'a Modes)>,
}

impl<'a> InForce<'a> {
    /// Of objects in several files, that of the first file.
    fn of(files: &'a mut BTreeMap<Arc<str>, File>, issues: &mut Vec<Issue>) -> Self {
        let mut all = Vec::with_capacity(files.values().map(|file| file.objects.len()).sum());
        for (file, File { objects, .. }) in files {
            all.extend(objects.iter_mut().map(|(id, Held { line, means })| (Place { id, file, line: *line }, means)));
        }
        // Stable, and quick on what is a few sorted runs: of one name, the first file's comes first.
        all.sort_by(|(a, _), (b, _)| a.id.cmp(b.id));
        all.dedup_by(|(loser, _), (winner, _)| {
            let twice = loser.id == winner.id;
            if twice {
                issues.push(duplicate(*loser, winner.file, winner.line));
            }
            twice
        });
        let mut found = Self::default();
        for (place, means) in all {
            match means {
                Meaning::Nothing => {}
                Meaning::Namespace(wish) => drop(found.namespaces.insert(&place.id.name, *wish)),
                Meaning::Pod(pod) => found.pods.push((place, pod)),
                Meaning::Service(service) => found.services.push(service),
                Meaning::Authorization(policy) => found.policies.push(policy),
                Meaning::PeerAuthentication(modes) => found.modes.push((place, modes)),
            }
        }
        found
    }
}

/// What the errors of an object come to, said at the first of them.
fn after_errors(issues: &[Issue], id: &ObjectId, kept: bool) -> Option<Issue> {
    let first = issues.iter().find(|issue| issue.is_error() && issue.object.as_ref() == Some(id))?;
    let problem = if kept { Problem::LastVersionKept } else { Problem::NotInForce };
    Some(Issue { field: FieldPath::default(), problem, ..first.clone() })
}

fn duplicate(loser: Place<'_>, file: &Arc<str>, line: u32) -> Issue {
    let problem = Problem::Duplicate { file: Arc::clone(file), line };
    loser.issue(Severity::Error, FieldPath::default(), problem)
}

#[cfg(test)]
mod tests;
