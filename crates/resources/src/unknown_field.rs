//! Fields our types do not have: which of them matter, and what was meant.

use crate::kind::{Care, Entry};
use crate::{FieldPath, Problem, Severity};

/// By the place (a path with `[*]` for every index), the fields that exist there besides those of our types:
/// the mesh has no use for them.
pub(crate) type FieldTable = &'static [(&'static str, &'static [&'static str])];

/// All that users' objects of the mesh have besides: what is said of them.
pub(crate) const STATUS: FieldTable = &[("", &["status"])];

/// What every kind has besides its type's fields.
#[rustfmt::skip]
const METADATA: FieldTable = &[
    ("", &["apiVersion", "kind"]),
    ("metadata", &[
        "deletionGracePeriodSeconds", "finalizers", "generateName", "generation", "managedFields", "resourceVersion",
        "selfLink",
    ]),
    ("metadata.ownerReferences[*]", &["apiVersion", "blockOwnerDeletion", "uid"]),
];

/// What is to be said about a field that no type has; nothing where it exists all the same.
pub(crate) fn judge(entry: &Entry, field: &FieldPath) -> Option<(Severity, Problem)> {
    let (parent, name) = field.split_field()?;
    let place = parent.pattern();
    let unused = || METADATA.iter().chain(entry.fields).filter(|(at, _)| *at == place).flat_map(|(_, names)| *names);
    if unused().any(|known| *known == name) {
        return None;
    }
    let meant = unused()
        .chain((entry.fields_of)(parent.segments()))
        .find(|known| near(known, name))
        .map(|known| (*known).to_owned());
    let lenient = entry.care == Care::Lenient || place.starts_with("metadata");
    let severity = if lenient { Severity::Warning } else { Severity::Error };
    Some((severity, Problem::UnknownField { meant }))
}

/// Whether one is likely to be the other mistyped: they differ in case or in the order of letters
/// alone, or by at most one slip in five letters.
pub(crate) fn near(known: &str, typed: &str) -> bool {
    if known.len().abs_diff(typed.len()) > known.len() {
        return false; // keeps the distance below from being asked of a megabyte
    }
    let letters = |word: &str| {
        let mut letters = word.to_ascii_lowercase().into_bytes();
        letters.sort_unstable();
        letters
    };
    letters(known) == letters(typed) || distance(known, typed) <= known.len().div_ceil(5)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, to) in row.iter_mut().skip(1).zip(b.chars()) {
            let best = (diagonal + usize::from(from != to)).min(*cell + 1).min(left + 1);
            diagonal = std::mem::replace(cell, best);
            left = best;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_near_and_other_words_are_not() {
        for (known, typed, expected) in [
            ("principals", "principal", true),
            ("principals", "Principals", true),
            ("principals", "prinicpals", true),
            ("ipBlocks", "ipblock", true),
            ("from", "form", true),
            ("from", "force", false),
            ("from", "fro", true),
            ("selector", "selectors", true),
            ("selector", "spec", false),
            ("AuthorizationPolicy", "AuthorisationPolicy", true),
            ("Pod", "Node", false),
            ("Service", "ServiceEntry", false),
        ] {
            assert_eq!(near(known, typed), expected, "{known} {typed}");
        }
    }
}
