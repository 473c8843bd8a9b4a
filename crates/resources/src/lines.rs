//! The line every field of a document stands on.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::FieldPath;
use crate::field_path::Segment;

/// The lines of a value and of everything in it, counted from 1. An object that does not come from
/// a file has the default: no lines at all. Clones share their memory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lines {
    line: u32,
    /// How many lines of the file are above those counted here.
    above: u32,
    /// What is in the value: each entry is followed by what is in it.
    inside: Arc<[Entry]>,
}

/// A field or an item of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    /// The field's name, hashed: of thousands of rules each has the same few.
    name: u64,
    line: u32,
    /// How many of the entries behind this one are in it.
    inside: u32,
}

/// Gathers the lines of what is in a value, in order.
#[derive(Debug, Default)]
pub(crate) struct Gathered(Vec<Entry>);

impl Gathered {
    /// Adds a field, and what is in it.
    pub(crate) fn field(&mut self, name: &str, line: u32, inside: &Self) {
        self.add(hash(name), line, inside);
    }

    /// Adds the next item of a list, and what is in it.
    pub(crate) fn item(&mut self, line: u32, inside: &Self) {
        self.add(0, line, inside);
    }

    fn add(&mut self, name: u64, line: u32, Self(inside): &Self) {
        self.0.push(Entry { name, line, inside: u32::try_from(inside.len()).unwrap_or(u32::MAX) });
        self.0.extend(inside);
    }
}

impl Lines {
    /// The lines of a value that stands on `line` of a document with so many lines `above` it.
    pub(crate) fn new(line: u32, Gathered(inside): Gathered, above: u32) -> Self {
        Self { line, above, inside: inside.into() }
    }

    /// The line of the field, or of the nearest thing around it that the file has; 0 where there is
    /// no file.
    #[must_use]
    pub fn at(&self, field: &FieldPath) -> u32 {
        let (mut line, mut inside) = (self.line, &*self.inside);
        for segment in field.segments() {
            let next = match segment {
                Segment::Field(name) => {
                    let name = hash(name);
                    Entries(inside).find(|(entry, _)| entry.name == name)
                }
                Segment::Index(index) => Entries(inside).nth(*index),
            };
            let Some((entry, below)) = next else { break };
            (line, inside) = (entry.line, below);
        }
        line.saturating_add(self.above)
    }

    /// The lines of the items of the list in a field.
    pub(crate) fn items_of(&self, name: &str) -> Vec<Self> {
        let name = hash(name);
        let list = Entries(&self.inside).find(|(entry, _)| entry.name == name).map(|(_, items)| items);
        let item =
            |(entry, inside): (&Entry, &[Entry])| Self { line: entry.line, above: self.above, inside: inside.into() };
        Entries(list.unwrap_or_default()).map(item).collect()
    }

    /// The same lines where the document has another place in its file.
    pub(crate) fn moved(&mut self, above: u32) {
        self.above = above;
    }
}

/// The entries of one value, each with what is in it.
struct Entries<'a>(&'a [Entry]);

impl<'a> Iterator for Entries<'a> {
    type Item = (&'a Entry, &'a [Entry]);

    fn next(&mut self) -> Option<Self::Item> {
        let (entry, behind) = self.0.split_first()?;
        let (inside, rest) = behind.split_at_checked(usize::try_from(entry.inside).ok()?)?;
        self.0 = rest;
        Some((entry, inside))
    }
}

/// Two names of one object with one hash would cost one of them its line in a message, and nothing else.
fn hash(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}
