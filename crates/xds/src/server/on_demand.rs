//! Subscriptions by name.
//!
//! Who asks for a service, be it by its address, asks for its endpoints: what it holds, and not only what
//! it named, decides what concerns it.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::subscription::{Found, Known};
use crate::cache::View;

#[derive(Debug, Default)]
pub(super) struct These {
    /// Names and aliases that were asked for.
    pub(super) names: HashSet<Arc<str>>,
    /// Names of the resources that were told of.
    held: HashSet<Arc<str>>,
    /// Whether there was an answer, be it an empty one.
    pub(super) told: bool,
}

impl These {
    /// What a client holds when it comes is what it asked for before.
    pub(super) fn holding(known: &Known) -> Self {
        let held: HashSet<Arc<str>> = known.keys().map(|name| name.as_str().into()).collect();
        Self { names: held.clone(), held, told: false }
    }

    /// After another kind of subscription, which was answered.
    pub(super) fn answered() -> Self {
        Self { told: true, ..Self::default() }
    }

    pub(super) fn unsubscribe(&mut self, name: &str) {
        self.names.remove(name);
        self.held.remove(name);
    }

    /// What concerns it of what has changed since a place in the order, or of all there is.
    pub(super) fn answer(
        &mut self,
        view: &View<'_>,
        since: Option<u64>,
        asked: &BTreeSet<Arc<str>>,
        found: &mut Found<'_>,
    ) {
        match since {
            Some(since) => self.changes(view, since, found),
            None => self.held.clone().iter().for_each(|name| self.gather(view, name, found)),
        }
        for name in asked {
            self.gather(view, name, found);
        }
    }

    fn changes(&mut self, view: &View<'_>, since: u64, found: &mut Found<'_>) {
        for (name, stored) in view.since(since) {
            let wanted = self.names.contains(name)
                || stored.keys.iter().any(|key| self.names.contains(key) || self.held.contains(key));
            match &stored.resource {
                Some(resource) if wanted => {
                    found.unless_known(name, resource);
                    if self.held.insert(Arc::clone(name)) {
                        self.gather_members(view, name, found);
                    }
                }
                _ if self.held.remove(name) => found.gone(name),
                _ => {}
            }
        }
    }

    /// The resources of a name or alias.
    fn gather(&mut self, view: &View<'_>, name: &Arc<str>, found: &mut Found<'_>) {
        let mut resources = view.find(name).into_iter().chain(view.keyed(name)).peekable();
        if resources.peek().is_none() {
            self.held.remove(name);
            found.gone(name);
        }
        for (name, resource) in resources {
            found.unless_known(name, resource);
            self.held.insert(Arc::clone(name));
            self.gather_members(view, name, found);
        }
    }

    /// What belongs to a resource that it is told of.
    fn gather_members(&mut self, view: &View<'_>, name: &str, found: &mut Found<'_>) {
        for (member, resource) in view.keyed(name) {
            found.unless_known(member, resource);
            self.held.insert(Arc::clone(member));
        }
    }
}
