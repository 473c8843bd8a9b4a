//! Rust source without its comments and literals, roughly: enough to look for words of code.

/// `source` with comments and the contents of strings and characters replaced by blanks; lines stay.
pub(super) fn code_only(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let skipped = comment(rest).or_else(|| literal(rest));
        let (text, keep) = match skipped {
            Some(length) => (length, false),
            None => (word(rest).unwrap_or(first.len_utf8()), true),
        };
        let (taken, left) = rest.split_at(text);
        code.extend(taken.chars().map(|c| if keep || c == '\n' { c } else { ' ' }));
        rest = left;
    }
    code
}

/// The length of the comment `text` begins with.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    let inner = text.strip_prefix("/*")?;
    Some(inner.find("*/").map_or(text.len(), |end| end + 4))
}

/// The length of the string or character literal `text` begins with.
fn literal(text: &str) -> Option<usize> {
    let raw = text.trim_start_matches(['b', 'c']);
    if let Some(hashed) = raw.strip_prefix('r') {
        let opening = hashed.trim_start_matches('#');
        let hashes = hashed.len() - opening.len();
        let body = opening.strip_prefix('"')?;
        let close = format!("\"{}", "#".repeat(hashes));
        let end = body.find(&close).map_or(body.len(), |end| end + close.len());
        return Some(text.len() - body.len() + end);
    }
    if let Some(body) = raw.strip_prefix('"') {
        return Some(text.len() - body.len() + quoted(body, '"'));
    }
    let body = raw.strip_prefix('\'')?;
    // `'a` is a lifetime unless a quote follows the one character or an escape begins.
    let mut chars = body.chars();
    let character = chars.next() == Some('\\') || chars.next() == Some('\'');
    character.then(|| text.len() - body.len() + quoted(body, '\''))
}

/// The length of `body` up to and with the first `quote` that is not escaped.
fn quoted(body: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        if c == quote && !escaped {
            return at + c.len_utf8();
        }
        escaped = c == '\\' && !escaped;
    }
    body.len()
}

/// The length of the word `text` begins with: its letters must not be taken for a literal's prefix.
fn word(text: &str) -> Option<usize> {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    (end > 0).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::code_only;

    #[test]
    fn only_code_remains() {
        for (source, expected) in [
            ("a // unsafe\nb", "a          \nb"),
            ("a /* x\ny */ b", "a     \n     b"),
            (r#"f("un\"safe") g"#, "f(          ) g"),
            (r##"f(r#"a"b"#) g"##, "f(        ) g"),
            ("let c = '\"'; let l: &'a str", "let c =    ; let l: &'a str"),
            (r"let c = '\''; x", "let c =     ; x"),
            (r#"for x in b"ab" {}"#, "for x in       {}"),
        ] {
            assert_eq!(code_only(source), expected, "{source}");
        }
    }
}
