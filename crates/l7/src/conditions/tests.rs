use http::{HeaderName, Method};

use super::*;
use crate::fixtures::{Asked, Client};
use crate::{Regex, Verdict};

fn exact(text: &str) -> Option<Pattern> {
    Some(Pattern::Exact(text.into()))
}

fn header(value: &str, inverted: bool) -> HttpMatch {
    let header = HeaderMatch { name: HeaderName::from_static("x-a"), value: Pattern::Exact(value.into()), inverted };
    HttpMatch { headers: vec![header], ..HttpMatch::default() }
}

fn query(name: &str, value: Pattern) -> HttpMatch {
    HttpMatch { query: vec![QueryMatch { name: name.into(), value }], ..HttpMatch::default() }
}

fn of_path(path: PathMatch) -> HttpMatch {
    HttpMatch { path: Some(path), ..HttpMatch::default() }
}

fn of_source(source: SourceMatch) -> HttpMatch {
    HttpMatch { source, ..HttpMatch::default() }
}

fn label(key: &str, value: &str) -> SourceMatch {
    SourceMatch { labels: [(key.into(), value.into())].into(), ..SourceMatch::default() }
}

fn namespace(namespace: &str) -> SourceMatch {
    SourceMatch { namespace: Some(namespace.into()), ..SourceMatch::default() }
}

fn subnet(block: &str) -> SourceMatch {
    SourceMatch { subnets: vec!["10.9.0.0/16".parse().unwrap(), block.parse().unwrap()], ..SourceMatch::default() }
}

/// `PUT http://Reviews:9080/a/B?q=1`, with `x-a: 1`, to port 80.
fn asked() -> Asked {
    let authority = "Reviews:9080".into();
    let asked = Asked { method: Method::PUT, authority, query: Some("q=1".into()), ..Asked::of_path("/a/B") };
    asked.with("x-a", "1")
}

#[test]
fn each_condition_holds_or_says_why_not() {
    let text = |pattern, ignore_case| of_path(PathMatch::Text { pattern, ignore_case });
    for (wanted, expected) in [
        (HttpMatch::default(), None),
        (text(Pattern::Exact("/a/B".into()), false), None),
        (text(Pattern::Exact("/a/b".into()), false), Some("the path is not \"/a/b\"")),
        (text(Pattern::Exact("/a/b".into()), true), None),
        (text(Pattern::Prefix("/A/c".into()), true), Some("the path is not \"/A/c*\", in whatever case")),
        (text(Pattern::Suffix("/B".into()), false), None),
        (text(Pattern::Regex(Regex::new("/a").unwrap()), false), Some("the path is not regex \"/a\"")),
        (of_path(PathMatch::Elements("/a".into())), None),
        (of_path(PathMatch::Elements("/a/B".into())), None),
        (of_path(PathMatch::Elements("".into())), None),
        (of_path(PathMatch::Elements("/a/".into())), Some("the path is not /a/ or below")),
        (HttpMatch { port: Some(80), ..HttpMatch::default() }, None),
        (HttpMatch { port: Some(9080), ..HttpMatch::default() }, Some("the port is not 9080")),
        (HttpMatch::of_method(&Method::PUT), None),
        (HttpMatch::of_method(&Method::GET), Some("the method is not \"GET\"")),
        (HttpMatch { scheme: exact("http"), ..HttpMatch::default() }, None),
        (HttpMatch { scheme: exact("https"), ..HttpMatch::default() }, Some("the scheme is not \"https\"")),
        (HttpMatch { authority: exact("reviews:9080"), ..HttpMatch::default() }, None),
        (HttpMatch { authority: exact("reviews"), ..HttpMatch::default() }, Some("the authority is not \"reviews\"")),
        (header("1", false), None),
        (header("2", false), Some("header x-a is not \"2\"")),
        (header("2", true), None),
        (header("1", true), Some("header x-a is \"1\"")),
        (query("q", Pattern::Exact("1".into())), None),
        (query("q", Pattern::Exact("2".into())), Some("parameter q is not \"2\"")),
        (query("r", Pattern::Present), Some("parameter r is not present")),
        (of_source(label("app", "cart")), None),
        (of_source(label("app", "web")), Some("the client has no label app=web")),
        (of_source(namespace("shop")), None),
        (of_source(namespace("bank")), Some("the client is not of namespace bank")),
        (of_source(subnet("10.1.0.0/16")), None),
        (of_source(subnet("10.2.0.0/16")), Some("the client's address is not in 10.9.0.0/16 or 10.2.0.0/16")),
    ] {
        let said = http(&wanted, &asked().view(), &Client::default().view());
        assert_eq!(said.map(|miss| miss.to_string()).as_deref(), expected, "{wanted:?}");
    }
}

#[test]
fn an_absent_header_matches_only_where_it_must_not() {
    for (inverted, expected) in [(false, false), (true, true)] {
        let wanted = header("1", inverted);
        let said = http(&wanted, &Asked::default().view(), &Client::default().view());
        assert_eq!(said.is_none(), expected, "{inverted}");
    }
}

#[test]
fn each_condition_on_a_connection_holds_or_says_why_not() {
    let client = Client::default();
    let named = |name: &str| Asked { server_name: Some(name.to_owned()), ..Asked::default() };
    let names = |names: &[Pattern]| TlsMatch { server_names: names.to_vec(), ..TlsMatch::default() };
    let wildcard = names(&[Pattern::Exact("a.example".into()), Pattern::Suffix(".b.example".into())]);
    let misses = Some("the server name is not \"a.example\" or \"*.b.example\"");
    for (wanted, asked, expected) in [
        (&TlsMatch::default(), Asked::default(), None),
        (&names(&[Pattern::Present]), named("a"), None),
        (&names(&[Pattern::Present]), Asked::default(), Some("the server name is not present")),
        (&wildcard, named("A.example"), None),
        (&wildcard, named("x.b.example"), None),
        (&wildcard, named("b.example"), misses),
        (&wildcard, Asked::default(), misses),
    ] {
        let said = tls(wanted, &asked.connection(), &client.view());
        assert_eq!(said.map(|miss| miss.to_string()).as_deref(), expected, "{wanted:?}");
    }

    let to = |block: &str| L4Match { destination_subnets: vec![block.parse().unwrap()], ..L4Match::default() };
    for (wanted, expected) in [
        (to("10.96.0.0/16"), None),
        (to("10.97.0.0/16"), Some("the address asked for is not in 10.97.0.0/16")),
        (L4Match { port: Some(80), ..L4Match::default() }, None),
        (L4Match { port: Some(81), ..L4Match::default() }, Some("the port is not 81")),
        (L4Match { source: namespace("bank"), ..L4Match::default() }, Some("the client is not of namespace bank")),
    ] {
        let asked = Asked::default();
        let said = tcp(&wanted, &asked.connection(), &client.view());
        assert_eq!(said.map(|miss| miss.to_string()).as_deref(), expected, "{wanted:?}");
        let in_tls = TlsMatch { connection: wanted.clone(), ..TlsMatch::default() };
        assert_eq!(
            tls(&in_tls, &asked.connection(), &client.view()),
            tcp(&wanted, &asked.connection(), &client.view())
        );
    }
}

#[test]
fn a_client_that_is_not_known_has_no_namespace_and_no_labels() {
    let unknown = Client { identity: None, labels: [].into(), ..Client::default() };
    for source in [label("app", "cart"), namespace("shop")] {
        assert!(http(&of_source(source), &Asked::default().view(), &unknown.view()).is_some());
    }
}

#[test]
fn an_explanation_names_every_rule() {
    use crate::fixtures::rule;
    let rules = [
        rule("first", vec![header("2", false), HttpMatch::of_method(&Method::GET)]),
        rule("second", vec![header("2", false), header("1", false)]),
        rule("third", Vec::new()),
    ];
    let asked = asked();
    let client = Client::default();
    let explained = crate::explain_http(&rules, &asked.view(), &client.view());
    let said: Vec<_> = explained.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "VirtualService shop/reviews spec (first): does not match: [0] header x-a is not \"2\"; [1] the method is not \"GET\"",
            "VirtualService shop/reviews spec (second): decides, by its match [1]",
            "VirtualService shop/reviews spec (third): matches too, but one before it decides",
        ]
    );
    let only = crate::explain_http(&rules[2..], &asked.view(), &client.view());
    assert_eq!(only.iter().map(|rule| &rule.verdict).collect::<Vec<_>>(), [&Verdict::Decides { matched: None }]);
    assert_eq!(only.first().unwrap().verdict.to_string(), "decides, it applies to everything");
}
