//! What a watch has told of, so that a new list shows what has gone in the meantime.

use std::collections::HashSet;

use crate::raw::Key;

/// The names of a kind's objects; of the objects themselves nothing is kept here.
#[derive(Debug, Default)]
pub(crate) struct Relist {
    known: HashSet<Key>,
    /// Those of the list that is being read.
    listed: Option<HashSet<Key>>,
}

impl Relist {
    /// A list begins; one that was not finished is forgotten.
    pub(crate) fn begin(&mut self) {
        self.listed = Some(HashSet::new());
    }

    /// An object is there.
    pub(crate) fn seen(&mut self, key: Key) {
        if let Some(listed) = &mut self.listed {
            listed.insert(key.clone());
        }
        self.known.insert(key);
    }

    /// An object is gone.
    pub(crate) fn gone(&mut self, key: &Key) {
        self.known.remove(key);
    }

    /// The list is complete: what it does not have is gone.
    pub(crate) fn done(&mut self) -> Vec<Key> {
        match self.listed.take() {
            Some(listed) => std::mem::replace(&mut self.known, listed.clone()).difference(&listed).cloned().collect(),
            None => Vec::new(),
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key { namespace: "shop".into(), name: name.into() }
    }

    /// A list from its begin to its end.
    fn list(relist: &mut Relist, names: &[&str]) -> Vec<Key> {
        relist.begin();
        names.iter().for_each(|name| relist.seen(key(name)));
        let mut gone = relist.done();
        gone.sort();
        gone
    }

    #[test]
    fn a_list_shows_what_is_gone() {
        let mut relist = Relist::default();
        assert_eq!(list(&mut relist, &["a", "b"]), []);
        relist.seen(key("c"));
        relist.gone(&key("b"));
        assert_eq!(list(&mut relist, &["d"]), [key("a"), key("c")]);
        assert_eq!(relist.len(), 1);
        assert_eq!(list(&mut relist, &[]), [key("d")]);
    }

    #[test]
    fn a_list_that_breaks_off_removes_nothing() {
        let mut relist = Relist::default();
        list(&mut relist, &["a", "b"]);
        relist.begin();
        relist.seen(key("c"));
        assert_eq!(relist.len(), 3);
        assert_eq!(list(&mut relist, &["a"]), [key("b"), key("c")]);
    }
}
