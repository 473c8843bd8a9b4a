//! What a waypoint serves, as far as it decides which objects concern it.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use ambit_model::GatewayKey;

use super::relevance::{Host, Place};

/// What a waypoint serves, and where its routes lead.
#[derive(Debug)]
pub(super) struct Scope {
    waypoint: GatewayKey,
    root: Arc<str>,
    /// The namespaces of what is bound to it.
    namespaces: Counted<Arc<str>>,
    /// The host names of the services bound to it.
    hosts: Counted<Arc<str>>,
    places: Counted<Place>,
}

/// Things that are there for one reason or several.
#[derive(Debug)]
pub(super) struct Counted<T>(BTreeMap<T, usize>);

impl Scope {
    pub(super) fn new(waypoint: GatewayKey, root: Arc<str>) -> Self {
        let (namespaces, hosts, places) = (Counted::default(), Counted::default(), Counted::default());
        Self { waypoint, root, namespaces, hosts, places }
    }

    /// Something of a namespace is bound to the waypoint, a service by its host name; or no more. Whether that may
    /// change what concerns it.
    pub(super) fn bind(&mut self, namespace: &Arc<str>, host: Option<&Arc<str>>, bound: bool) -> bool {
        let namespaces = self.namespaces.count(namespace, bound);
        host.is_some_and(|host| self.hosts.count(host, bound)) || namespaces
    }

    /// An object that concerns it leads somewhere, or no more. Whether that may change what concerns it.
    pub(super) fn lead<'a>(&mut self, places: impl IntoIterator<Item = &'a Place>, leads: bool) -> bool {
        let mut changed = false;
        for place in places {
            changed |= self.places.count(place, leads);
        }
        changed
    }

    pub(super) fn is_itself(&self, namespace: &str, name: &str) -> bool {
        *self.waypoint.namespace == *namespace && *self.waypoint.name == *name
    }

    /// Whether all objects of a namespace concern it.
    pub(super) fn is_home(&self, namespace: &str) -> bool {
        *self.waypoint.namespace == *namespace || *self.root == *namespace || self.namespaces.0.contains_key(namespace)
    }

    pub(super) fn serves(&self, host: &Host) -> bool {
        match host {
            Host::Is(host) => self.hosts.0.contains_key(host),
            Host::Begins(start) => {
                let from = (Bound::Included(Arc::clone(start)), Bound::Unbounded);
                self.hosts.0.range(from).next().is_some_and(|(host, _)| host.starts_with(&**start))
            }
            Host::Ends(end) => self.hosts.0.keys().any(|host| host.ends_with(&**end)),
            Host::Gateway(key) => *key == self.waypoint,
        }
    }

    pub(super) fn leads_to_namespace(&self, namespace: &Arc<str>) -> bool {
        self.places.0.contains_key(&Place::Namespace(Arc::clone(namespace)))
    }

    /// Services of Kubernetes are looked for in their namespace.
    pub(super) fn leads_to_host(&self, host: &Host) -> bool {
        match host {
            Host::Is(host) => self.places.0.contains_key(&Place::Host(Arc::clone(host))),
            Host::Begins(_) | Host::Gateway(_) => false,
            Host::Ends(end) => {
                self.places.0.keys().any(|place| matches!(place, Place::Host(host) if host.ends_with(&**end)))
            }
        }
    }

    /// Whether nothing is bound to it.
    pub(super) fn is_empty(&self) -> bool {
        self.namespaces.0.is_empty()
    }
}

impl<T> Default for Counted<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Ord + Clone> Counted<T> {
    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &T> {
        self.0.keys()
    }

    /// One reason more, or one less. Whether it came or went.
    pub(super) fn count(&mut self, thing: &T, more: bool) -> bool {
        match self.0.get_mut(thing) {
            None if more => self.0.insert(thing.clone(), 1).is_none(),
            None => false,
            Some(1) if !more => self.0.remove(thing).is_some(),
            Some(count) => {
                *count = if more { *count + 1 } else { *count - 1 };
                false
            }
        }
    }
}
