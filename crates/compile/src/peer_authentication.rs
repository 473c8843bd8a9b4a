//! PeerAuthentication: whether a workload takes connections that are not mutual TLS.
//!
//! The node agents know no such thing as a mode. They are given DENY policies on connections without
//! a principal, one for each way in which the mode of a workload can come about, and the workloads
//! list the one that is theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ambit_model::{Action, Authorization, Clause, Match, PolicyKey, Rule, Scope, StringMatch};
use ambit_resources::{FieldPath, Mode, ObjectId, PeerAuthentication, Timestamp};

use crate::Problem;
use crate::authorization::check_selector;
use crate::authorization::values::port;
use crate::findings::Findings;
use crate::labels::{Labels, Selector, Selectors};
use crate::replica::Replica;
use crate::shared::Shared;

/// The policy of workloads that are strict on every port. An underscore is in no Kubernetes name,
/// so that no user's policy can be taken for one of these.
const STRICT: &str = "ambit_strict";
/// What comes before the name of a PeerAuthentication with port-level modes.
const WITH_PORTS: &str = "ambit_peer_authentication_";

/// A PeerAuthentication.
#[derive(Debug, PartialEq, Eq)]
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

/// Its place in the line of those that apply to the same: the oldest first. One without a time was
/// never at the API server: it is the newest.
type Rank = (bool, Option<Timestamp>, ObjectId);

impl Modes {
    fn rank(&self, id: &ObjectId) -> Rank {
        (self.created.is_none(), self.created.clone(), id.clone())
    }

    /// The pods it selects; nothing where it is for all of its namespace.
    pub(crate) fn selector(&self, id: &ObjectId) -> Option<Selector> {
        let selector = Selector { namespace: Some(Arc::clone(&id.namespace)), labels: self.selector.clone() };
        (!self.selector.is_empty()).then_some(selector)
    }
}

/// What the PeerAuthentications mean for a group of replicas.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Standing {
    /// The policy that puts the effective modes in force; nothing where everything is taken.
    pub(crate) policy: Option<PolicyKey>,
    /// Of those that select it, the oldest, and the others.
    contest: Vec<(ObjectId, ObjectId)>,
}

/// The PeerAuthentications by what they apply to, of equals the oldest first.
#[derive(Debug, Default)]
pub(crate) struct PeerAuthentications {
    /// Those without a selector, by namespace; that of the root namespace holds for the mesh.
    wide: BTreeMap<Arc<str>, BTreeMap<Rank, Arc<Modes>>>,
    /// Those with one.
    selecting: Selectors<Rank>,
    by_rank: BTreeMap<Rank, Arc<Modes>>,
    /// The policies that some group lists, and how many do.
    used: BTreeMap<PolicyKey, (Arc<Authorization>, usize)>,
    /// The winners over each loser, and for how many groups.
    contests: BTreeMap<ObjectId, BTreeMap<ObjectId, usize>>,
}

impl PeerAuthentications {
    pub(crate) fn insert(&mut self, id: &ObjectId, modes: &Arc<Modes>) {
        let rank = modes.rank(id);
        match modes.selector(id) {
            None => drop(self.wide.entry(Arc::clone(&id.namespace)).or_default().insert(rank, Arc::clone(modes))),
            Some(selector) => {
                self.selecting.insert(&selector, rank.clone());
                self.by_rank.insert(rank, Arc::clone(modes));
            }
        }
    }

    pub(crate) fn remove(&mut self, id: &ObjectId, modes: &Modes) {
        let rank = modes.rank(id);
        match modes.selector(id) {
            None => drop(self.wide.get_mut(&id.namespace).map(|all| all.remove(&rank))),
            Some(selector) => {
                self.selecting.remove(&selector, &rank);
                self.by_rank.remove(&rank);
            }
        }
    }

    /// Those that are for all of a namespace, the oldest first.
    pub(crate) fn wide_in(&self, namespace: &str) -> impl Iterator<Item = &ObjectId> {
        self.wide.get(namespace).into_iter().flat_map(BTreeMap::keys).map(|(_, _, id)| id)
    }

    /// The one that keeps another out of force, and whether for single workloads only.
    pub(crate) fn winner_over(&self, id: &ObjectId) -> Option<(&ObjectId, bool)> {
        if self.wide_in(&id.namespace).any(|wide| wide == id) {
            return self.wide_in(&id.namespace).next().filter(|first| *first != id).map(|first| (first, false));
        }
        self.contests.get(id)?.keys().next().map(|winner| (winner, true))
    }

    /// What they mean for a replica. Depends on the PeerAuthentications of its namespace and of the root
    /// namespace.
    pub(crate) fn judge(&self, replica: &Replica, root_namespace: &Arc<str>) -> (Standing, Option<Authorization>) {
        let mut selecting: Vec<_> = self.selecting.selecting(&replica.namespace, &replica.labels).collect();
        selecting.sort_unstable();
        let mut selecting = selecting.into_iter();
        let own = selecting.next().and_then(|rank| Some((&rank.2, self.by_rank.get(rank)?)));
        let contest = own.map(|(winner, _)| selecting.map(|rank| (rank.2.clone(), winner.clone())).collect());
        let contest = contest.unwrap_or_default();
        let wider = [&replica.namespace, root_namespace];
        let wider = wider.iter().filter_map(|namespace| self.wide.get(&***namespace)?.values().next());
        let strict = own.iter().map(|(_, modes)| *modes).chain(wider).find_map(|modes| modes.strict).unwrap_or(false);
        let exceptions = own.map(|(_, modes)| ports_unlike(strict, modes)).unwrap_or_default();
        let key = match own.filter(|_| !exceptions.is_empty()) {
            Some((id, _)) => Some((Arc::clone(&id.namespace), format!("{WITH_PORTS}{}", id.name).into())),
            None => strict.then(|| (Arc::clone(root_namespace), STRICT.into())),
        };
        let policy = key.map(|(namespace, name)| deny_plaintext(PolicyKey { namespace, name }, strict, exceptions));
        (Standing { policy: policy.as_ref().map(|policy| policy.key.clone()), contest }, policy)
    }

    /// A group has another standing. Who is to be told that they lose, or do so no more, is handed back.
    pub(crate) fn restand(
        &mut self,
        before: &Standing,
        after: &Standing,
        policy: Option<Authorization>,
    ) -> impl Iterator<Item = ObjectId> + use<> {
        if let Some(policy) = policy {
            let (held, users) = self.used.entry(policy.key.clone()).or_insert_with(|| (Arc::new(policy.clone()), 0));
            *users += 1;
            if **held != policy {
                *held = Arc::new(policy);
            }
        }
        if let Some(key) = &before.policy
            && let Some((_, users)) = self.used.get_mut(key)
        {
            *users -= 1;
            if *users == 0 {
                self.used.remove(key);
            }
        }
        for (loser, winner) in &after.contest {
            *self.contests.entry(loser.clone()).or_default().entry(winner.clone()).or_default() += 1;
        }
        for (loser, winner) in &before.contest {
            self.forget(loser, winner);
        }
        let told: BTreeSet<_> = before.contest.iter().chain(&after.contest).map(|(loser, _)| loser.clone()).collect();
        told.into_iter()
    }

    fn forget(&mut self, loser: &ObjectId, winner: &ObjectId) {
        let Some(winners) = self.contests.get_mut(loser) else { return };
        if let Some(count) = winners.get_mut(winner) {
            *count -= 1;
            if *count == 0 {
                winners.remove(winner);
            }
        }
        if winners.is_empty() {
            self.contests.remove(loser);
        }
    }

    /// A policy that some group lists.
    pub(crate) fn policy(&self, key: &PolicyKey) -> Option<&Arc<Authorization>> {
        self.used.get(key).map(|(policy, _)| policy)
    }

    /// The policies that some group lists.
    pub(crate) fn policies(&self) -> impl Iterator<Item = &Arc<Authorization>> {
        self.used.values().map(|(policy, _)| policy)
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

#[cfg(test)]
mod tests;
