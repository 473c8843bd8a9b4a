//! The line every field of a document stands on.

use crate::FieldPath;
use crate::field_path::Segment;

/// The lines of a value and of everything in it, counted from 1. An object that does not come from
/// a file has the default: no lines at all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lines {
    pub(crate) line: u32,
    /// Few at any one place, so that to look through them is quick, and no tree of maps takes memory.
    pub(crate) fields: Vec<(Box<str>, Lines)>,
    pub(crate) items: Vec<Lines>,
}

impl Lines {
    /// The line of the field, or of the nearest thing around it that the file has; 0 where there is
    /// no file.
    #[must_use]
    pub fn at(&self, field: &FieldPath) -> u32 {
        let mut here = self;
        for segment in field.segments() {
            let next = match segment {
                Segment::Field(name) => here.field(name),
                Segment::Index(index) => here.items.get(*index),
            };
            match next {
                Some(next) => here = next,
                None => break,
            }
        }
        here.line
    }

    fn field(&self, name: &str) -> Option<&Self> {
        self.fields.iter().find(|(field, _)| **field == *name).map(|(_, lines)| lines)
    }

    /// The lines of the items of the list in a field.
    pub(crate) fn items_of(self, name: &str) -> Vec<Self> {
        let field = self.fields.into_iter().find(|(field, _)| **field == *name);
        field.map(|(_, lines)| lines.items).unwrap_or_default()
    }

    /// Moves everything down by `lines`: a document is read by itself and knows nothing of those
    /// above it.
    pub(crate) fn shift(&mut self, lines: u32) {
        self.line = self.line.saturating_add(lines);
        self.fields.iter_mut().map(|(_, field)| field).chain(&mut self.items).for_each(|below| below.shift(lines));
    }
}
