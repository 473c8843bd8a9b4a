//! The table against a slow, obvious matcher written from the prose of the types alone.

use std::sync::Arc;

use http::{HeaderName, Method};
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::fixtures::{Asked, Client, rule};
use crate::{HeaderMatch, QueryMatch, Regex, SourceMatch};

/// Rule and match that decide.
fn reference(rules: &[Arc<HttpRule>], asked: &Asked, client: &Client) -> Option<(usize, Option<usize>)> {
    for (index, rule) in rules.iter().enumerate() {
        if rule.matches.is_empty() {
            return Some((index, None));
        }
        for (matched, wanted) in rule.matches.iter().enumerate() {
            if applies(wanted, asked, client) {
                return Some((index, Some(matched)));
            }
        }
    }
    None
}

fn applies(wanted: &HttpMatch, asked: &Asked, client: &Client) -> bool {
    let path = match &wanted.path {
        None => true,
        Some(PathMatch::Text { pattern, ignore_case: false }) => text(pattern, &asked.path),
        Some(PathMatch::Text { pattern, ignore_case: true }) => text(pattern, &asked.path.to_lowercase()),
        // The root: everything, `*` too.
        Some(PathMatch::Elements(prefix)) if prefix.is_empty() => true,
        Some(PathMatch::Elements(prefix)) => {
            let elements = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
            elements(&asked.path).starts_with(&elements(prefix))
        }
    };
    let optional = |pattern: &Option<Pattern>, value: &str| pattern.iter().all(|pattern| text(pattern, value));
    let headers = wanted.headers.iter().all(|header| {
        let values: Vec<&str> =
            asked.headers.get_all(&header.name).iter().map(|value| value.to_str().unwrap()).collect();
        let found = !values.is_empty() && text(&header.value, &values.join(","));
        if header.inverted { !found } else { found }
    });
    let query = wanted.query.iter().all(|parameter| {
        let mut values = Vec::new();
        for pair in asked.query.iter().flat_map(|query| query.split('&')) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if name.replace("%61", "a") == *parameter.name {
                values.push(value.replace("%61", "a"));
            }
        }
        values.first().is_some_and(|value| text(&parameter.value, value))
    });
    let source = wanted.source.labels.iter().all(|(key, value)| client.labels.get(key) == Some(value))
        && wanted.source.namespace.iter().all(|namespace| client.view().namespace == Some(namespace))
        && (wanted.source.subnets.is_empty() || wanted.source.subnets.iter().any(|block| block.contains(&client.ip)));

    path && optional(&wanted.scheme, &asked.scheme)
        && optional(&wanted.method, asked.method.as_str())
        && optional(&wanted.authority, &asked.authority.to_lowercase())
        && headers
        && query
        && wanted.port.is_none_or(|port| port == asked.port)
        && source
}

fn text(pattern: &Pattern, value: &str) -> bool {
    match pattern {
        Pattern::Exact(wanted) => value == &**wanted,
        Pattern::Prefix(prefix) => value.starts_with(&**prefix),
        Pattern::Suffix(suffix) => value.ends_with(&**suffix),
        Pattern::Regex(regex) => regex::Regex::new(&format!("^(?:{})$", regex.source())).unwrap().is_match(value),
        Pattern::Present => true,
    }
}

fn pattern(texts: &'static str) -> impl Strategy<Value = Pattern> {
    (0..6, texts).prop_map(|(kind, text)| match kind {
        0 | 1 => Pattern::Exact(text.as_str().into()),
        2 | 3 => Pattern::Prefix(text.as_str().into()),
        4 => Pattern::Suffix(text.as_str().into()),
        _ if text.len() % 2 == 0 => Pattern::Regex(Regex::new(&text.replace('/', "/+")).unwrap()),
        _ => Pattern::Present,
    })
}

/// Few letters, so that paths and patterns meet.
const PATHS: &str = "(/[ab]{0,2}){1,4}";

fn path_match() -> impl Strategy<Value = PathMatch> {
    prop_oneof![
        3 => (pattern(PATHS), any::<bool>()).prop_map(|(pattern, ignore_case)| {
            let ignore_case = ignore_case && !matches!(pattern, Pattern::Regex(_));
            PathMatch::Text { pattern, ignore_case }
        }),
        1 => "(/[ab]{1,2}){0,3}".prop_map(|prefix| PathMatch::Elements(prefix.as_str().into())),
    ]
}

const NAMES: [&str; 2] = ["x-a", "x-b"];

fn header_match() -> impl Strategy<Value = HeaderMatch> {
    (select(&NAMES[..]), pattern("[ab,]{0,2}"), any::<bool>()).prop_map(|(name, value, inverted)| HeaderMatch {
        name: HeaderName::from_static(name),
        value,
        inverted,
    })
}

fn source_match() -> impl Strategy<Value = SourceMatch> {
    let labels = weighted(0.1, select(vec!["cart", "web"]));
    let namespaces = weighted(0.1, select(vec!["shop", "bank"]));
    let subnets = weighted(0.1, select(vec!["10.1.0.0/16", "10.2.0.0/16", "fd00::/8"]));
    (labels, namespaces, subnets).prop_map(|(label, namespace, subnet)| SourceMatch {
        labels: label.map(|label| ("app".into(), label.into())).into_iter().collect(),
        namespace: namespace.map(Into::into),
        subnets: subnet.map(|subnet| subnet.parse().unwrap()).into_iter().collect(),
    })
}

fn http_match() -> impl Strategy<Value = HttpMatch> {
    let query = (select(vec!["a", "b"]), pattern("[ab]{0,2}"))
        .prop_map(|(name, value)| QueryMatch { name: name.into(), value });
    (
        weighted(0.9, path_match()),
        weighted(0.1, pattern("GET|PUT")),
        weighted(0.1, pattern("http|https")),
        weighted(0.1, pattern("a|b:80")),
        vec(header_match(), 0..2),
        vec(query, 0..2),
        weighted(0.1, select(vec![80u16, 81])),
        source_match(),
    )
        .prop_map(|(path, method, scheme, authority, headers, query, port, source)| HttpMatch {
            path,
            method,
            scheme,
            authority,
            headers,
            query,
            port,
            source,
            ..HttpMatch::default()
        })
}

fn asked() -> impl Strategy<Value = Asked> {
    (
        prop_oneof![9 => PATHS, 1 => "(/[abAB]{0,2}){1,4}", 1 => Just(String::new()), 1 => Just("*".to_owned())],
        select(vec![Method::GET, Method::PUT]),
        select(vec!["http", "https"]),
        select(vec!["a", "A", "b:80"]),
        vec((select(&NAMES[..]), "[ab]{0,1}"), 0..4),
        weighted(0.7, "([ab]|%61){1,2}(=([ab]|%61){0,2})?(&[ab]=[ab]{0,2}){0,2}"),
        select(vec![80u16, 81]),
    )
        .prop_map(|(path, method, scheme, authority, headers, query, port)| {
            let asked = Asked {
                path,
                method,
                scheme: scheme.into(),
                authority: authority.into(),
                query,
                port,
                ..Asked::default()
            };
            headers.into_iter().fold(asked, |asked, (name, value)| asked.with(name, &value))
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]
    #[test]
    fn decides_as_the_reference_does(
        matches in vec(vec(http_match(), 0..4), 0..12),
        requests in vec(asked(), 1..8),
        in_mesh in any::<bool>(),
    ) {
        // A rule without matches ends everything behind it: keep those rare.
        let rules: Vec<_> = matches
            .into_iter()
            .enumerate()
            .filter(|(index, matches)| !matches.is_empty() || *index > 8)
            .map(|(index, matches)| rule(&index.to_string(), matches))
            .collect();
        let table = HttpTable::new(&rules);
        let mut client = Client::default();
        if !in_mesh {
            client.identity = None;
            client.labels.clear();
        }
        for asked in &requests {
            let decided = table.decide(&asked.view(), &client.view());
            let expected = reference(&rules, asked, &client);
            prop_assert_eq!(decided.map(|decided| (decided.index, decided.matched)), expected, "{:?}", asked);
            prop_assert!(decided.is_none_or(|decided| Arc::ptr_eq(decided.rule, &rules[decided.index])));
            let explained = crate::explain_http(&rules, &asked.view(), &client.view());
            let decides = explained.iter().position(|rule| matches!(rule.verdict, crate::Verdict::Decides { .. }));
            prop_assert_eq!(decides, expected.map(|(index, _)| index), "the explanation");
        }
    }
}

fn of_path(path: PathMatch) -> Vec<HttpMatch> {
    vec![HttpMatch { path: Some(path), ..HttpMatch::default() }]
}

fn exact(text: &str) -> PathMatch {
    PathMatch::Text { pattern: Pattern::Exact(text.into()), ignore_case: false }
}

fn prefix(text: &str) -> PathMatch {
    PathMatch::Text { pattern: Pattern::Prefix(text.into()), ignore_case: false }
}

fn decided(table: &HttpTable, path: &str) -> Option<(usize, MatchedPath)> {
    let decided = table.decide(&Asked::of_path(path).view(), &Client::default().view());
    decided.map(|decided| (decided.index, decided.path))
}

#[test]
fn the_first_rule_wins_however_it_is_found() {
    let rules: Vec<_> = [
        prefix("/a/b"),
        exact("/a/b/c"),
        PathMatch::Elements("/x".into()),
        prefix("/x"),
        PathMatch::Text { pattern: Pattern::Prefix("/CASE".into()), ignore_case: true },
        PathMatch::Text { pattern: Pattern::Exact("/é".into()), ignore_case: true },
        PathMatch::Text { pattern: Pattern::Regex(Regex::new("/a.*").unwrap()), ignore_case: false },
        exact("/a"),
        PathMatch::Text { pattern: Pattern::Suffix(".css".into()), ignore_case: false },
        PathMatch::Elements("".into()),
    ]
    .into_iter()
    .map(|path| rule("", of_path(path)))
    .collect();
    let table = HttpTable::new(&rules);
    for (path, expected) in [
        ("/a/b/c", (0, MatchedPath::Text(4))),
        ("/a/bc", (0, MatchedPath::Text(4))),
        ("/x", (2, MatchedPath::Elements(2))),
        ("/x/", (2, MatchedPath::Elements(2))),
        ("/xy", (3, MatchedPath::Text(2))),
        ("/cAsE/y", (4, MatchedPath::Text(5))),
        ("/é", (5, MatchedPath::Whole)),
        ("/a", (6, MatchedPath::Whole)),
        ("/b.css", (8, MatchedPath::Whole)),
        ("/b", (9, MatchedPath::Elements(0))),
        ("*", (9, MatchedPath::Elements(0))),
        ("", (9, MatchedPath::Elements(0))),
    ] {
        assert_eq!(decided(&table, path), Some(expected), "{path}");
    }
    assert!(HttpTable::new(&[]).decide(&Asked::default().view(), &Client::default().view()).is_none());
}

#[test]
fn a_rule_without_matches_takes_everything() {
    let table = HttpTable::new(&[rule("", of_path(exact("/a"))), rule("", Vec::new()), rule("", of_path(exact("/b")))]);
    assert_eq!(decided(&table, "/a"), Some((0, MatchedPath::Whole)));
    assert_eq!(decided(&table, "/b"), Some((1, MatchedPath::Text(1))));
    assert_eq!(decided(&table, "*"), Some((1, MatchedPath::Text(0))));
}

#[test]
fn of_many_rules_few_are_candidates() {
    let rules: Vec<_> = (0..5000)
        .map(|number| {
            let text = format!("/service/{number}");
            rule("", of_path(if number % 2 == 0 { exact(&text) } else { PathMatch::Elements(text.as_str().into()) }))
        })
        .collect();
    let table = HttpTable::new(&rules);
    for number in [0, 1, 4998, 4999] {
        assert_eq!(decided(&table, &format!("/service/{number}")).unwrap().0, number);
    }
    let mut candidates = 0;
    table.paths.candidates("/service/4999/x", &mut |list| candidates += list.len());
    // 4999, 499 and 49; 4 is a whole path, not a prefix.
    assert_eq!(candidates, 3);
}
