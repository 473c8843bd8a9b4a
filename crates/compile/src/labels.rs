//! Labels, and the selectors that look for them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ambit_model::Interner;

/// Labels by their keys: those of a pod, or those a selector asks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Labels(Arc<[(Arc<str>, Arc<str>)]>);

impl Labels {
    pub(crate) fn of(labels: &BTreeMap<String, String>, texts: &mut Interner<str>) -> Self {
        Self(labels.iter().map(|(key, value)| (texts.share(key.as_str()), texts.share(value.as_str()))).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all labels of a selector are among these.
    pub(crate) fn satisfy(&self, selector: &Self) -> bool {
        selector.0.iter().all(|(key, value)| self.value(key).is_some_and(|own| own == value))
    }

    pub(crate) fn value(&self, key: &str) -> Option<&Arc<str>> {
        let at = self.0.binary_search_by(|(other, _)| (**other).cmp(key)).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    /// The labels one by one, each where it is found: in a namespace, or in any.
    pub(crate) fn places(&self, namespace: Option<&Arc<str>>) -> impl Iterator<Item = Place> {
        let namespace = namespace.cloned();
        self.0.iter().map(move |(key, value)| (namespace.clone(), Arc::clone(key), Arc::clone(value)))
    }
}

/// A label in a namespace; without one, in any.
pub(crate) type Place = (Option<Arc<str>>, Arc<str>, Arc<str>);

/// Which pods something is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selector {
    /// The namespace of the pods; absent: any.
    pub(crate) namespace: Option<Arc<str>>,
    /// What a pod must have, all of it. Without labels nothing is selected.
    pub(crate) labels: Labels,
}

impl Selector {
    fn places(&self) -> impl Iterator<Item = Place> {
        self.labels.places(self.namespace.as_ref())
    }
}

/// Selectors, found by one of the labels they ask for: a pod is not held against every selector of
/// its namespace, of which there may be thousands.
#[derive(Debug)]
pub(crate) struct Selectors<T> {
    by_label: HashMap<Place, Vec<(Labels, T)>>,
}

impl<T> Default for Selectors<T> {
    fn default() -> Self {
        Self { by_label: HashMap::new() }
    }
}

impl<T: PartialEq> Selectors<T> {
    pub(crate) fn insert(&mut self, selector: &Selector, what: T) {
        // Where the fewest are: below `app: web`, not below the `env: production` of all.
        let crowd = |place: &Place| self.by_label.get(place).map_or(0, Vec::len);
        if let Some(place) = selector.places().min_by_key(crowd) {
            let here = self.by_label.entry(place).or_default();
            here.reserve_exact(1); // nearly always the only one
            here.push((selector.labels.clone(), what));
        }
    }

    pub(crate) fn remove(&mut self, selector: &Selector, what: &T) {
        for place in selector.places() {
            if let Some(found) = self.by_label.get_mut(&place) {
                found.retain(|(_, other)| other != what);
                if found.is_empty() {
                    self.by_label.remove(&place);
                }
            }
        }
    }

    /// What selects a pod, in no order.
    pub(crate) fn selecting<'a>(&'a self, namespace: &Arc<str>, labels: &'a Labels) -> impl Iterator<Item = &'a T> {
        let places = labels.places(Some(namespace)).chain(labels.places(None));
        let near = places.filter_map(|place| self.by_label.get(&place)).flatten();
        near.filter(|(selector, _)| labels.satisfy(selector)).map(|(_, what)| what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Labels {
        let pairs = text.split_whitespace().map(|pair| pair.split_once('=').unwrap());
        Labels::of(&pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect(), &mut Interner::default())
    }

    #[test]
    fn selectors_are_found_by_any_of_their_labels() {
        let given = [
            (Some("shop"), "app=web", "web"),
            (Some("shop"), "app=web env=live", "live web"),
            (Some("shop"), "env=live", "live"),
            (Some("shop"), "env=live tier=front", "live front"),
            (None, "app=web", "web anywhere"),
            (Some("other"), "app=web", "other web"),
            (Some("shop"), "", "nothing"),
        ]
        .map(|(namespace, selector, what)| {
            (Selector { namespace: namespace.map(Arc::from), labels: labels(selector) }, what)
        });
        let mut selectors = Selectors::default();
        for (selector, what) in &given {
            selectors.insert(selector, *what);
        }
        let found = |selectors: &Selectors<&str>, namespace: &str, pod: &str| {
            let pod = labels(pod);
            let mut found: Vec<_> = selectors.selecting(&namespace.into(), &pod).copied().collect();
            found.sort_unstable();
            found.join(", ")
        };
        for (namespace, pod, expected) in [
            ("shop", "", ""),
            ("shop", "app=web", "web, web anywhere"),
            ("shop", "app=web env=test", "web, web anywhere"),
            ("shop", "app=web env=live", "live, live web, web, web anywhere"),
            ("shop", "a=b env=live tier=front z=z", "live, live front"),
            ("other", "app=web", "other web, web anywhere"),
            ("third", "app=web env=live", "web anywhere"),
        ] {
            assert_eq!(found(&selectors, namespace, pod), expected, "{namespace} {pod:?}");
        }
        for (selector, what) in &given {
            selectors.remove(selector, what);
        }
        assert!(selectors.by_label.is_empty());
    }
}
