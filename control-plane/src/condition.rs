//! Conditions of users' objects: what their statuses say.

use ambit_compile::Issue;
use ambit_resources::Severity;
use serde_json::{Value, json};

/// Whether an object is in force as it is written.
pub(crate) const ACCEPTED: &str = "Accepted";
/// Longest message, in bytes; the API allows 32 KiB, and nobody reads as much.
const MAX_MESSAGE: usize = 2048;

/// A condition, as far as it is decided here: since when it is so is read from what is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Condition {
    /// Its type.
    pub(crate) kind: &'static str,
    /// Whether it is true.
    pub(crate) holds: bool,
    /// One word.
    pub(crate) reason: String,
    /// For people.
    pub(crate) message: String,
}

impl Condition {
    /// One that is true or not, for a reason.
    pub(crate) fn new(kind: &'static str, holds: bool, reason: &str, message: impl Into<String>) -> Self {
        Self { kind, holds, reason: reason.to_owned(), message: message.into() }
    }

    /// Whether an object is in force where this was found in it.
    pub(crate) fn accepted<'a>(issues: impl Iterator<Item = &'a Issue> + Clone) -> Self {
        let of = |severity| lines(issues.clone().filter(move |issue| issue.severity == severity));
        let (errors, warnings) = (of(Severity::Error), of(Severity::Warning));
        match (errors.is_empty(), warnings.is_empty()) {
            (false, _) => Self::new(ACCEPTED, false, "Invalid", errors),
            (true, false) => Self::new(ACCEPTED, true, "AcceptedWithWarnings", warnings),
            (true, true) => Self::new(ACCEPTED, true, "Accepted", ""),
        }
    }
}

/// The conditions that are to be shown: others' as they are, then ours, each since when it changed. Those of the
/// types `own` that are not wanted are gone.
pub(crate) fn merged(shown: &Value, own: &[&str], wanted: &[Condition], generation: i64, now: &str) -> Vec<Value> {
    let text = |condition: &'_ Value, field: &str| condition.get(field).and_then(Value::as_str).map(str::to_owned);
    let shown = || shown.as_array().into_iter().flatten();
    let is_own = |condition: &&Value| text(condition, "type").is_some_and(|kind| own.contains(&&*kind));
    let mut all: Vec<_> = shown().filter(|condition| !is_own(condition)).cloned().collect();
    all.extend(wanted.iter().map(|Condition { kind, holds, reason, message }| {
        let status = if *holds { "True" } else { "False" };
        let before = shown().find(|condition| text(condition, "type").as_deref() == Some(kind));
        let since = before
            .filter(|before| text(before, "status").as_deref() == Some(status))
            .and_then(|before| text(before, "lastTransitionTime"));
        json!({
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "observedGeneration": generation,
            "lastTransitionTime": since.as_deref().unwrap_or(now),
        })
    }));
    all
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

    fn issue(severity: Severity, field: &str) -> Issue {
        let problem = Problem::EmptyValue;
        Issue { severity, file: "kubernetes".into(), line: 0, object: None, field: FieldPath::of(field), problem }
    }

    #[test]
    fn errors_come_before_warnings_and_all_are_said() {
        let (info, warning) = (issue(Severity::Info, "a"), issue(Severity::Warning, "b"));
        let errors = [issue(Severity::Error, "c"), issue(Severity::Error, "")];
        for (issues, holds, reason, message) in [
            (&[] as &[&Issue], true, "Accepted", ""),
            (&[&info], true, "Accepted", ""),
            (&[&warning, &info], true, "AcceptedWithWarnings", "b: empty value"),
            (&[&warning, &errors[0], &errors[1]], false, "Invalid", "c: empty value\nempty value"),
        ] {
            let found = Condition::accepted(issues.iter().copied());
            assert_eq!(found, Condition::new(ACCEPTED, holds, reason, message));
        }
    }

    #[test]
    fn conditions_of_others_stay_and_ours_know_since_when() {
        let other = json!({ "type": "Programmed", "status": "True" });
        let ours = |status: &str| json!({ "type": ACCEPTED, "status": status, "lastTransitionTime": "before" });
        for (shown, wanted, since) in [
            (json!(null), Some(true), Some("now")),
            (json!([other]), Some(true), Some("now")),
            (json!([ours("True"), other]), Some(true), Some("before")),
            (json!([ours("True"), other]), Some(false), Some("now")),
            (json!([ours("Unknown"), other]), Some(true), Some("now")),
            (json!([other, ours("True")]), None, None),
        ] {
            let wanted: Vec<_> = wanted.map(|holds| Condition::new(ACCEPTED, holds, "R", "")).into_iter().collect();
            let merged = merged(&shown, &[ACCEPTED], &wanted, 3, "now");
            let [others, own] = [false, true].map(|own| {
                let is = |condition: &&Value| (condition["type"] == ACCEPTED) == own;
                merged.iter().filter(is).cloned().collect::<Vec<_>>()
            });
            assert_eq!(others.len(), usize::from(shown.to_string().contains("Programmed")), "{shown}");
            assert_eq!(
                own.iter().map(|it| it["lastTransitionTime"].as_str()).collect::<Vec<_>>(),
                Vec::from_iter([since].into_iter().filter(Option::is_some))
            );
            assert!(own.iter().all(|it| it["observedGeneration"] == 3));
        }
    }
}
