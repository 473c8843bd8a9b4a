//! A file of manifests.

use std::sync::Arc;

use serde_json::Value;

use crate::document::{self, Document, Header, Unreadable};
use crate::kind::{Entry, Lookup, lookup};
use crate::metadata::{is_name, max_name};
use crate::strict::{drop_nulls, empty_constraints};
use crate::{FieldPath, Issue, Lines, ObjectId, Origin, Parsed, Problem, Severity, unknown_field};

/// The largest file that is read, in bytes. A thousand pods as `kubectl get -o yaml` prints them
/// have less.
pub const MAX_FILE_BYTES: usize = 8 << 20;

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ParsedFile {
    /// The objects without errors, in the order of the file.
    pub objects: Vec<Parsed>,
    /// The objects that could be named, but have errors.
    pub refused: Vec<ObjectId>,
    /// Whether some part of the file could not even be named, so that an object that is missing
    /// from it may still be there.
    pub unreadable: bool,
    /// Everything to be said.
    pub issues: Vec<Issue<Problem>>,
}

/// Reads a file of one or more YAML documents. An error in one object has no effect on the others.
#[must_use]
pub fn parse_file(name: &str, text: &str) -> ParsedFile {
    let mut file = FileReader { name: name.into(), parsed: ParsedFile::default() };
    if text.len() > MAX_FILE_BYTES {
        file.unreadable(0, FieldPath::default(), Problem::FileTooLarge { bytes: text.len(), limit: MAX_FILE_BYTES });
        return file.parsed;
    }
    for document in document::split(text) {
        match document.read() {
            Ok((value, lines)) => file.document(value, lines),
            Err(unreadable) => file.not_read(&document, unreadable),
        }
    }
    file.parsed
}

/// The kind of what `kubectl get -o yaml` prints.
const LIST: &str = "List";

struct FileReader {
    name: Arc<str>,
    parsed: ParsedFile,
}

impl FileReader {
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
        let text = |path: &str| value.pointer(path).and_then(Value::as_str).map(str::to_owned);
        if !value.is_object() {
            return self.unreadable(lines.at(&FieldPath::default()), FieldPath::default(), Problem::NotAnObject);
        }
        let Some(api_version) = text("/apiVersion") else { return self.missing(&lines, "apiVersion") };
        let Some(kind) = text("/kind") else { return self.missing(&lines, "kind") };
        let entry = match lookup(&api_version, &kind) {
            Lookup::Known(entry) => entry,
            Lookup::Unused => {
                let line = lines.at(&FieldPath::default());
                let problem = Problem::UnusedKind { api_version, kind };
                return self.say(Severity::Info, line, FieldPath::default(), problem);
            }
            Lookup::Unknown { meant } => {
                let (line, problem) =
                    (lines.at(&FieldPath::of("kind")), Problem::UnknownKind { api_version, kind, meant });
                return self.unreadable(line, FieldPath::of("kind"), problem);
            }
        };
        let Some(name) = text("/metadata/name") else { return self.missing(&lines, "metadata.name") };
        let namespace = match (entry.namespaced, text("/metadata/namespace")) {
            (false, _) => String::new(),
            (true, Some(namespace)) if !namespace.is_empty() => namespace,
            (true, _) => "default".to_owned(),
        };
        let id = ObjectId { kind: entry.kind, namespace: namespace.into(), name: name.into() };
        self.named(entry, value, Origin { id, file: Arc::clone(&self.name), lines });
    }

    /// An object of a known kind that has a name: from here on every issue can say which.
    fn named(&mut self, entry: &'static Entry, mut value: Value, origin: Origin) {
        let mut found = name_problems(entry, &origin.id);
        if let (true, Some(spec)) = (entry.policy, value.get("spec")) {
            empty_constraints(spec, &FieldPath::of("spec"), &mut found);
        }
        drop_nulls(&mut value);
        let mut ignored = Vec::new();
        let object = (entry.read)(&value, &mut ignored).map_err(|problem| found.push(problem)).ok();
        let errors = found.into_iter().map(|(field, problem)| (Severity::Error, field, problem));
        let unknown = ignored.into_iter().filter_map(|field| {
            let (severity, problem) = unknown_field::judge(entry, &field)?;
            Some((severity, field, problem))
        });
        let issues: Vec<_> =
            errors.chain(unknown).map(|(severity, field, problem)| origin.issue(severity, field, problem)).collect();
        match object {
            Some(object) if !issues.iter().any(Issue::is_error) => self.parsed.objects.push(Parsed { origin, object }),
            _ => self.parsed.refused.push(origin.id),
        }
        self.parsed.issues.extend(issues);
    }

    fn missing(&mut self, lines: &Lines, field: &str) {
        let field = FieldPath::of(field);
        self.unreadable(lines.at(&field), field, Problem::Missing);
    }

    fn unreadable(&mut self, line: u32, field: FieldPath, problem: Problem) {
        self.parsed.unreadable = true;
        self.say(Severity::Error, line, field, problem);
    }

    fn say(&mut self, severity: Severity, line: u32, field: FieldPath, problem: Problem) {
        self.parsed.issues.push(Issue { severity, file: Arc::clone(&self.name), line, object: None, field, problem });
    }
}

fn name_problems(entry: &Entry, id: &ObjectId) -> Vec<(FieldPath, Problem)> {
    let check = |field: &str, name: &str, dots: bool| {
        let limit = max_name(dots);
        (!is_name(name, dots)).then(|| (FieldPath::of(field), Problem::Name { name: name.to_owned(), dots, limit }))
    };
    let name = check("metadata.name", &id.name, entry.dots);
    let namespace = entry.namespaced.then(|| check("metadata.namespace", &id.namespace, false)).flatten();
    name.into_iter().chain(namespace).collect()
}

#[cfg(test)]
mod tests;
