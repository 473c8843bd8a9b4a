use super::{decides, http, object, parent};
use crate::l7::fixtures::{Mesh, REVIEWS};

/// Rules of one route, `name: match`, and who decides about what.
fn check(rules: &[(&str, &str)], asked: &[(&str, &str)]) {
    let rules: String =
        rules.iter().map(|(name, matches)| format!("- name: {name}\n  matches: [{matches}]\n")).collect();
    let mut mesh = Mesh::new();
    mesh.put(&http("shop/route", 0, &rules));
    let found = mesh.rules(REVIEWS);
    for (line, expected) in asked {
        assert_eq!(decides(&found, line, 9080, None), *expected, "{line} of {rules}");
    }
}

#[test]
fn paths_match_as_the_api_has_it() {
    check(
        &[
            ("exact", "{path: {type: Exact, value: /one}}"),
            ("slash", "{path: {type: PathPrefix, value: /two/}}"),
            ("regex", "{path: {type: RegularExpression, value: '/r/[0-9]+'}}"),
            ("three", "{path: {value: /three}}"),
        ],
        &[
            ("GET /one", "exact"),
            ("GET /one/", "404"),
            ("GET /One", "404"),
            ("GET /two", "slash"),
            ("GET /two/", "slash"),
            ("GET /two/x", "slash"),
            ("GET /twox", "404"),
            ("GET /r/12", "regex"),
            ("GET /r/12/x", "404"),
            ("GET /three/x?y", "three"),
        ],
    );
}

#[test]
fn the_most_specific_match_decides_whatever_the_order() {
    let rules = [
        ("all", "{}"),
        ("prefix", "{path: {value: /a}}"),
        ("longer", "{path: {value: /a/b}}"),
        ("exact", "{path: {type: Exact, value: /a/b}}"),
        ("regex", "{path: {type: RegularExpression, value: '/a/r.*'}}"),
        ("method", "{path: {value: /a}, method: POST}"),
        ("header", "{path: {value: /a}, headers: [{name: x, value: '1'}]}"),
        ("headers", "{path: {value: /a}, headers: [{name: x, value: '1'}, {name: z, value: '2'}]}"),
        ("query", "{path: {value: /a}, queryParams: [{name: q, value: '1'}]}"),
        ("queries", "{path: {value: /a}, queryParams: [{name: q, value: '1'}, {name: r, value: '1'}]}"),
    ];
    let asked = [
        ("GET /", "all"),
        ("GET /a", "prefix"),
        ("GET /a/c", "prefix"),
        ("GET /a/b", "exact"),
        ("GET /a/b/c", "longer"),
        ("GET /a/rest", "regex"),
        ("POST /a/c", "method"),
        ("POST /a/b/c", "longer"),
        ("POST /a/c x=1 z=2", "method"),
        ("GET /a/c x=1", "header"),
        ("GET /a/c x=1 z=2", "headers"),
        ("GET /a/c?q=1 x=1", "header"),
        ("GET /a/c?q=1", "query"),
        ("GET /a/c?q=1&r=1", "queries"),
        ("GET /a/b?q=1 x=1", "exact"),
    ];
    check(&rules, &asked);
    let backwards: Vec<_> = rules.iter().rev().copied().collect();
    check(&backwards, &asked);
}

#[test]
fn every_match_of_a_rule_finds_its_own_place() {
    check(
        &[
            ("one", "{path: {value: /}}, {path: {type: Exact, value: /a/b}}"),
            ("two", "{path: {value: /a}}, {headers: [{name: x, value: '1'}]}"),
        ],
        &[("GET /a/b", "one"), ("GET /a/c", "two"), ("GET /z", "one"), ("GET /z x=1", "two")],
    );
}

/// As the conformance suite's MeshHTTPRouteMatching and MeshHTTPRouteQueryParamMatching ask.
#[test]
fn headers_and_parameters() {
    check(
        &[
            ("v1", "{path: {value: /}}, {headers: [{name: version, value: one}]}"),
            ("v2", "{path: {value: /v2}}, {headers: [{name: Version, value: two}]}"),
            ("animals", "{queryParams: [{name: animal, value: whale}, {name: animal, value: cat}]}"),
            ("expression", "{headers: [{type: RegularExpression, name: num, value: '[0-9]+'}]}"),
            ("host", "{headers: [{name: Host, value: other}]}"),
        ],
        &[
            ("GET /", "v1"),
            ("GET /example", "v1"),
            ("GET / version=one", "v1"),
            ("GET /v2", "v2"),
            ("GET /v2/example", "v2"),
            ("GET / version=two", "v2"),
            ("GET /v2/ version=one", "v2"),
            ("GET /?animal=whale", "animals"),
            ("GET /?animal=cat", "v1"),
            ("GET /?animal=whale&animal=cat", "animals"),
            ("GET / num=12", "expression"),
            ("GET / num=12a", "v1"),
            ("GET / host=other", "host"),
        ],
    );
}

#[test]
fn of_matches_alike_the_oldest_routes_counts_then_the_first_by_name() {
    let rule = |name: &str, path: &str| format!("- name: {name}\n  matches: [{{path: {{value: {path}}}}}]");
    for (routes, expected) in [
        (&[("shop/b", 1, "b", "/a"), ("shop/a", 2, "a", "/a")][..], "b"),
        (&[("shop/b", 1, "b", "/a"), ("shop/a", 1, "a", "/a")], "a"),
        (&[("shop/b", 1, "b", "/a"), ("shop/a", 2, "a", "/a/b")], "a"),
        (&[("shop/b", 2, "b", "/a"), ("shop/a", 1, "a", "/")], "b"),
    ] {
        let mut mesh = Mesh::new();
        for (name, second, word, path) in routes {
            mesh.put(&http(name, *second, &rule(word, path)));
        }
        assert_eq!(decides(&mesh.rules(REVIEWS), "GET /a/b", 9080, None), expected, "{routes:?}");
    }
}

#[test]
fn calls_of_grpc() {
    let spec = format!(
        "{}\nrules:\n{}",
        parent("reviews"),
        [
            ("all", "{}"),
            ("method", "{method: {method: Say}}"),
            ("service", "{method: {service: hello.World}}"),
            ("both", "{method: {service: hello.World, method: Say}}"),
            ("header", "{method: {service: hello.World, method: Say}, headers: [{name: x, value: '1'}]}"),
            ("regex", "{method: {type: RegularExpression, service: 'bye[.].*', method: 'Say|Cry'}}"),
        ]
        .map(|(name, matches)| format!("- name: {name}\n  matches: [{matches}]"))
        .join("\n")
    );
    let mut mesh = Mesh::new();
    mesh.put(&object("GRPCRoute", "shop/route", 0, &spec));
    let rules = mesh.rules(REVIEWS);
    for (line, expected) in [
        ("POST /hello.World/Say", "both"),
        ("POST /hello.World/Say x=1", "header"),
        ("POST /hello.World/Cry", "service"),
        ("POST /hello.Worlds/Cry", "all"),
        ("POST /other.World/Say", "method"),
        ("POST /bye.World/Cry", "all"),
    ] {
        assert_eq!(decides(&rules, line, 9080, None), expected, "{line}");
    }
}
