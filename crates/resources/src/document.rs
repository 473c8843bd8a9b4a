//! A file is split into its documents before any is read, so that a broken one stays alone.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use serde_saphyr::{MessageFormatter as _, Spanned, UserMessageFormatter};

use crate::lines::Gathered;
use crate::{Lines, Problem};

/// One document of a file, not read yet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Document<'a> {
    /// How many lines of the file are above it.
    pub(crate) above: u32,
    /// Its text, with the `---` that starts it.
    pub(crate) text: &'a str,
}

/// The documents of a file, without those that say nothing. A line that starts with `---` starts a
/// document wherever it stands, even in the midst of a broken one (YAML 1.2.2 §9.1.2).
pub(crate) fn split(file: &str) -> Vec<Document<'_>> {
    let mut documents = Vec::new();
    let (mut start, mut above) = (0, 0);
    let mut end = 0;
    let mut line: u32 = 0;
    let mut push = |start: usize, end: usize, above: u32| {
        if let Some(text) = file.get(start..end).filter(|text| text.lines().any(says_something)) {
            documents.push(Document { above, text });
        }
    };
    for text in file.split_inclusive('\n') {
        if is_start(text) {
            push(start, end, above);
            (start, above) = (end, line);
        }
        end += text.len();
        line = line.saturating_add(1);
    }
    push(start, end, above);
    documents
}

fn is_start(line: &str) -> bool {
    line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

/// Whether there is more in a line than a marker, a comment or a directive.
fn says_something(line: &str) -> bool {
    let line = if is_start(line) { line.get(3..).unwrap_or_default() } else { line };
    let line = line.trim_start_matches('\u{feff}').trim();
    !(line.is_empty() || line.starts_with(['#', '%']) || line == "...")
}

/// Why a document cannot be read, and on which line of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unreadable {
    pub(crate) line: u32,
    pub(crate) problem: Problem,
}

/// The deepest document that is read. Each level costs a debug build some 40 KiB of stack, and a
/// thread has 2 MiB; a pod's affinity, the deepest thing we know, is 14 deep.
const MAX_DEPTH: usize = 32;

/// What tells whether a document that cannot be read is anybody's loss.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Header {
    pub(crate) api_version: String,
    pub(crate) kind: String,
}

impl Document<'_> {
    /// Its kind, where it is well-formed enough to have one. Costs no memory and no stack, so that
    /// the CustomResourceDefinitions some folders hold, which are too huge and deep to be read, are no
    /// trouble.
    pub(crate) fn header(&self) -> Option<Header> {
        serde_saphyr::from_str_with_options(self.text, serde_saphyr::options! { with_snippet: false }).ok()
    }

    /// The line of the file where it begins to say something.
    pub(crate) fn first_line(&self) -> u32 {
        let silent = self.text.lines().take_while(|line| !says_something(line)).count();
        self.above.saturating_add(u32::try_from(silent).unwrap_or(u32::MAX)).saturating_add(1)
    }

    /// Reads it. The YAML reader's own budgets (nodes, aliases, merges) hold, and the one for depth
    /// is narrowed.
    pub(crate) fn read(&self) -> Result<(Value, Lines), Unreadable> {
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! { max_depth: MAX_DEPTH },
            with_snippet: false,
        };
        match serde_saphyr::from_str_with_options::<Node>(self.text, options) {
            Ok(Node { value, line, inside }) => Ok((value, Lines::new(line, inside, self.above))),
            Err(error) => {
                let line = error.location().and_then(|at| u32::try_from(at.line()).ok()).unwrap_or(1);
                let detail = detail(error.without_snippet());
                Err(Unreadable { line: self.above.saturating_add(line), problem: Problem::Syntax { detail } })
            }
        }
    }
}

/// The reader's words, without the line (it counts from the document's start) and without advice on
/// how to call the reader.
fn detail(error: &serde_saphyr::Error) -> String {
    if let serde_saphyr::Error::DuplicateMappingKey { key: Some(key), .. } = error {
        return format!("{key:?} stands here twice");
    }
    UserMessageFormatter.format_message(error).into_owned()
}

/// A value, its line, and the lines of everything in it.
struct Node {
    value: Value,
    line: u32,
    inside: Gathered,
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value: Inner(value, inside), referenced, .. } = Spanned::<Inner>::deserialize(deserializer)?;
        Ok(Self { value, line: u32::try_from(referenced.line()).unwrap_or(u32::MAX), inside })
    }
}

/// A [`Node`] that does not know its own line yet.
struct Inner(Value, Gathered);

impl<'de> Deserialize<'de> for Inner {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(InnerVisitor)
    }
}

struct InnerVisitor;

fn leaf(value: impl Into<Value>) -> Inner {
    Inner(value.into(), Gathered::default())
}

impl<'de> Visitor<'de> for InnerVisitor {
    type Value = Inner;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON has too")
    }
    fn visit_bool<E>(self, value: bool) -> Result<Inner, E> {
        Ok(leaf(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Inner, E> {
        Ok(leaf(value))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Inner, E> {
        Ok(leaf(value))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Inner, E> {
        Ok(leaf(value))
    }
    fn visit_str<E>(self, value: &str) -> Result<Inner, E> {
        Ok(leaf(value))
    }
    fn visit_unit<E>(self) -> Result<Inner, E> {
        Ok(leaf(Value::Null))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Inner, A::Error> {
        let (mut items, mut lines) = (Vec::new(), Gathered::default());
        while let Some(item) = access.next_element::<Node>()? {
            items.push(item.value);
            lines.item(item.line, &item.inside);
        }
        Ok(Inner(Value::Array(items), lines))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Inner, A::Error> {
        let (mut fields, mut lines) = (Map::new(), Gathered::default());
        while let Some(key) = access.next_key::<Spanned<String>>()? {
            let field: Node = access.next_value()?;
            // A field stands where its name does, not where its value begins.
            lines.field(&key.value, u32::try_from(key.referenced.line()).unwrap_or(u32::MAX), &field.inside);
            fields.insert(key.value, field.value);
        }
        Ok(Inner(Value::Object(fields), lines))
    }
}

#[cfg(test)]
mod tests;
