//! The words of an expression.

use super::ExpressionError;

/// A word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A name of something.
    Name(String),
    Text(String),
    Number(i64),
    /// One of [`SIGNS`].
    Sign(&'static str),
}

/// Longer ones first: they begin with shorter ones.
const SIGNS: [&str; 21] =
    ["&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "(", ")", "[", "]", ",", ".", "?", ":", "+", "-", "{", "}"];

/// All words of an expression.
pub(super) fn tokens(source: &str) -> Result<Vec<Token>, ExpressionError> {
    let mut rest = source.trim_start();
    let mut all = Vec::new();
    while let Some(first) = rest.chars().next() {
        let (token, after) = match first {
            'a'..='z' | 'A'..='Z' | '_' => {
                let (name, after) = split(rest, |c| c.is_ascii_alphanumeric() || c == '_');
                (Token::Name(name.to_owned()), after)
            }
            '0'..='9' => {
                let (digits, after) = split(rest, |c| c.is_ascii_alphanumeric() || c == '.');
                (Token::Number(digits.parse().map_err(|_| ExpressionError::Sign(digits.to_owned()))?), after)
            }
            '\'' | '"' => text(rest, first)?,
            _ => sign(rest)?,
        };
        all.push(token);
        rest = after.trim_start();
    }
    Ok(all)
}

fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

fn sign(rest: &str) -> Result<(Token, &str), ExpressionError> {
    let found = SIGNS.iter().find_map(|sign| Some((Token::Sign(sign), rest.strip_prefix(sign)?)));
    found.ok_or_else(|| ExpressionError::Sign(rest.chars().take(1).collect()))
}

/// A text in quotes, with `\` in front of quotes, `\`, `n`, `r` and `t`.
fn text(rest: &str, quote: char) -> Result<(Token, &str), ExpressionError> {
    let unended = || ExpressionError::Sign(rest.to_owned());
    let mut chars = rest.char_indices().skip(1);
    let mut text = String::new();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => text.push(match chars.next().ok_or_else(unended)?.1 {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                same @ ('\\' | '\'' | '"') => same,
                other => return Err(ExpressionError::Sign(format!("\\{other}"))),
            }),
            c if c == quote => {
                let after = rest.get(at + c.len_utf8()..).unwrap_or_default();
                return Ok((Token::Text(text), after));
            }
            c => text.push(c),
        }
    }
    Err(unended())
}
