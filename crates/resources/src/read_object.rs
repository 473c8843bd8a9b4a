//! One object: which kind, which name, and what it says.

use std::sync::Arc;

use serde_json::Value;

use crate::kind::{Care, Entry, Lookup, lookup};
use crate::metadata::{is_name, max_name};
use crate::strict::{drop_nulls, empty_constraints, lists_for_fields};
use crate::{FieldPath, Issue, Kind, Lines, ObjectId, Origin, Parsed, Problem, Severity, TargetRef, unknown_field};

/// An object that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which, where it can be named.
    pub id: Option<ObjectId>,
    /// What it is attached to, where it is a policy for waypoints: as far as that can be read, whatever else is wrong.
    pub targets: Vec<TargetRef>,
    /// Why, and whatever else is to be said of it.
    pub issues: Vec<Issue<Problem>>,
}

/// An object, if it is of a kind that is used, and what is to be said of it.
pub type Readable = (Option<Parsed>, Vec<Issue<Problem>>);

/// Reads one object as the API server sends it. There are no lines to point at; `source` stands in
/// their place.
///
/// # Errors
/// Where something is wrong with the object, so that it must not replace the version before it.
pub fn parse_object(object: Value, source: &Arc<str>) -> Result<Readable, Refusal> {
    read_object(object, Arc::clone(source), Lines::default())
}

pub(crate) fn read_object(value: Value, file: Arc<str>, lines: Lines) -> Result<Readable, Refusal> {
    let say = |severity, field: FieldPath, problem| Issue {
        severity,
        file: Arc::clone(&file),
        line: lines.at(&field),
        object: None,
        field,
        problem,
    };
    let unnamed =
        |field, problem| Refusal { id: None, targets: Vec::new(), issues: vec![say(Severity::Error, field, problem)] };
    if !value.is_object() {
        return Err(unnamed(FieldPath::default(), Problem::NotAnObject));
    }
    let text = |path: &str| {
        let found = value.pointer(&format!("/{}", path.replace('.', "/"))).and_then(Value::as_str);
        found.map(str::to_owned).ok_or_else(|| unnamed(FieldPath::of(path), Problem::Missing))
    };
    let (api_version, kind) = (text("apiVersion")?, text("kind")?);
    let entry = match lookup(&api_version, &kind) {
        Lookup::Known(entry) => entry,
        Lookup::Unused => {
            let problem = Problem::UnusedKind { api_version, kind };
            return Ok((None, vec![say(Severity::Info, FieldPath::default(), problem)]));
        }
        Lookup::Unknown { meant } => {
            return Err(unnamed(FieldPath::of("kind"), Problem::UnknownKind { api_version, kind, meant }));
        }
    };
    let name = text("metadata.name")?;
    let namespace = match (entry.namespaced, text("metadata.namespace")) {
        (false, _) => String::new(),
        (true, Ok(namespace)) if !namespace.is_empty() => namespace,
        (true, _) => "default".to_owned(),
    };
    let id = ObjectId { kind: entry.kind, namespace: namespace.into(), name: name.into() };
    read_named(entry, value, Origin { id, file, lines })
}

/// An object of a known kind that has a name: every issue can say which.
fn read_named(entry: &'static Entry, mut value: Value, origin: Origin) -> Result<Readable, Refusal> {
    let mut found = name_problems(entry, &origin.id);
    if let (Care::Strict | Care::Policy, Some(spec)) = (entry.care, value.get("spec")) {
        lists_for_fields(spec, &mut FieldPath::of("spec"), entry.fields_of, &mut found);
    }
    if let (Care::Policy, Some(spec)) = (entry.care, value.get("spec")) {
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
        Some(object) if !issues.iter().any(Issue::is_error) => {
            Ok((Some(Parsed { origin, object: Arc::new(object) }), issues))
        }
        _ => Err(Refusal { targets: targets(entry.kind, &value), id: Some(origin.id), issues }),
    }
}

/// What a policy is attached to, read from one that is refused: whoever puts it in force must know what to close.
fn targets(kind: Kind, object: &Value) -> Vec<TargetRef> {
    if !matches!(kind, Kind::AuthorizationPolicy | Kind::RequestAuthentication) {
        return Vec::new();
    }
    let found = ["/spec/targetRef", "/spec/targetRefs"].into_iter().filter_map(|field| object.pointer(field));
    let items = found.flat_map(|value| value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice));
    let read = |item: &Value| {
        let text = |field| item.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        TargetRef { group: text("group"), kind: text("kind"), name: text("name"), namespace: text("namespace") }
    };
    items.filter(|item| item.is_object()).map(read).collect()
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
