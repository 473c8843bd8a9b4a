//! A file of manifests.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use serde_json::Value;

use crate::document::{self, Document, Header, Unreadable};
use crate::kind::{Lookup, lookup};
use crate::read_object::{Refusal, read_object};
use crate::{FieldPath, Issue, Lines, ObjectId, Parsed, Problem, Severity, TargetRef};

/// The largest file that is read, in bytes. A thousand pods as `kubectl get -o yaml` prints them
/// have less.
pub const MAX_FILE_BYTES: usize = 8 << 20;

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ParsedFile {
    /// The objects without errors, in the order of the file.
    pub objects: Vec<Parsed>,
    /// The objects that could be named, but have errors, and what they are attached to (see [`Refusal::targets`]).
    pub refused: BTreeMap<ObjectId, Vec<TargetRef>>,
    /// Whether some part of the file could not even be named, so that an object that is missing
    /// from it may still be there.
    pub unreadable: bool,
    /// Everything to be said.
    pub issues: Vec<Issue<Problem>>,
}

/// Reads a file of one or more YAML documents. An error in one object has no effect on the others.
#[must_use]
pub fn parse_file(name: &str, text: &str) -> ParsedFile {
    Documents::default().read(name, text)
}

/// The documents of a file as they were read last: of a large one little changes at a time, and what has the same text
/// is not read again.
#[derive(Debug, Default)]
pub struct Documents {
    hasher: RandomState,
    /// By hash and length of their texts, as if they were the first of the file.
    known: HashMap<(u64, usize), ParsedFile>,
}

impl Documents {
    /// [`parse_file`] for the file's newest text.
    pub fn read(&mut self, name: &str, text: &str) -> ParsedFile {
        let mut before = std::mem::take(&mut self.known);
        let name: Arc<str> = name.into();
        if text.len() > MAX_FILE_BYTES {
            let mut file = FileReader::of(&name);
            let problem = Problem::FileTooLarge { bytes: text.len(), limit: MAX_FILE_BYTES };
            file.unreadable(0, FieldPath::default(), problem);
            return file.parsed;
        }
        let mut parsed = ParsedFile::default();
        for Document { text, above } in document::split(text) {
            let print = (self.hasher.hash_one(text), text.len());
            let known = self.known.entry(print).or_insert_with(|| {
                before.remove(&print).unwrap_or_else(|| FileReader::read(&name, &Document { text, above: 0 }))
            });
            parsed.add(known, above);
        }
        parsed
    }
}

impl ParsedFile {
    /// Adds a document with so many lines above it.
    fn add(&mut self, document: &Self, above: u32) {
        self.unreadable |= document.unreadable;
        self.refused.extend(document.refused.iter().map(|(id, targets)| (id.clone(), targets.clone())));
        self.objects.extend(document.objects.iter().cloned().map(|mut parsed| {
            parsed.origin.lines.moved(above);
            parsed
        }));
        self.issues.extend(document.issues.iter().cloned().map(|mut issue| {
            issue.line = issue.line.saturating_add(above);
            issue
        }));
    }
}

/// The kind of what `kubectl get -o yaml` prints.
const LIST: &str = "List";

struct FileReader {
    name: Arc<str>,
    parsed: ParsedFile,
}

impl FileReader {
    fn of(name: &Arc<str>) -> Self {
        Self { name: Arc::clone(name), parsed: ParsedFile::default() }
    }

    fn read(name: &Arc<str>, document: &Document<'_>) -> ParsedFile {
        let mut file = Self::of(name);
        match document.read() {
            Ok((value, lines)) => file.document(value, lines),
            Err(unreadable) => file.not_read(document, unreadable),
        }
        file.parsed
    }

    /// One document: an object, or a `List` of them as `kubectl get -o yaml` prints it.
    fn document(&mut self, mut value: Value, lines: Lines) {
        let is_list = value.get("kind").and_then(Value::as_str) == Some(LIST);
        match value.get_mut("items").filter(|_| is_list).map(Value::take) {
            Some(Value::Array(items)) => {
                items.into_iter().zip(lines.items_of("items")).for_each(|(item, lines)| self.object(item, lines));
            }
            _ => self.object(value, lines),
        }
    }

    /// One document that cannot be read. Of a kind nobody uses, it is no loss.
    fn not_read(&mut self, document: &Document<'_>, Unreadable { line, problem }: Unreadable) {
        match document.header() {
            Some(Header { api_version, kind })
                if kind != LIST && matches!(lookup(&api_version, &kind), Lookup::Unused) =>
            {
                let problem = Problem::UnusedKind { api_version, kind };
                self.say(Severity::Info, document.first_line(), FieldPath::default(), problem);
            }
            _ => self.unreadable(line, FieldPath::default(), problem),
        }
    }

    fn object(&mut self, value: Value, lines: Lines) {
        match read_object(value, Arc::clone(&self.name), lines) {
            Ok((object, issues)) => {
                self.parsed.objects.extend(object);
                self.parsed.issues.extend(issues);
            }
            Err(Refusal { id, targets, issues }) => {
                self.parsed.unreadable |= id.is_none();
                self.parsed.refused.extend(id.map(|id| (id, targets)));
                self.parsed.issues.extend(issues);
            }
        }
    }

    fn unreadable(&mut self, line: u32, field: FieldPath, problem: Problem) {
        self.parsed.unreadable = true;
        self.say(Severity::Error, line, field, problem);
    }

    fn say(&mut self, severity: Severity, line: u32, field: FieldPath, problem: Problem) {
        self.parsed.issues.push(Issue { severity, file: Arc::clone(&self.name), line, object: None, field, problem });
    }
}

#[cfg(test)]
mod tests;
