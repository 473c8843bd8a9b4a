//! PeerAuthentication: whether a workload takes connections that are not mutual TLS.
//!
//! The node agents know no such thing as a mode. They are given DENY policies on connections without
//! a principal, one for each way in which the mode of a workload can come about, and the workloads
//! list the one that is theirs.

use std::collections::btree_map;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use ambit_model::{Action, Authorization, Clause, Match, PolicyKey, Rule, Scope, StringMatch};
use ambit_resources::{FieldPath, Mode, ObjectId, PeerAuthentication, Severity, Timestamp};

use crate::authorization::check_selector;
use crate::authorization::values::port;
use crate::findings::Findings;
use crate::labels::{Labels, Selector, Selectors};
use crate::place::Place;
use crate::replica::Replica;
use crate::shared::Shared;
use crate::{Issue, Problem};

/// The policy of workloads that are strict on every port. An underscore is in no Kubernetes name,
/// so that no user's policy can be taken for one of these.
const STRICT: &str = "ambit_strict";
/// What comes before the name of a PeerAuthentication with port-level modes.
const WITH_PORTS: &str = "ambit_peer_authentication_";

/// A PeerAuthentication.
#[derive(Debug)]
pub(crate) struct Modes {
    created: Option<Timestamp>,
    /// Labels of the workloads it applies to; none: all of its namespace.
    selector: Labels,
    strict: Strict,
    /// By port, each once.
    ports: Box<[(u16, Strict)]>,
}

/// Whether a mode is strict; nothing where it leaves that to the wider policy.
type Strict = Option<bool>;

/// What a PeerAuthentication means by itself.
pub(crate) fn prepare(policy: &PeerAuthentication, shared: &mut Shared) -> Modes {
    let selector = policy.spec.selector.as_ref();
    let ports = policy.spec.port_level_mtls.iter();
    let ports: BTreeMap<_, _> = ports.filter_map(|(text, mtls)| Some((port(text)?, is_strict(mtls.mode)))).collect();
    Modes {
        created: policy.metadata.creation_timestamp.clone(),
        selector: selector.map(|it| Labels::of(&it.match_labels, &mut shared.texts)).unwrap_or_default(),
        strict: is_strict(policy.spec.mtls.mode),
        ports: ports.into_iter().collect(),
    }
}

type Policy<'a> = (Place<'a>, &'a Modes);

/// The PeerAuthentications by what they apply to, of equals the oldest first.
pub(crate) struct PeerAuthentications<'a> {
    root_namespace: Arc<str>,
    /// Those without a selector, by namespace; that of the root namespace holds for the mesh.
    wide: HashMap<&'a str, Policy<'a>>,
    /// Those with one, and their ranks by age.
    selecting: Selectors<'a, (usize, Policy<'a>)>,
    /// The policies that some workload lists.
    used: BTreeMap<PolicyKey, Authorization>,
    /// Those that were said to lose to an older one.
    superseded: BTreeSet<&'a ObjectId>,
}

impl<'a> PeerAuthentications<'a> {
    /// Sorts them, and says which are never in force.
    pub(crate) fn of(mut all: Vec<Policy<'a>>, root_namespace: Arc<str>, issues: &mut Vec<Issue>) -> Self {
        all.sort_by_key(age);
        let (selecting, all): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, modes)| !modes.selector.is_empty());
        let mut wide = HashMap::<_, Policy<'a>>::new();
        for policy in all {
            match wide.entry(&*policy.0.id.namespace) {
                Entry::Occupied(winner) => issues.push(superseded(policy.0, winner.get().0, false)),
                Entry::Vacant(place) => drop(place.insert(policy)),
            }
        }
        let selecting = selecting.into_iter().enumerate().map(|(rank, (place, modes))| Selector {
            namespace: Some(&*place.id.namespace),
            labels: &modes.selector,
            what: (rank, (place, modes)),
        });
        let selecting = Selectors::of(selecting);
        Self { root_namespace, wide, selecting, used: BTreeMap::new(), superseded: BTreeSet::new() }
    }

    /// The policy that puts the effective modes of a replica in force; nothing where it takes
    /// everything. Depends on the PeerAuthentications of its namespace and of the root namespace.
    pub(crate) fn policy_for(&mut self, replica: &Replica, issues: &mut Vec<Issue>) -> Option<PolicyKey> {
        let own = self.oldest_selecting(replica, issues);
        let wider = [&replica.namespace, &self.root_namespace];
        let wider = wider.iter().filter_map(|namespace| self.wide.get(&***namespace));
        let strict = own.iter().chain(wider).find_map(|(_, modes)| modes.strict).unwrap_or(false);
        let exceptions = own.map(|(_, modes)| ports_unlike(strict, modes)).unwrap_or_default();
        let key = match own.filter(|_| !exceptions.is_empty()) {
            Some((Place { id, .. }, _)) => {
                PolicyKey { namespace: id.namespace.clone(), name: format!("{WITH_PORTS}{}", id.name).into() }
            }
            None if strict => PolicyKey { namespace: Arc::clone(&self.root_namespace), name: STRICT.into() },
            None => return None,
        };
        match self.used.entry(key) {
            btree_map::Entry::Occupied(used) => Some(used.key().clone()),
            btree_map::Entry::Vacant(place) => {
                let policy = deny_plaintext(place.key().clone(), strict, exceptions);
                Some(place.insert(policy).key.clone())
            }
        }
    }

    /// The one that selects a replica; of several the oldest, and the others are told.
    fn oldest_selecting(&mut self, replica: &Replica, issues: &mut Vec<Issue>) -> Option<Policy<'a>> {
        let mut selecting: Vec<_> = self.selecting.selecting(&replica.namespace, &replica.labels).collect();
        selecting.sort_unstable_by_key(|(rank, _)| *rank);
        let mut selecting = selecting.into_iter().map(|(_, policy)| *policy);
        let winner = selecting.next()?;
        for (loser, _) in selecting {
            if self.superseded.insert(loser.id) {
                issues.push(superseded(loser, winner.0, true));
            }
        }
        Some(winner)
    }

    /// The policies that some workload lists.
    pub(crate) fn into_policies(self) -> impl Iterator<Item = Authorization> {
        self.used.into_values()
    }
}

/// What is to be said about a PeerAuthentication.
pub(crate) fn check(policy: &PeerAuthentication, findings: &mut Findings<'_>) {
    check_selector(policy.spec.selector.as_ref(), findings);
    let at = FieldPath::of("spec.portLevelMtls");
    for text in policy.spec.port_level_mtls.keys().filter(|text| port(text).is_none()) {
        findings.error(at.field(text), Problem::Port { value: text.clone() });
    }
    if !policy.spec.port_level_mtls.is_empty() && !has_selector(policy) {
        findings.error(FieldPath::of("spec.selector"), Problem::RequiredWith { other: "portLevelMtls" });
    }
}

fn has_selector(policy: &PeerAuthentication) -> bool {
    policy.spec.selector.as_ref().is_some_and(|selector| !selector.match_labels.is_empty())
}

/// Whether the mode is strict; nothing where it leaves that to the wider policy. What is not mutual
/// TLS comes in plain, so to disable it is to permit both: the tunnel is never shut.
fn is_strict(mode: Mode) -> Strict {
    match mode {
        Mode::Unset => None,
        Mode::Disable | Mode::Permissive => Some(false),
        Mode::Strict => Some(true),
    }
}

/// The ports of the policy whose mode is not that of the workload, in order.
fn ports_unlike(strict: bool, modes: &Modes) -> Vec<u16> {
    modes.ports.iter().filter(|(_, mode)| mode.is_some_and(|mode| mode != strict)).map(|(port, _)| *port).collect()
}

/// A policy that denies connections without a principal: on all ports but the exceptions, or on the
/// exceptions alone.
fn deny_plaintext(key: PolicyKey, strict: bool, exceptions: Vec<u16>) -> Authorization {
    let plaintext = Match { not_principals: vec![StringMatch::Presence], ..Match::default() };
    let mut clauses = vec![Clause { matches: vec![plaintext] }];
    if !exceptions.is_empty() {
        let ports = if strict {
            Match { not_destination_ports: exceptions, ..Match::default() }
        } else {
            Match { destination_ports: exceptions, ..Match::default() }
        };
        clauses.push(Clause { matches: vec![ports] });
    }
    let (scope, action) = (Scope::WorkloadSelector, Action::Deny);
    Authorization { key, scope, action, rules: vec![Rule { clauses }], dry_run: false }
}

/// The oldest first. One without a time was never at the API server: it is the newest.
fn age<'a>((place, modes): &Policy<'a>) -> impl Ord + use<'a> {
    (modes.created.is_none(), modes.created.as_ref(), place.id)
}

fn superseded(loser: Place<'_>, winner: Place<'_>, selected: bool) -> Issue {
    let problem = Problem::Superseded { winner: winner.id.clone(), selected };
    loser.issue(Severity::Warning, FieldPath::default(), problem)
}

#[cfg(test)]
mod tests;
