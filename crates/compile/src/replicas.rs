//! The workloads in groups of replicas: what services and policies mean for a group is worked out once.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use ambit_model::{PolicyKey, WorkloadUid};

use crate::labels::{Place, Selector};
use crate::peer_authentication::Standing;
use crate::replica::Replica;
use crate::shared::Services;

/// What the services and policies mean for a replica.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Binding {
    /// The services it is an endpoint of.
    pub(crate) services: Arc<Services>,
    /// The policies that select it, by key.
    pub(crate) policies: Arc<[PolicyKey]>,
}

/// Workloads that nothing tells apart but their names and addresses.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) members: BTreeSet<WorkloadUid>,
    pub(crate) binding: Binding,
    pub(crate) standing: Standing,
}

/// All groups, and which of them must be looked at again.
#[derive(Debug, Default)]
pub(crate) struct Replicas {
    by_namespace: BTreeMap<Arc<str>, HashMap<Arc<Replica>, Group>>,
    by_label: HashMap<Place, Vec<Arc<Replica>>>,
    stale: HashSet<Arc<Replica>>,
}

impl Replicas {
    pub(crate) fn group(&self, replica: &Arc<Replica>) -> Option<&Group> {
        self.by_namespace.get(&replica.namespace)?.get(replica)
    }

    pub(crate) fn group_mut(&mut self, replica: &Arc<Replica>) -> Option<&mut Group> {
        self.by_namespace.get_mut(&replica.namespace)?.get_mut(replica)
    }

    pub(crate) fn join(&mut self, replica: &Arc<Replica>, uid: &WorkloadUid) {
        let groups = self.by_namespace.entry(Arc::clone(&replica.namespace)).or_default();
        let group = groups.entry(Arc::clone(replica)).or_default();
        if group.members.is_empty() {
            for place in replica.labels.places(Some(&replica.namespace)) {
                self.by_label.entry(place).or_default().push(Arc::clone(replica));
            }
            self.stale.insert(Arc::clone(replica));
        }
        group.members.insert(uid.clone());
    }

    /// Takes a workload out of its group. What the group was is handed back with its last member.
    pub(crate) fn leave(&mut self, replica: &Arc<Replica>, uid: &WorkloadUid) -> Option<Group> {
        let groups = self.by_namespace.get_mut(&replica.namespace)?;
        let group = groups.get_mut(replica)?;
        group.members.remove(uid);
        if !group.members.is_empty() {
            return None;
        }
        let last = groups.remove(replica);
        if groups.is_empty() {
            self.by_namespace.remove(&replica.namespace);
        }
        for place in replica.labels.places(Some(&replica.namespace)) {
            if let Some(found) = self.by_label.get_mut(&place) {
                found.retain(|other| !Arc::ptr_eq(other, replica));
                if found.is_empty() {
                    self.by_label.remove(&place);
                }
            }
        }
        self.stale.remove(replica);
        last
    }

    /// What is selected must be looked at again.
    pub(crate) fn outdate_selected(&mut self, selector: &Selector) {
        match &selector.namespace {
            Some(namespace) => self.outdate_selected_in(namespace, selector),
            None => {
                let namespaces: Vec<_> = self.by_namespace.keys().cloned().collect();
                namespaces.iter().for_each(|namespace| self.outdate_selected_in(namespace, selector));
            }
        }
    }

    fn outdate_selected_in(&mut self, namespace: &Arc<str>, selector: &Selector) {
        let selected: Vec<_> = self.selected_in(namespace, selector).cloned().collect();
        self.stale.extend(selected);
    }

    /// What is selected in a namespace.
    pub(crate) fn selected_in<'a>(
        &'a self,
        namespace: &Arc<str>,
        selector: &'a Selector,
    ) -> impl Iterator<Item = &'a Arc<Replica>> + use<'a> {
        let places = selector.labels.places(Some(namespace));
        let having = places.map(|place| self.by_label.get(&place).map_or(&[][..], Vec::as_slice));
        let fewest = having.min_by_key(|replicas| replicas.len()).unwrap_or_default();
        fewest.iter().filter(|replica| replica.labels.satisfy(&selector.labels))
    }

    /// All of a namespace must be looked at again.
    pub(crate) fn outdate_namespace(&mut self, namespace: &str) {
        self.stale.extend(self.by_namespace.get(namespace).into_iter().flat_map(HashMap::keys).cloned());
    }

    /// All must be looked at again.
    pub(crate) fn outdate_all(&mut self) {
        self.stale.extend(self.by_namespace.values().flat_map(HashMap::keys).cloned());
    }

    pub(crate) fn take_stale(&mut self) -> HashSet<Arc<Replica>> {
        std::mem::take(&mut self.stale)
    }
}
