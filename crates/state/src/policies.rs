//! Authorization policies, by scope and then key, so that those of a workload are three short runs.

use std::cmp::Ordering;
use std::sync::{Arc, LazyLock};

use ambit_model::{Action, Authorization, Clause, Match, PolicyKey, Rule, Scope, StringMatch, Workload};

/// Stands for every policy of a PeerAuthentication that is listed and not known: no plaintext.
static STRICT: LazyLock<Authorization> = LazyLock::new(|| {
    let plaintext = Match { not_principals: vec![StringMatch::Presence], ..Match::default() };
    Authorization {
        key: PolicyKey {
            namespace: "".into(),
            name: format!("{}unknown", PolicyKey::PEER_AUTHENTICATION_PREFIX).into(),
        },
        scope: Scope::WorkloadSelector,
        action: Action::Deny,
        rules: vec![Rule { clauses: vec![Clause { matches: vec![plaintext] }] }],
        dry_run: false,
    }
});

/// Sorted by [`rank`] of the scope, then key; no key twice.
#[derive(Debug, Clone, Default)]
pub(crate) struct Policies(Arc<Vec<Arc<Authorization>>>);

impl Policies {
    pub(crate) fn find(&self, key: &PolicyKey) -> Option<&Arc<Authorization>> {
        self.0.get(self.position(key)?)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Authorization>> {
        self.0.iter()
    }

    /// The policies that apply to a workload: mesh-wide, then of its namespace, each by key, then those
    /// it lists, as listed, where one of a PeerAuthentication that is not known denies plaintext.
    pub(crate) fn applicable<'a>(&'a self, workload: &'a Workload) -> impl Iterator<Item = &'a Authorization> + Clone {
        let mesh = self.run(|policy| rank(policy.scope).cmp(&rank(Scope::Global)));
        let namespace = self.run(|policy| {
            (rank(policy.scope), &*policy.key.namespace).cmp(&(rank(Scope::Namespace), &*workload.namespace))
        });
        let listed = workload.authorization_policies.iter().filter_map(|key| match self.find(key) {
            Some(policy) => Some(&**policy),
            None => key.is_of_peer_authentication().then(|| &*STRICT),
        });
        let listed = listed.filter(|policy| match policy.scope {
            Scope::Global => false,
            Scope::Namespace => policy.key.namespace != workload.namespace,
            Scope::WorkloadSelector => true,
        });
        mesh.iter().chain(namespace).map(Arc::as_ref).chain(listed)
    }

    /// Puts a policy in, or takes the one of this key out; returns what was there before.
    pub(crate) fn replace(
        &mut self,
        key: &PolicyKey,
        policy: Option<&Arc<Authorization>>,
    ) -> Option<Arc<Authorization>> {
        let position = self.position(key);
        let policies = Arc::make_mut(&mut self.0);
        let before = position.map(|at| policies.remove(at));
        if let Some(policy) = policy {
            let at = policies.partition_point(|other| order(other, policy.scope, key).is_lt());
            policies.insert(at, Arc::clone(policy));
        }
        before
    }

    fn position(&self, key: &PolicyKey) -> Option<usize> {
        [Scope::WorkloadSelector, Scope::Namespace, Scope::Global]
            .into_iter()
            .find_map(|scope| self.0.binary_search_by(|policy| order(policy, scope, key)).ok())
    }

    /// The run of policies that `compare` calls equal.
    fn run(&self, compare: impl Fn(&Authorization) -> Ordering) -> &[Arc<Authorization>] {
        let start = self.0.partition_point(|policy| compare(policy).is_lt());
        let rest = self.0.get(start..).unwrap_or_default();
        let length = rest.partition_point(|policy| compare(policy).is_eq());
        rest.get(..length).unwrap_or_default()
    }
}

fn order(policy: &Authorization, scope: Scope, key: &PolicyKey) -> Ordering {
    rank(policy.scope).cmp(&rank(scope)).then_with(|| policy.key.cmp(key))
}

fn rank(scope: Scope) -> u8 {
    match scope {
        Scope::Global => 0,
        Scope::Namespace => 1,
        Scope::WorkloadSelector => 2,
    }
}
