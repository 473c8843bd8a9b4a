//! The objects in force: of every object, its last valid version.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ambit_model::{TunnelProtocol, Workload};
use ambit_resources::{FieldPath, Object, ObjectId, Origin, Parsed, Pod, Severity, parse_file};

use crate::authorization::{self, Selected};
use crate::findings::Findings;
use crate::index::{Index, Item};
use crate::peer_authentication::{self, PeerAuthentications};
use crate::{Compiled, Issue, Options, Problem, enrolment, service, workload};

/// The objects in force, by the file they come from. What is wrong never reaches further than the
/// object it is in, and never puts out of force what was in force.
#[derive(Debug, Clone, Default)]
pub struct Store {
    files: BTreeMap<Arc<str>, File>,
}

#[derive(Debug, Clone, Default)]
struct File {
    objects: BTreeMap<ObjectId, Parsed>,
    /// Objects that never had a valid version.
    missing: BTreeSet<ObjectId>,
    /// Whether there is a part of which not even the name can be read.
    unnamed: bool,
}

impl Store {
    /// Takes a file's new text, and says what is wrong with it. An object that has become invalid
    /// keeps its last valid version; one that is no longer there is gone, unless a part of the file
    /// cannot be read and may be hiding it.
    pub fn replace_file(&mut self, name: &str, text: &str) -> Vec<Issue> {
        let parsed = parse_file(name, text);
        let mut old = self.files.remove(name);
        let (mut file, refused, mut issues) = take_valid(parsed.objects);
        issues.splice(0..0, parsed.issues.into_iter().map(|issue| issue.map(Problem::Read)));
        for id in parsed.refused.into_iter().chain(refused) {
            if file.objects.contains_key(&id) {
                continue; // a second, broken one beside a valid one
            }
            let kept = old.as_mut().and_then(|old| old.objects.remove(&id));
            issues.extend(after_errors(&issues, &id, kept.is_some()));
            match kept {
                Some(kept) => drop(file.objects.insert(id, kept)),
                None => drop(file.missing.insert(id)),
            }
        }
        if parsed.unreadable {
            let old = old.unwrap_or_default();
            file.unnamed = true;
            file.missing.extend(old.missing.into_iter().filter(|id| !file.objects.contains_key(id)));
            for (id, object) in old.objects {
                file.objects.entry(id).or_insert(object);
            }
        }
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
    pub fn compile(&self, options: &Options) -> Compiled {
        let mut issues = Vec::new();
        let index = Index::of(self.effective(&mut issues).into_values());
        let selected: Vec<_> = index
            .authorization_policies
            .iter()
            .filter_map(|item| authorization::compile(item, &options.root_namespace, &mut Findings::of(item.origin)))
            .collect();
        let mut peers = PeerAuthentications::of(&index, options, &mut issues);
        let mut addresses = AddressBook::default();
        let mut compiled = Compiled::default();
        for item in &index.pods {
            let mut policies: Vec<_> =
                selected.iter().filter(|policy| policy.selects(item)).map(Selected::key).collect();
            policies.extend(peers.policy_for(item, &mut issues));
            policies.sort();
            let Some(mut workload) = workload::compile(item, &index, options, policies) else { continue };
            addresses.claim(item, &mut workload, &mut issues);
            if workload.tunnel_protocol == TunnelProtocol::Hbone && !workload.node.is_empty() {
                let local = workload::local_pod(item.object, workload.uid.clone());
                compiled.local_pods.entry(Arc::clone(&workload.node)).or_default().push(local);
            }
            compiled.workloads.push(workload);
        }
        compiled.services = index.services().filter_map(service::compile).collect();
        compiled.authorizations = selected.into_iter().map(|policy| policy.authorization).collect();
        compiled.authorizations.extend(peers.into_policies());
        compiled.authorizations.sort_by(|a, b| a.key.cmp(&b.key));
        compiled.issues = issues;
        compiled
    }

    /// The objects in force, in the order of their names: of those in several files, that of the
    /// first file.
    fn effective(&self, issues: &mut Vec<Issue>) -> BTreeMap<&ObjectId, &Parsed> {
        let mut effective: BTreeMap<&ObjectId, &Parsed> = BTreeMap::new();
        for (id, parsed) in self.files.values().flat_map(|file| &file.objects) {
            match effective.get(id) {
                Some(winner) => issues.push(duplicate(&parsed.origin, &winner.origin)),
                None => drop(effective.insert(id, parsed)),
            }
        }
        effective
    }
}

/// Sorts the objects that could be read into those that are valid and the names of those that are
/// not.
fn take_valid(objects: Vec<Parsed>) -> (File, Vec<ObjectId>, Vec<Issue>) {
    let (mut file, mut refused, mut issues) = (File::default(), Vec::new(), Vec::<Issue>::new());
    for parsed in objects {
        let found = check(&parsed);
        let valid = !found.iter().any(Issue::is_error);
        issues.extend(found);
        let id = parsed.origin.id.clone();
        if let Some(first) = file.objects.get(&id) {
            issues.push(duplicate(&parsed.origin, &first.origin));
        } else if valid {
            file.objects.insert(id, parsed);
        } else {
            refused.push(id);
        }
    }
    (file, refused, issues)
}

/// What is to be said about one object by itself.
fn check(Parsed { origin, object }: &Parsed) -> Vec<Issue> {
    let mut findings = Findings::of(origin);
    match object {
        Object::Namespace(namespace) => enrolment::check_metadata(&namespace.metadata, &mut findings),
        Object::ServiceAccount(_) => {}
        Object::Pod(pod) => workload::check(pod, &mut findings),
        Object::Service(service) => service::check(service, &mut findings),
        Object::AuthorizationPolicy(object) => {
            // Which namespace is the root one changes a policy's reach, not whether it is valid.
            authorization::compile(&Item { origin, object }, "", &mut findings);
        }
        Object::PeerAuthentication(policy) => peer_authentication::check(policy, &mut findings),
    }
    findings.issues
}

/// What the errors of an object come to, said at the first of them.
fn after_errors(issues: &[Issue], id: &ObjectId, kept: bool) -> Option<Issue> {
    let first = issues.iter().find(|issue| issue.is_error() && issue.object.as_ref() == Some(id))?;
    let problem = if kept { Problem::LastVersionKept } else { Problem::NotInForce };
    Some(Issue { field: FieldPath::default(), problem, ..first.clone() })
}

fn duplicate(loser: &Origin, winner: &Origin) -> Issue {
    let (file, line) = (Arc::clone(&winner.file), winner.lines.at(&FieldPath::default()));
    loser.issue(Severity::Error, FieldPath::default(), Problem::Duplicate { file, line })
}

/// Who has which address. An address names one workload: two pods of one address would lend each
/// other their identities, so the second, by name, does without. Pods that share their node's
/// address share it lawfully.
#[derive(Default)]
struct AddressBook<'a> {
    holders: BTreeMap<IpAddr, &'a Origin>,
}

impl<'a> AddressBook<'a> {
    fn claim(&mut self, item: &Item<'a, Pod>, workload: &mut Workload, issues: &mut Vec<Issue>) {
        if workload.host_network {
            return;
        }
        workload.addresses.retain(|address| {
            let holder = *self.holders.entry(*address).or_insert(item.origin);
            let own = holder.id == item.origin.id;
            if !own {
                let problem = Problem::AddressTaken { address: *address, holder: holder.id.clone() };
                issues.push(item.origin.issue(Severity::Error, FieldPath::of("status.podIPs"), problem));
            }
            own
        });
    }
}

#[cfg(test)]
mod tests;
