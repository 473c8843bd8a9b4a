//! Who is concerned by what.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use ambit_l7::CredentialKey;
use ambit_resources::{ObjectId, Timestamp};

use crate::l7::hosts::HostPattern;
use crate::l7::targets::Target;

/// An object in the order in which objects of its kind are merged: the oldest first.
pub(super) type Ordered = (Option<Timestamp>, ObjectId);

/// Objects by what they are about.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// VirtualServices by host.
    pub(super) routes: Map<HostPattern, Ordered>,
    /// DestinationRules by host.
    pub(super) rules: Map<HostPattern, Ordered>,
    /// Policies and routes by what they are attached to.
    pub(super) targets: Map<Target, Ordered>,
    /// Limits by the objects whose rules they are attached to.
    pub(super) limited: Map<ObjectId, Ordered>,
    /// VirtualServices by those they delegate to.
    pub(super) delegating: Map<ObjectId, ObjectId>,
    /// Objects by the host names that they looked up.
    pub(super) looked_up: Map<Arc<str>, ObjectId>,
    /// BackendTLSPolicies by the services they are for.
    pub(super) tls: Map<Target, Ordered>,
    /// DestinationRules and BackendTLSPolicies by the credentials they name.
    pub(super) credentials: Map<CredentialKey, ObjectId>,
    /// Policies that have a provider.
    pub(super) with_provider: BTreeSet<ObjectId>,
}

/// Several values for each key; no key without any.
#[derive(Debug)]
pub(super) struct Map<K, V> {
    by_key: HashMap<K, BTreeSet<V>>,
}

impl<K, V> Default for Map<K, V> {
    fn default() -> Self {
        Self { by_key: HashMap::new() }
    }
}

impl<K: Hash + Eq + Clone, V: Ord + Clone> Map<K, V> {
    /// A value comes, or goes.
    pub(super) fn change(&mut self, key: &K, value: &V, comes: bool) {
        if comes {
            self.by_key.entry(key.clone()).or_default().insert(value.clone());
        } else if let Some(here) = self.by_key.get_mut(key) {
            here.remove(value);
            if here.is_empty() {
                self.by_key.remove(key);
            }
        }
    }

    pub(super) fn of(&self, key: &K) -> impl Iterator<Item = &V> {
        self.by_key.get(key).into_iter().flatten()
    }

    /// The values of all keys that fit.
    pub(super) fn of_all<'a>(&'a self, fits: impl Fn(&K) -> bool + 'a) -> impl Iterator<Item = &'a V> {
        self.by_key.iter().filter(move |(key, _)| fits(key)).flat_map(|(_, here)| here)
    }
}
