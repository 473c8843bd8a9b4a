//! The agent's access log, one line a connection, as `key=value` text.

use std::collections::BTreeMap;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLine {
    fields: BTreeMap<String, String>,
}

impl AccessLine {
    /// Reads a line; one without fields is none.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let mut fields = BTreeMap::new();
        let mut rest = line;
        while let Some((before, after)) = rest.split_once('=') {
            let key = before.rsplit(char::is_whitespace).next().unwrap_or(before);
            let (value, remainder) = value(after);
            fields.insert(key.to_owned(), value);
            rest = remainder;
        }
        (!fields.is_empty()).then_some(Self { fields })
    }

    /// A field's value; empty when the line does not have it.
    #[must_use]
    pub fn field(&self, key: &str) -> &str {
        self.fields.get(key).map_or("", String::as_str)
    }

    /// Whether it is of an outbound connection.
    #[must_use]
    pub fn is_outbound(&self) -> bool {
        self.field("direction") == "outbound"
    }

    /// Why the connection ended, if not by itself.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.fields.get("error").map(String::as_str)
    }
}

/// A bare or quoted value at the start of `text`, and what follows it.
fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        return (value.to_owned(), rest);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, quoted.get(at + 1..).unwrap_or("")),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_bare_and_quoted_fields() {
        let line = "2026-01-01\tinfo\tconnection complete\t".to_owned()
            + r#"src.addr=10.0.0.1:5 src.identity="spiffe://a/ns/b/sa/c" error="it said \"no\"" last=1"#;
        let line = AccessLine::parse(&line).unwrap();
        assert_eq!(line.field("src.addr"), "10.0.0.1:5");
        assert_eq!(line.field("src.identity"), "spiffe://a/ns/b/sa/c");
        assert_eq!(line.error(), Some(r#"it said "no""#));
        assert_eq!(line.field("last"), "1");
        assert_eq!(line.field("absent"), "");
        assert_eq!(AccessLine::parse("no fields here"), None);
    }
}
