//! Which matches a path may concern: by a map of whole paths, and by a sorted list of prefixes in which each
//! knows the next shorter one.

use std::collections::{BTreeMap, HashMap};

/// The matches that want a path, or a prefix, to the letter. By numbers that rise in the order of rules.
#[derive(Debug, Clone, Default)]
pub(super) struct Paths {
    exact: HashMap<Box<str>, Box<[u32]>>,
    /// In order of their texts.
    prefixes: Box<[Prefix]>,
}

#[derive(Debug, Clone)]
struct Prefix {
    text: Box<str>,
    /// The longest other prefix this one begins with.
    parent: Option<usize>,
    matches: Box<[u32]>,
}

/// Gathers matches.
#[derive(Debug, Default)]
pub(super) struct PathsBuilder {
    exact: HashMap<Box<str>, Vec<u32>>,
    prefixes: BTreeMap<Box<str>, Vec<u32>>,
}

impl PathsBuilder {
    /// A match of this path and no other. Numbers must rise.
    pub(super) fn exact(&mut self, path: &str, number: u32) {
        self.exact.entry(path.into()).or_default().push(number);
    }

    /// A match of paths that begin so. Numbers must rise.
    pub(super) fn prefix(&mut self, text: &str, number: u32) {
        self.prefixes.entry(text.into()).or_default().push(number);
    }

    pub(super) fn build(self) -> Paths {
        let mut prefixes: Vec<Prefix> = Vec::with_capacity(self.prefixes.len());
        for (text, matches) in self.prefixes {
            let parent = nearest(&prefixes, prefixes.len().checked_sub(1), &text);
            prefixes.push(Prefix { text, parent, matches: matches.into() });
        }
        Paths {
            exact: self.exact.into_iter().map(|(path, matches)| (path, matches.into())).collect(),
            prefixes: prefixes.into(),
        }
    }
}

impl Paths {
    pub(super) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.prefixes.is_empty()
    }

    /// Gives the matches a path may concern, list by list, each in order.
    pub(super) fn candidates(&self, path: &str, consider: &mut impl FnMut(&[u32])) {
        if let Some(matches) = self.exact.get(path) {
            consider(matches);
        }
        // What begins with a prefix sorts directly behind it: whichever of the path's prefixes is the longest,
        // the text right before the path is that one or begins with it.
        let before = self.prefixes.partition_point(|prefix| *prefix.text <= *path).checked_sub(1);
        let mut at = nearest(&self.prefixes, before, path);
        while let Some(prefix) = at.and_then(|at| self.prefixes.get(at)) {
            consider(&prefix.matches);
            at = prefix.parent;
        }
    }
}

/// The first of `at`, its parent, its parent's parent … that `text` begins with.
fn nearest(prefixes: &[Prefix], mut at: Option<usize>, text: &str) -> Option<usize> {
    while let Some((index, prefix)) = at.and_then(|at| Some((at, prefixes.get(at)?))) {
        if text.starts_with(&*prefix.text) {
            return Some(index);
        }
        at = prefix.parent;
    }
    None
}
