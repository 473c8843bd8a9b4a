use super::*;
use crate::FieldPath;

#[test]
fn documents_are_split_at_their_markers() {
    for (file, expected) in [
        ("", vec![]),
        ("# nothing\n---\n# still\n---\n", vec![]),
        ("%YAML 1.2\n---\na: 1\n", vec![(1, "---\na: 1\n")]),
        ("a: 1\n---\nb: 2", vec![(0, "a: 1\n"), (1, "---\nb: 2")]),
        ("a: 1\r\n---\r\nb: 2\r\n", vec![(0, "a: 1\r\n"), (1, "---\r\nb: 2\r\n")]),
        ("--- {a: 1}\n---  # b\nb: 2\n", vec![(0, "--- {a: 1}\n"), (1, "---  # b\nb: 2\n")]),
        ("a: |\n  ---\n  x\n----\n", vec![(0, "a: |\n  ---\n  x\n----\n")]),
        ("a: [\n---\nb: 2\n", vec![(0, "a: [\n"), (1, "---\nb: 2\n")]),
    ] {
        let found: Vec<_> = split(file).into_iter().map(|d| (d.above, d.text)).collect();
        assert_eq!(found, expected, "{file:?}");
    }
}

#[test]
fn every_field_knows_its_line() {
    let document = Document { above: 10, text: "---\na:\n  b: 1\n  c:\n    - x\n    -\n      d: z\n8080: z\n" };
    let (value, lines) = document.read().unwrap();
    assert_eq!(value, serde_json::json!({"a": {"b": 1, "c": ["x", {"d": "z"}]}, "8080": "z"}));
    for (path, line) in [
        (FieldPath::default(), 12),
        (FieldPath::of("a"), 12),
        (FieldPath::of("a.b"), 13),
        (FieldPath::of("a.c"), 14),
        (FieldPath::of("a.c").index(0), 15),
        (FieldPath::of("a.c").index(1).field("d"), 17),
        (FieldPath::of("a.c").index(1).field("d").field("nowhere"), 17),
        (FieldPath::of("8080"), 18),
    ] {
        assert_eq!(lines.at(&path), line, "{path}");
    }
}

#[test]
fn hostile_documents_are_refused_in_bounded_time() {
    let laughs = (1..20).fold("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned(), |mut text, i| {
        let before = format!("*a{}, ", i - 1).repeat(9);
        text.push_str(&format!("a{i}: &a{i} [{before}]\n"));
        text
    });
    let deep = |open: &str| open.repeat(100_000);
    for text in
        [laughs, deep("["), deep("- "), deep("{a: "), deep("? "), deep("[{a: "), "a: *a".into(), "a: 1\na: 2".into()]
    {
        let refused = Document { above: 0, text: &text }.read();
        assert!(matches!(refused, Err(Unreadable { problem: Problem::Syntax { .. }, .. })), "{text:.60}");
    }
}
