//! Patterns of text.

use std::fmt;
use std::sync::Arc;

/// A pattern a text may match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// This text.
    Exact(Arc<str>),
    /// A text that begins so.
    Prefix(Arc<str>),
    /// A text that ends so.
    Suffix(Arc<str>),
    /// A text all of which the expression matches.
    Regex(Regex),
    /// Any text, provided there is one (it may be empty).
    Present,
}

impl Pattern {
    /// Whether a text matches.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(wanted) => **wanted == *text,
            Self::Prefix(prefix) => text.starts_with(&**prefix),
            Self::Suffix(suffix) => text.ends_with(&**suffix),
            Self::Regex(regex) => regex.matches(text),
            Self::Present => true,
        }
    }

    /// Whether a text matches, whatever the case of ASCII letters. Expressions are held against the text in
    /// lower case.
    #[must_use]
    pub fn matches_ignoring_case(&self, text: &str) -> bool {
        // By bytes: a prefix may end within a character of the text.
        let bytes = text.as_bytes();
        match self {
            Self::Exact(wanted) => text.eq_ignore_ascii_case(wanted),
            Self::Prefix(prefix) => {
                bytes.get(..prefix.len()).is_some_and(|part| part.eq_ignore_ascii_case(prefix.as_bytes()))
            }
            Self::Suffix(suffix) => {
                let part = bytes.len().checked_sub(suffix.len()).and_then(|at| bytes.get(at..));
                part.is_some_and(|part| part.eq_ignore_ascii_case(suffix.as_bytes()))
            }
            Self::Regex(regex) => regex.matches(&text.to_ascii_lowercase()),
            Self::Present => true,
        }
    }

    /// Whether the text these parts make matches. It is put together for expressions alone.
    pub(crate) fn matches_parts(&self, parts: &[&str]) -> bool {
        match self {
            Self::Exact(wanted) => {
                wanted.len() == parts.iter().map(|part| part.len()).sum::<usize>() && begins(parts, wanted)
            }
            Self::Prefix(prefix) => begins(parts, prefix),
            Self::Suffix(suffix) => ends(parts, suffix),
            Self::Regex(regex) => regex.matches(&parts.concat()),
            Self::Present => true,
        }
    }
}

fn begins(parts: &[&str], mut text: &str) -> bool {
    for part in parts {
        match text.strip_prefix(part) {
            Some(rest) => text = rest,
            None => return part.starts_with(text),
        }
    }
    text.is_empty()
}

fn ends(parts: &[&str], mut text: &str) -> bool {
    for part in parts.iter().rev() {
        match text.strip_suffix(part) {
            Some(rest) => text = rest,
            None => return part.ends_with(text),
        }
    }
    text.is_empty()
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) => write!(f, "{text:?}"),
            Self::Prefix(prefix) => write!(f, "\"{}*\"", prefix.escape_debug()),
            Self::Suffix(suffix) => write!(f, "\"*{}\"", suffix.escape_debug()),
            Self::Regex(regex) => write!(f, "regex {:?}", regex.source()),
            Self::Present => f.write_str("present"),
        }
    }
}

/// An expression in RE2's language, which takes time linear in the text, whatever the expression. Clones are the
/// same allocation: one of the crate's own has room to work in, a kilobyte each, which rules that are only compared
/// and handed on never need.
#[derive(Debug, Clone)]
pub struct Regex(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    /// As its user wrote it.
    source: Box<str>,
    /// For a text as a whole.
    whole: regex::Regex,
    /// For what is to be found in a text.
    anywhere: regex::Regex,
}

/// An expression that is none, or too large.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{expression:?} is no regular expression: {detail}")]
pub struct RegexError {
    /// As its user wrote it.
    pub expression: String,
    /// What is wrong with it.
    pub detail: String,
}

/// Largest automaton of one expression, in bytes: Envoy's limit in its own measure is of that order.
const MAX_COMPILED: usize = 256 << 10;

impl Regex {
    /// Compiles an expression.
    ///
    /// # Errors
    /// Where it is none, or too large.
    pub fn new(expression: &str) -> Result<Self, RegexError> {
        let compile = |text: &str| {
            regex::RegexBuilder::new(text)
                .size_limit(MAX_COMPILED)
                .dfa_size_limit(MAX_COMPILED)
                .build()
                .map_err(|error| RegexError { expression: expression.to_owned(), detail: error.to_string() })
        };
        // Alone first: brackets around it would make a whole of two unbalanced halves.
        let anywhere = compile(expression)?;
        let whole = compile(&format!("^(?:{expression})$"))?;
        Ok(Self(Arc::new(Compiled { source: expression.into(), whole, anywhere })))
    }

    /// Whether all of a text matches.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.0.whole.is_match(text)
    }

    /// Whether it matches anything in a text.
    #[must_use]
    pub(crate) fn is_in(&self, text: &str) -> bool {
        self.0.anywhere.is_match(text)
    }

    /// A text with every match replaced; `\1` in the replacement is the first group, as in RE2.
    #[must_use]
    pub fn replace_all(&self, text: &str, replacement: &str) -> String {
        let replacement = replacement_of(replacement);
        self.0.anywhere.replace_all(text, replacement.as_str()).into_owned()
    }

    /// As its user wrote it.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.0.source
    }
}

impl PartialEq for Regex {
    fn eq(&self, other: &Self) -> bool {
        self.0.source == other.0.source
    }
}

impl Eq for Regex {}

/// RE2 writes groups as `\1`, the crate as `${1}`.
fn replacement_of(re2: &str) -> String {
    let mut out = String::with_capacity(re2.len());
    let mut chars = re2.chars();
    while let Some(c) = chars.next() {
        match c {
            '$' => out.push_str("$$"),
            '\\' => match chars.next() {
                Some(digit) if digit.is_ascii_digit() => {
                    out.push_str("${");
                    out.push(digit);
                    out.push('}');
                }
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_for_the_whole_text() {
        for (expression, text, expected) in [
            ("a|b", "a", true),
            ("a|b", "ab", false),
            ("/v[0-9]+/.*", "/v1/x", true),
            ("/v[0-9]+", "/v1/x", false),
            ("", "", true),
        ] {
            assert_eq!(Regex::new(expression).unwrap().matches(text), expected, "{expression} {text}");
        }
        assert!(Regex::new("a)(b").is_err(), "unbalanced");
        assert!(Regex::new("(a{1000}){1000}").is_err(), "too large");
    }

    #[test]
    fn groups_are_written_as_in_re2() {
        let regex = Regex::new("/service/([^/]+)(/.*)?").unwrap();
        assert_eq!(regex.replace_all("/service/foo/v1", r"\2/instance/\1"), "/v1/instance/foo");
        assert_eq!(Regex::new("x").unwrap().replace_all("axa", "$1"), "a$1a");
    }

    fn all_of(text: &str) -> [Pattern; 5] {
        let regex = Pattern::Regex(Regex::new(&regex::escape(text)).unwrap());
        [
            Pattern::Exact(text.into()),
            Pattern::Prefix(text.into()),
            Pattern::Suffix(text.into()),
            regex,
            Pattern::Present,
        ]
    }

    #[test]
    fn a_text_in_parts_matches_like_the_whole() {
        for parts in [&["td", "/ns/", "shop", "/sa/", "cart"][..], &["a", "a", "a"], &["", "x", ""], &[]] {
            let whole = parts.concat();
            for at in 0..=whole.len() {
                let (head, tail) = whole.split_at(at);
                for text in [head.to_owned(), tail.to_owned(), format!("{head}x"), format!("x{tail}"), "/".into()] {
                    for pattern in all_of(&text) {
                        assert_eq!(pattern.matches_parts(parts), pattern.matches(&whole), "{pattern} {whole}");
                    }
                }
            }
        }
    }

    #[test]
    fn case_may_be_ignored() {
        for (text, value, expected) in [
            // Exact, prefix, suffix, expression, present.
            ("Ab", "aB", [true, true, true, false, true]),
            ("ab", "AB", [true, true, true, true, true]),
            ("ab", "ABC", [false, true, false, false, true]),
            ("bc", "ABC", [false, false, true, false, true]),
            ("abcd", "abc", [false, false, false, false, true]),
            ("a", "\u{e9}", [false, false, false, false, true]),
            ("", "a", [false, true, true, false, true]),
        ] {
            assert_eq!(all_of(text).map(|pattern| pattern.matches_ignoring_case(value)), expected, "{text} {value}");
        }
    }

    #[test]
    fn patterns_are_shown_as_their_user_would_write_them() {
        let shown = all_of("a.b").map(|pattern| pattern.to_string());
        assert_eq!(shown, ["\"a.b\"", "\"a.b*\"", "\"*a.b\"", "regex \"a\\\\.b\"", "present"]);
    }
}
