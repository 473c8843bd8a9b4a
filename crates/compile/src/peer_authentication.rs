//! PeerAuthentication: whether a workload takes connections that are not mutual TLS.
//!
//! The node agents know no such thing as a mode. They are given DENY policies on connections without
//! a principal, one for each way in which the mode of a workload can come about, and the workloads
//! list the one that is theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ambit_model::{Action, Authorization, Clause, Match, PolicyKey, Rule, Scope, StringMatch};
use ambit_resources::{FieldPath, Mode, ObjectId, PeerAuthentication, Pod, Severity};

use crate::authorization::check_selector;
use crate::authorization::values::port;
use crate::findings::Findings;
use crate::index::{Index, Item};
use crate::{Issue, Options, Problem};

/// The policy of workloads that are strict on every port. An underscore is in no Kubernetes name,
/// so that no user's policy can be taken for one of these.
const STRICT: &str = "ambit_strict";
/// What comes before the name of a PeerAuthentication with port-level modes.
const WITH_PORTS: &str = "ambit_peer_authentication_";

type Policy<'a> = Item<'a, PeerAuthentication>;

/// The PeerAuthentications by what they apply to, of equals the oldest first.
pub(crate) struct PeerAuthentications<'a> {
    root_namespace: Arc<str>,
    /// Those without a selector, by namespace; that of the root namespace holds for the mesh.
    wide: BTreeMap<&'a str, &'a PeerAuthentication>,
    /// Those with one.
    selecting: BTreeMap<&'a str, Vec<&'a Policy<'a>>>,
    /// The policies that some workload lists.
    used: BTreeMap<PolicyKey, Authorization>,
    /// Those that were said to lose to an older one.
    superseded: BTreeSet<&'a ObjectId>,
}

impl<'a> PeerAuthentications<'a> {
    /// Sorts them, and says which are never in force.
    pub(crate) fn of(index: &'a Index<'a>, options: &Options, issues: &mut Vec<Issue>) -> Self {
        let mut all: Vec<&Policy<'a>> = index.peer_authentications.iter().collect();
        all.sort_by_key(|item| age(item));
        let (mut wide, mut selecting) = (BTreeMap::<_, &Policy<'a>>::new(), BTreeMap::<_, Vec<_>>::new());
        for item in all {
            if has_selector(item.object) {
                selecting.entry(item.namespace()).or_default().push(item);
            } else if let Some(winner) = wide.get(item.namespace()) {
                issues.push(superseded(item, winner, false));
            } else {
                wide.insert(item.namespace(), item);
            }
        }
        Self {
            root_namespace: Arc::clone(&options.root_namespace),
            wide: wide.into_iter().map(|(namespace, item)| (namespace, item.object)).collect(),
            selecting,
            used: BTreeMap::new(),
            superseded: BTreeSet::new(),
        }
    }

    /// The policy that puts the pod's effective modes in force; nothing where it takes everything.
    /// Depends on the PeerAuthentications of the pod's namespace and of the root namespace.
    pub(crate) fn policy_for(&mut self, pod: &Item<'_, Pod>, issues: &mut Vec<Issue>) -> Option<PolicyKey> {
        let labels = &pod.object.metadata.labels;
        let selects = |item: &&&Policy<'a>| item.object.spec.selector.as_ref().is_some_and(|s| s.selects(labels));
        let mut selecting = self.selecting.get(pod.namespace()).into_iter().flatten().filter(selects);
        let own = selecting.next().copied();
        for (loser, winner) in selecting.zip(std::iter::repeat(own)) {
            if let Some(winner) = winner
                && self.superseded.insert(&loser.origin.id)
            {
                issues.push(superseded(loser, winner, true));
            }
        }
        let wider = [pod.namespace(), &self.root_namespace];
        let wider = wider.iter().filter_map(|namespace| self.wide.get(namespace)).map(|policy| policy.spec.mtls.mode);
        let modes = own.map(|own| own.object.spec.mtls.mode).into_iter().chain(wider);
        let strict = modes.into_iter().find_map(is_strict).unwrap_or(false);
        let exceptions: Vec<u16> = own.map(|own| ports_unlike(strict, own.object)).unwrap_or_default();
        let key = match own.filter(|_| !exceptions.is_empty()) {
            Some(own) => PolicyKey {
                namespace: own.origin.id.namespace.clone(),
                name: format!("{WITH_PORTS}{}", own.origin.id.name).into(),
            },
            None if strict => PolicyKey { namespace: Arc::clone(&self.root_namespace), name: STRICT.into() },
            None => return None,
        };
        self.used.entry(key.clone()).or_insert_with(|| deny_plaintext(key.clone(), strict, exceptions));
        Some(key)
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
fn is_strict(mode: Mode) -> Option<bool> {
    match mode {
        Mode::Unset => None,
        Mode::Disable | Mode::Permissive => Some(false),
        Mode::Strict => Some(true),
    }
}

/// The ports of the policy whose mode is not that of the workload, in order.
fn ports_unlike(strict: bool, policy: &PeerAuthentication) -> Vec<u16> {
    let modes =
        policy.spec.port_level_mtls.iter().filter_map(|(text, mtls)| Some((port(text)?, is_strict(mtls.mode)?)));
    let ports: BTreeSet<u16> = modes.filter(|(_, mode)| *mode != strict).map(|(port, _)| port).collect();
    ports.into_iter().collect()
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
fn age<'a>(item: &Policy<'a>) -> impl Ord + use<'a> {
    let created = item.object.metadata.creation_timestamp.as_ref();
    (created.is_none(), created, &item.origin.id)
}

fn superseded(loser: &Policy<'_>, winner: &Policy<'_>, selected: bool) -> Issue {
    let problem = Problem::Superseded { winner: winner.origin.id.clone(), selected };
    loser.origin.issue(Severity::Warning, FieldPath::default(), problem)
}

#[cfg(test)]
mod tests;
