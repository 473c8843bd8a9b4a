//! Routes that are attached to a waypoint itself.

use std::collections::BTreeMap;

use ambit_resources::ObjectId;

/// The routes attached to a waypoint, each with the listeners that it names; none: whichever there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AttachedRoutes(BTreeMap<ObjectId, Vec<Option<String>>>);

impl AttachedRoutes {
    /// A route is attached at these places; at none: no more.
    pub(super) fn put(&mut self, route: &ObjectId, places: Vec<Option<String>>) {
        if places.is_empty() {
            self.0.remove(route);
        } else {
            self.0.insert(route.clone(), places);
        }
    }

    /// How many are attached to a listener.
    pub(super) fn count(&self, listener: &str) -> usize {
        let here = |place: &Option<String>| place.as_ref().is_none_or(|place| place == listener);
        self.0.values().filter(|places| places.iter().any(here)).count()
    }
}

impl FromIterator<(ObjectId, Vec<Option<String>>)> for AttachedRoutes {
    fn from_iter<T: IntoIterator<Item = (ObjectId, Vec<Option<String>>)>>(routes: T) -> Self {
        Self(routes.into_iter().collect())
    }
}
