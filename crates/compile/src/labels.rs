//! Labels, and the selectors that look for them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ambit_model::Interner;

/// Labels by their keys: those of a pod, or those a selector asks for.
#[derive(Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Labels(Box<[(Arc<str>, Arc<str>)]>);

impl Labels {
    pub(crate) fn of(labels: &BTreeMap<String, String>, texts: &mut Interner<str>) -> Self {
        Self(labels.iter().map(|(key, value)| (texts.share(key.as_str()), texts.share(value.as_str()))).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all labels of a selector are among these.
    pub(crate) fn satisfy(&self, selector: &Self) -> bool {
        selector.pairs().all(|(key, value)| self.value(key) == Some(value))
    }

    fn value(&self, key: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(other, _)| (**other).cmp(key)).ok()?;
        self.0.get(at).map(|(_, value)| &**value)
    }

    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }
}

/// Something that selects pods by their labels.
#[derive(Debug)]
pub(crate) struct Selector<'a, T> {
    /// The namespace of the pods; absent: any.
    pub(crate) namespace: Option<&'a str>,
    /// What a pod must have, all of it. Without labels nothing is selected.
    pub(crate) labels: &'a Labels,
    /// What selects.
    pub(crate) what: T,
}

type Place<'a> = (Option<&'a str>, &'a str, &'a str);

/// Selectors, found by one of the labels they ask for: a pod is not held against every selector of
/// its namespace, of which there may be thousands.
#[derive(Debug)]
pub(crate) struct Selectors<'a, T> {
    by_label: HashMap<Place<'a>, Vec<Selector<'a, T>>>,
}

impl<'a, T> Selectors<'a, T> {
    pub(crate) fn of(selectors: impl Iterator<Item = Selector<'a, T>>) -> Self {
        let selectors: Vec<_> = selectors.collect();
        let mut askers = HashMap::<Place<'a>, usize>::new();
        for selector in &selectors {
            selector.places().for_each(|place| *askers.entry(place).or_default() += 1);
        }
        let mut by_label = HashMap::<_, Vec<_>>::new();
        for selector in selectors {
            // The label the fewest ask for: `app: web`, not the `env: production` of all.
            if let Some(place) = selector.places().min_by_key(|place| askers.get(place)) {
                by_label.entry(place).or_default().push(selector);
            }
        }
        Self { by_label }
    }

    /// What selects a pod, in no order.
    pub(crate) fn selecting<'b>(&'b self, namespace: &'b str, labels: &'b Labels) -> impl Iterator<Item = &'b T> {
        let places = labels.pairs().flat_map(move |(key, value)| [(Some(namespace), key, value), (None, key, value)]);
        let near = places.filter_map(|place| self.by_label.get(&place)).flatten();
        near.filter(|selector| labels.satisfy(selector.labels)).map(|selector| &selector.what)
    }
}

impl<'a, T> Selector<'a, T> {
    fn places(&self) -> impl Iterator<Item = Place<'a>> + use<'a, T> {
        let namespace = self.namespace;
        self.labels.pairs().map(move |(key, value)| (namespace, key, value))
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
        .map(|(namespace, selector, what)| (namespace, labels(selector), what));
        let selectors = given.iter().map(|(namespace, labels, what)| Selector { namespace: *namespace, labels, what });
        let selectors = Selectors::of(selectors);
        for (namespace, pod, expected) in [
            ("shop", "", ""),
            ("shop", "app=web", "web, web anywhere"),
            ("shop", "app=web env=test", "web, web anywhere"),
            ("shop", "app=web env=live", "live, live web, web, web anywhere"),
            ("shop", "a=b env=live tier=front z=z", "live, live front"),
            ("other", "app=web", "other web, web anywhere"),
            ("third", "app=web env=live", "web anywhere"),
        ] {
            let pod = labels(pod);
            let mut found: Vec<_> = selectors.selecting(namespace, &pod).copied().copied().collect();
            found.sort_unstable();
            assert_eq!(found.join(", "), expected, "{namespace} {pod:?}");
        }
    }
}
