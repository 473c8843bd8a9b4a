//! The rules of a service, indexed by path: a request is held against the rules its path may match, not
//! against all of them.

mod paths;

use std::sync::Arc;

use crate::conditions::{self, lower_case};
use crate::{ClientView, HttpMatch, HttpRule, PathMatch, Pattern, RequestView};
use paths::{Paths, PathsBuilder};

/// The rules of a service, compiled.
#[derive(Debug, Clone, Default)]
pub struct HttpTable {
    rules: Box<[Arc<HttpRule>]>,
    /// The matches of all rules, in order. The first that applies decides.
    entries: Box<[Entry]>,
    /// Those that want a path, or a prefix, to the letter.
    paths: Paths,
    /// The same in whatever case, held in lower case.
    paths_ignoring_case: Paths,
    /// Those a path alone cannot rule out.
    others: Box<[u32]>,
}

/// A match of a rule; or a rule without, which applies to everything.
#[derive(Debug, Clone, Copy)]
struct Entry {
    rule: u32,
    matched: Option<u32>,
}

/// The rule that decides about a request.
#[derive(Debug, Clone, Copy)]
pub struct Matched<'t> {
    /// It.
    pub rule: &'t Arc<HttpRule>,
    /// Its place among the rules.
    pub index: usize,
    /// Which of its matches applies; none: it has none.
    pub matched: Option<usize>,
    /// What of the path that match was about.
    pub path: MatchedPath,
}

/// What of a path a match was about, and a rewrite of the "prefix" replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchedPath {
    /// All of it.
    Whole,
    /// So many bytes, as a text.
    Text(usize),
    /// So many bytes, which are whole elements.
    Elements(usize),
}

impl HttpTable {
    /// Compiles rules. At most `u32::MAX` matches; no object is as large.
    #[must_use]
    pub fn new(rules: &[Arc<HttpRule>]) -> Self {
        let mut paths = PathsBuilder::default();
        let mut paths_ignoring_case = PathsBuilder::default();
        let mut others = Vec::new();
        let mut entries = Vec::new();
        for (rule, number) in rules.iter().zip(0u32..) {
            let matches =
                rule.matches.iter().zip(0u32..).map(|(wanted, matched)| (wanted.path.as_ref(), Some(matched)));
            let everything = rule.matches.is_empty().then_some((None, None));
            for ((path, matched), entry) in matches.chain(everything).zip(count(&entries)..) {
                entries.push(Entry { rule: number, matched });
                match path {
                    Some(PathMatch::Text { pattern: Pattern::Exact(text), ignore_case: false }) => {
                        paths.exact(text, entry)
                    }
                    Some(PathMatch::Text { pattern: Pattern::Prefix(text), ignore_case: false }) => {
                        paths.prefix(text, entry);
                    }
                    Some(PathMatch::Elements(text)) => paths.prefix(text, entry),
                    Some(PathMatch::Text { pattern: Pattern::Exact(text), ignore_case: true }) => {
                        paths_ignoring_case.exact(&lower_case(text), entry);
                    }
                    Some(PathMatch::Text { pattern: Pattern::Prefix(text), ignore_case: true }) => {
                        paths_ignoring_case.prefix(&lower_case(text), entry);
                    }
                    Some(PathMatch::Text {
                        pattern: Pattern::Suffix(_) | Pattern::Regex(_) | Pattern::Present,
                        ..
                    })
                    | None => {
                        others.push(entry);
                    }
                }
            }
        }
        Self {
            rules: rules.into(),
            entries: entries.into(),
            paths: paths.build(),
            paths_ignoring_case: paths_ignoring_case.build(),
            others: others.into(),
        }
    }

    /// The rule that decides about a request: the first that matches.
    #[must_use]
    pub fn decide(&self, request: &RequestView<'_>, client: &ClientView<'_>) -> Option<Matched<'_>> {
        let mut first = None;
        let mut consider = |candidates: &[u32]| {
            // In order, and only those before the best one yet.
            let before = candidates.iter().take_while(|entry| first.is_none_or(|first| **entry < first));
            if let Some(found) = before.copied().find(|entry| self.applies(*entry, request, client)) {
                first = Some(found);
            }
        };
        self.paths.candidates(request.path, &mut consider);
        if !self.paths_ignoring_case.is_empty() {
            self.paths_ignoring_case.candidates(&lower_case(request.path), &mut consider);
        }
        consider(&self.others);
        self.matched(first?, request)
    }

    /// The rules, in order.
    #[must_use]
    pub fn rules(&self) -> &[Arc<HttpRule>] {
        &self.rules
    }

    fn applies(&self, entry: u32, request: &RequestView<'_>, client: &ClientView<'_>) -> bool {
        self.entry(entry).is_some_and(|(_, _, wanted)| {
            wanted.is_none_or(|wanted| conditions::http(wanted, request, client).is_none())
        })
    }

    fn matched(&self, entry: u32, request: &RequestView<'_>) -> Option<Matched<'_>> {
        let (Entry { rule: index, matched }, rule, wanted) = self.entry(entry)?;
        let path = MatchedPath::of(wanted.and_then(|wanted| wanted.path.as_ref()), request.path);
        Some(Matched { rule, index: place(index), matched: matched.map(place), path })
    }

    fn entry(&self, entry: u32) -> Option<(Entry, &Arc<HttpRule>, Option<&HttpMatch>)> {
        let entry = *self.entries.get(place(entry))?;
        let rule = self.rules.get(place(entry.rule))?;
        Some((entry, rule, entry.matched.and_then(|matched| rule.matches.get(place(matched)))))
    }
}

impl MatchedPath {
    /// What a match was about, of a path it matches. A match of any path counts as one of the prefix `/`.
    pub(crate) fn of(wanted: Option<&PathMatch>, path: &str) -> Self {
        match wanted {
            Some(PathMatch::Text { pattern: Pattern::Prefix(prefix), .. }) => Self::Text(prefix.len()),
            Some(PathMatch::Text { .. }) => Self::Whole,
            Some(PathMatch::Elements(prefix)) => Self::Elements(prefix.len()),
            None => Self::Text(usize::from(path.starts_with('/'))),
        }
    }
}

fn count(entries: &[Entry]) -> u32 {
    u32::try_from(entries.len()).unwrap_or(u32::MAX)
}

/// A number of ours as an index; `usize` has 32 bits at least wherever this runs.
fn place(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
