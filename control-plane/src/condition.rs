//! What the status of a user's object says: the condition `Accepted`.

use ambit_compile::Issue;
use ambit_resources::Severity;
use serde_json::{Value, json};

/// The condition's type.
const ACCEPTED: &str = "Accepted";
/// Longest message, in bytes; the API allows 32 KiB, and nobody reads as much.
const MAX_MESSAGE: usize = 2048;

/// Where an object stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Standing {
    /// `metadata.generation`: which version of its spec this is.
    pub(crate) generation: i64,
    /// What its status says now.
    pub(crate) shown: Option<Accepted>,
    /// Since when, as it was written.
    since: Option<String>,
    /// Conditions of others, which stay as they are.
    others: Vec<Value>,
    /// `metadata.resourceVersion`: a patch made from this may not overwrite what came later.
    version: String,
    /// The version of the kind that the API server has it by.
    pub(crate) served: &'static str,
}

/// The condition, as far as it is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Accepted {
    /// Whether the object is in force as it is written.
    pub(crate) holds: bool,
    /// One word.
    pub(crate) reason: String,
    /// Everything there is to say, a line each.
    pub(crate) message: String,
    /// The version of the spec it is about.
    pub(crate) generation: i64,
}

impl Standing {
    /// Reads it from an object, served by that version of its kind.
    pub(crate) fn of(object: &Value, served: &'static str) -> Self {
        let generation = object.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or_default();
        let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
        let is_ours = |condition: &&Value| condition.get("type").and_then(Value::as_str) == Some(ACCEPTED);
        let (ours, others): (Vec<_>, Vec<_>) = conditions.into_iter().flatten().partition(is_ours);
        let text = |of: &Value, field: &str| of.pointer(field).and_then(Value::as_str).map(str::to_owned);
        Self {
            generation,
            shown: ours.first().map(|condition| Accepted::read(condition)),
            since: ours.first().and_then(|condition| text(condition, "/lastTransitionTime")),
            others: others.into_iter().cloned().collect(),
            version: text(object, "/metadata/resourceVersion").unwrap_or_default(),
            served,
        }
    }

    /// What the status should say where this was found in the object.
    pub(crate) fn accepted<'a>(&self, issues: impl Iterator<Item = &'a Issue> + Clone) -> Accepted {
        let of = |severity| issues.clone().filter(move |issue| issue.severity == severity);
        let errors = lines(of(Severity::Error));
        let (holds, reason, message) = if !errors.is_empty() {
            (false, "Invalid", errors)
        } else {
            let warnings = lines(of(Severity::Warning));
            (true, if warnings.is_empty() { "Accepted" } else { "AcceptedWithWarnings" }, warnings)
        };
        Accepted { holds, reason: reason.to_owned(), message, generation: self.generation }
    }

    /// A merge patch that makes the status say so. A list is replaced as a whole, so the others' conditions
    /// are written back as they were.
    pub(crate) fn patch(&self, accepted: &Accepted, now: &str) -> Value {
        let changed = self.shown.as_ref().is_none_or(|shown| shown.holds != accepted.holds);
        let ours = json!({
            "type": ACCEPTED,
            "status": if accepted.holds { "True" } else { "False" },
            "reason": accepted.reason,
            "message": accepted.message,
            "observedGeneration": accepted.generation,
            "lastTransitionTime": if changed { now } else { self.since.as_deref().unwrap_or(now) },
        });
        let conditions: Vec<_> = self.others.iter().cloned().chain([ours]).collect();
        json!({ "metadata": { "resourceVersion": self.version }, "status": { "conditions": conditions } })
    }
}

impl Accepted {
    fn read(condition: &Value) -> Self {
        let text = |field: &str| condition.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self {
            holds: text("status") == "True",
            reason: text("reason"),
            message: text("message"),
            generation: condition.get("observedGeneration").and_then(Value::as_i64).unwrap_or_default(),
        }
    }
}

/// What issues say, a line each, without what the object says of itself already.
fn lines<'a>(issues: impl Iterator<Item = &'a Issue>) -> String {
    let lines: Vec<_> = issues.map(line).collect();
    let mut text = lines.join("\n");
    if text.len() > MAX_MESSAGE {
        text.truncate(text.floor_char_boundary(MAX_MESSAGE));
        text.push_str(" ...");
    }
    text
}

/// What an issue says of an object that the reader looks at.
pub(crate) fn line(issue: &Issue) -> String {
    if issue.field.is_root() { issue.problem.to_string() } else { format!("{}: {}", issue.field, issue.problem) }
}

#[cfg(test)]
mod tests {
    use ambit_compile::Problem;
    use ambit_resources::FieldPath;

    use super::*;

    const NOW: &str = "2026-01-02T00:00:00Z";
    const BEFORE: &str = "2026-01-01T00:00:00Z";

    fn issue(severity: Severity, field: &str) -> Issue {
        let problem = Problem::EmptyValue;
        Issue { severity, file: "kubernetes".into(), line: 0, object: None, field: FieldPath::of(field), problem }
    }

    fn policy(conditions: &Value) -> Standing {
        let metadata = json!({"generation": 3, "resourceVersion": "7"});
        Standing::of(&json!({"metadata": metadata, "status": {"conditions": conditions}}), "v1")
    }

    #[test]
    fn errors_come_before_warnings_and_all_are_said() {
        let (info, warning) = (issue(Severity::Info, "a"), issue(Severity::Warning, "b"));
        let errors = [issue(Severity::Error, "c"), issue(Severity::Error, "")];
        let standing = policy(&json!([]));
        let accepted = |issues: &[&Issue]| standing.accepted(issues.iter().copied());
        for (issues, holds, reason, message) in [
            (&[] as &[&Issue], true, "Accepted", ""),
            (&[&info], true, "Accepted", ""),
            (&[&warning, &info], true, "AcceptedWithWarnings", "b: empty value"),
            (&[&warning, &errors[0], &errors[1]], false, "Invalid", "c: empty value\nempty value"),
        ] {
            let expected = Accepted { holds, reason: reason.to_owned(), message: message.to_owned(), generation: 3 };
            assert_eq!(accepted(issues), expected);
        }
    }

    #[test]
    fn a_patch_is_read_back_as_what_was_meant_and_keeps_the_conditions_of_others() {
        let other = json!({"type": "Programmed", "status": "True"});
        let ours = json!({"type": "Accepted", "status": "True", "reason": "Accepted", "lastTransitionTime": BEFORE});
        for (conditions, issues, since) in [
            (json!([other]), vec![], NOW),
            (json!([ours, other]), vec![], BEFORE),
            (json!([ours, other]), vec![issue(Severity::Error, "spec")], NOW),
        ] {
            let standing = policy(&conditions);
            let wanted = standing.accepted(issues.iter());
            assert_ne!(standing.shown.as_ref(), Some(&wanted), "the generation is another");
            let patch = standing.patch(&wanted, NOW);
            assert_eq!(patch.pointer("/metadata/resourceVersion"), Some(&json!("7")));
            assert_eq!(patch.pointer("/status/conditions/0"), Some(&other));
            assert_eq!(patch.pointer("/status/conditions/1/lastTransitionTime"), Some(&json!(since)));
            assert_eq!(Standing::of(&patch, "v1").shown, Some(wanted));
        }
    }
}
