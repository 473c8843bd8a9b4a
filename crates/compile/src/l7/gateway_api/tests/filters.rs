use ambit_l7::{Fraction, HttpAction, HttpRule, HttpTable, Mirror, Rewrite};

use super::{action, ask, compile, http, with_request};
use crate::l7::fixtures::{Mesh, REVIEWS, backend, patterns, said};

const TO_REVIEWS: &str = "backendRefs: [{name: reviews, port: 9080}]";

/// The new path and host of a request.
fn rewritten(rule: &str, line: &str) -> (String, Option<String>) {
    let (rules, said) = compile(rule);
    assert!(said.is_empty(), "{rule}: {said:?}");
    let table = HttpTable::new(&rules.http);
    let matched = ask(&table, line, 9080, None).unwrap();
    let HttpAction::Forward(forward) = &matched.rule.action else { panic!("{rule}") };
    let Rewrite { authority, path } = forward.backends[0].rewrite.as_ref().unwrap_or(&forward.rewrite);
    let before = with_request(line, 9080, |request| request.path.to_owned());
    let path = path.as_ref().map_or_else(|| before.clone(), |path| path.apply(matched.path, &before));
    (path, authority.as_deref().map(str::to_owned))
}

/// The table of the API, and the rows of the conformance suite's MeshHTTPRouteRewritePath.
#[test]
fn paths_are_written_over() {
    for (prefix, replacement, path, expected) in [
        ("/foo", "/xyz", "/foo/bar", "/xyz/bar"),
        ("/foo", "/xyz/", "/foo/bar", "/xyz/bar"),
        ("/foo/", "/xyz", "/foo/bar", "/xyz/bar"),
        ("/foo/", "/xyz/", "/foo/bar", "/xyz/bar"),
        ("/foo", "/xyz", "/foo", "/xyz"),
        ("/foo", "/xyz", "/foo/", "/xyz/"),
        ("/foo", "''", "/foo/bar", "/bar"),
        ("/foo", "''", "/foo/", "/"),
        ("/foo", "''", "/foo", "/"),
        ("/foo", "/", "/foo/", "/"),
        ("/foo", "/", "/foo", "/"),
        ("/", "/xyz", "/a", "/xyz/a"),
        ("/strip-prefix", "/", "/strip-prefix/three", "/three"),
    ] {
        let rule = format!(
            "matches: [{{path: {{value: {prefix}}}}}]\n  filters: [{{type: URLRewrite, urlRewrite: {{path: {{type: ReplacePrefixMatch, replacePrefixMatch: {replacement}}}}}}}]\n  {TO_REVIEWS}"
        );
        assert_eq!(rewritten(&rule, &format!("GET {path}")).0, expected, "{prefix} {replacement} {path}");
    }
    let full = |place: &str| {
        match place {
        "rule" => format!("filters: [{{type: URLRewrite, urlRewrite: {{hostname: other, path: {{type: ReplaceFullPath, replaceFullPath: /one}}}}}}]\n  {TO_REVIEWS}"),
        _ => "filters: [{type: URLRewrite, urlRewrite: {hostname: other}}]\n  backendRefs: [{name: reviews, port: 9080, filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /one}}}]}]".to_owned(),
    }
    };
    for place in ["rule", "backend"] {
        assert_eq!(rewritten(&full(place), "GET /full/x"), ("/one".to_owned(), Some("other".to_owned())), "{place}");
    }
}

/// As the conformance suite's MeshHTTPRouteRedirect* ask.
#[test]
fn clients_are_sent_elsewhere() {
    for (redirect, line, port, expected) in [
        ("{hostname: example.org}", "GET /host", 80, "302 http://example.org/host"),
        ("{hostname: example.org, statusCode: 301}", "GET /x", 80, "301 http://example.org/x"),
        ("{hostname: example.org, statusCode: 307}", "GET /x?q", 80, "307 http://example.org/x?q"),
        ("{hostname: example.org}", "GET /x", 9080, "302 http://example.org:9080/x"),
        ("{scheme: https, hostname: example.org}", "GET /x", 9080, "302 https://example.org/x"),
        ("{scheme: https}", "GET /x host=reviews:9080", 9080, "302 https://reviews/x"),
        ("{port: 8083}", "GET /x", 80, "302 http://reviews:8083/x"),
        ("{port: 80}", "GET /x host=reviews:9080", 9080, "302 http://reviews/x"),
        ("{scheme: https, port: 443}", "GET /x", 80, "302 https://reviews/x"),
        ("{scheme: https, port: 8443}", "GET /x", 80, "302 https://reviews:8443/x"),
        ("{path: {type: ReplaceFullPath, replaceFullPath: /full}}", "GET /a/b", 80, "302 http://reviews/full"),
        ("{path: {type: ReplacePrefixMatch, replacePrefixMatch: /z}}", "GET /a/b", 80, "302 http://reviews/z/a/b"),
    ] {
        let rule = format!("filters: [{{type: RequestRedirect, requestRedirect: {redirect}}}]");
        let (rules, said) = compile(&rule);
        assert!(said.is_empty(), "{said:?}");
        let table = HttpTable::new(&rules.http);
        let matched = ask(&table, line, port, None).unwrap();
        let HttpAction::Redirect(to) = &matched.rule.action else { panic!("{redirect}") };
        let location = with_request(line, port, |request| to.location(request, matched.path));
        assert_eq!(format!("{} {location}", to.status.as_u16()), expected, "{redirect} {line}");
    }
}

#[test]
fn every_filter_is_there() {
    type Show = fn(&HttpRule) -> String;
    let mirrors = |all: &[Mirror]| {
        let one = |of: &Mirror| format!("{} {:?}", backend(&of.backend), of.fraction);
        all.iter().map(one).collect::<Vec<_>>().join(" ")
    };
    let request: Show = |rule| format!("{:?}", rule.request_headers);
    let response: Show = |rule| format!("{:?}", rule.response_headers);
    let modifier = "{set: [{name: X-A, value: '%b'}], add: [{name: c, value: d}], remove: [e]}";
    let changed = r#"HeaderChanges { set: [("x-a", "%b")], add: [("c", "d")], remove: ["e"] }"#;
    let cors: Show = |rule| {
        let cors = rule.cors.as_ref().unwrap();
        let flags = (cors.any_method, cors.credentials, cors.forward_unmatched);
        format!(
            "{} {:?} {:?} {:?} {:?} {flags:?}",
            patterns(&cors.origins),
            cors.methods,
            cors.headers,
            cors.expose,
            cors.max_age
        )
    };
    for (filter, show, expected) in [
        (format!("RequestHeaderModifier, requestHeaderModifier: {modifier}"), request, changed),
        (format!("ResponseHeaderModifier, responseHeaderModifier: {modifier}"), response, changed),
        (
            "CORS, cors: {allowOrigins: ['https://a.b', 'https://*.c.d', 'http://*', '*'], allowMethods: [GET, '*'], allowHeaders: [x], exposeHeaders: [q], allowCredentials: true, maxAge: 9}".to_owned(),
            cors,
            r#"https://a.b,~https://.*\.c\.d,http://*,* [GET] ["x"] ["q"] Some(9s) (true, true, false)"#,
        ),
        ("CORS, cors: {allowOrigins: ['*']}".to_owned(), cors, "* [] [] [] Some(5s) (false, false, false)"),
    ] {
        let (rules, said) = compile(&format!("filters: [{{type: {filter}}}]\n  {TO_REVIEWS}"));
        assert!(said.is_empty(), "{filter}: {said:?}");
        assert_eq!(show(&rules.http[0]), expected, "{filter}");
    }
    let to = "backendRef: {name: ratings, port: 80}";
    let (rules, _) = compile(&format!(
        "filters:\n  - {{type: RequestMirror, requestMirror: {{{to}}}}}\n  - {{type: RequestMirror, requestMirror: {{{to}, percent: 20}}}}\n  - {{type: RequestMirror, requestMirror: {{{to}, fraction: {{numerator: 1, denominator: 1000}}}}}}\n  backendRefs: [{{name: reviews, port: 9080, filters: [{{type: RequestMirror, requestMirror: {{{to}}}}}, {{type: RequestHeaderModifier, requestHeaderModifier: {{remove: [z]}}}}]}}]"
    ));
    let rule = &rules.http[0];
    let ratings = "shop/ratings.shop.svc.cluster.local:80";
    let all = format!("{:?}", Fraction::ALL);
    let expected = format!("{ratings} {all} {ratings} Fraction(200000) {ratings} Fraction(1000)");
    assert_eq!(mirrors(&rule.mirrors), expected);
    let HttpAction::Forward(forward) = &rule.action else { panic!() };
    assert_eq!(mirrors(&forward.backends[0].mirrors), format!("{ratings} {all}"));
    assert_eq!(forward.backends[0].request_headers.remove, ["z"]);
}

#[test]
fn where_requests_go() {
    let reviews = "shop/reviews.shop.svc.cluster.local:9080";
    for (rule, expected, problem) in [
        (TO_REVIEWS, format!("1 {reviews}"), ""),
        (
            "backendRefs: [{name: reviews, port: 9080, weight: 70}, {name: ratings, port: 80, weight: 0}]",
            format!("70 {reviews}, 0 shop/ratings.shop.svc.cluster.local:80"),
            "",
        ),
        (
            "backendRefs: [{name: gone, port: 80}]",
            "1 500 Service shop/gone".to_owned(),
            "there is no Service shop/gone",
        ),
        ("backendRefs: [{name: reviews, port: 1}]", "1 500 Service shop/reviews".to_owned(), "has no port 1"),
        (
            "backendRefs: [{group: x.y, kind: Thing, name: t}]",
            "1 500 Thing t".to_owned(),
            "Thing of the group \"x.y\" is not known here",
        ),
        // A mesh's routes may lead to any namespace.
        (
            "backendRefs: [{name: details, namespace: other, port: 9080}]",
            "1 other/details.other.svc.cluster.local:9080".to_owned(),
            "",
        ),
        (
            "backendRefs: [{group: networking.istio.io, kind: Hostname, name: api.example.com, port: 443}]",
            "1 shop/api.example.com:443".to_owned(),
            "",
        ),
        ("name: none", "respond 500".to_owned(), ""),
        (
            "filters: [{type: ExtensionRef, extensionRef: {group: a.b, kind: C, name: d}}]\n  backendRefs: [{name: reviews, port: 9080}]",
            "respond 500".to_owned(),
            "C of the group \"a.b\" is not known here",
        ),
        (
            "filters: [{type: ExternalAuth, externalAuth: {protocol: HTTP, backendRef: {name: reviews, port: 9080}}}]\n  backendRefs: [{name: reviews, port: 9080}]",
            "respond 500".to_owned(),
            "the filter ExternalAuth is not supported at a rule",
        ),
        (
            "backendRefs: [{name: reviews, port: 9080, filters: [{type: CORS, cors: {}}]}]",
            "1 500 Service shop/reviews".to_owned(),
            "the filter CORS is not supported at a backend",
        ),
    ] {
        let (rules, said) = compile(rule);
        assert_eq!(action(&rules.http[0]), expected, "{rule}");
        match problem {
            "" => assert!(said.is_empty(), "{rule}: {said:?}"),
            problem => assert!(said.iter().any(|said| said.contains(problem)), "{rule}: {said:?}"),
        }
    }
}

#[test]
fn times_and_tries() {
    for (rule, expected) in [
        ("name: a", "None None"),
        ("timeouts: {request: 5s}", "Some(5s) None"),
        ("timeouts: {request: 0s, backendRequest: 0s}", "None None"),
        ("timeouts: {request: 5s, backendRequest: 2s}", "Some(5s) Some((2, Some(2s), [503], Some(25ms), false))"),
        ("retry: {codes: [500, 502]}", "None Some((2, None, [500, 502], Some(25ms), true))"),
        (
            "timeouts: {backendRequest: 1s}\n  retry: {attempts: 0, backoff: 100ms}",
            "None Some((0, Some(1s), [], Some(100ms), true))",
        ),
    ] {
        let (rules, said) = compile(&format!("{rule}\n  {TO_REVIEWS}"));
        assert!(said.is_empty(), "{said:?}");
        let HttpRule { timeout, retry, .. } = &*rules.http[0];
        let retry =
            retry.as_ref().map(|of| (of.attempts, of.per_try_timeout, &of.on.statuses, of.backoff, of.on.reset));
        assert_eq!(format!("{timeout:?} {retry:?}"), expected, "{rule}");
    }
}

#[test]
fn what_is_wrong_is_not_in_force() {
    let rewrite =
        "filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]";
    for (rule, problem) in [
        ("matches: [{path: {type: RegularExpression, value: '('}}]".to_owned(), "no regular expression"),
        ("matches: [{path: {value: a}}]".to_owned(), "a path that begins with /"),
        ("matches: [{method: 'a b'}]".to_owned(), "a method, like GET"),
        ("backendRefs: [{name: reviews}]".to_owned(), "a port of the backend"),
        (format!("matches: [{{path: {{type: Exact, value: /a}}}}]\n  {rewrite}"), "matches of PathPrefix alone"),
        (
            "filters: [{type: RequestRedirect, requestRedirect: {}}, {type: URLRewrite, urlRewrite: {hostname: a}}]"
                .to_owned(),
            "URLRewrite and RequestRedirect",
        ),
        ("filters: [{type: RequestRedirect}]".to_owned(), "the field that its type names"),
        ("filters: [{type: RequestRedirect, requestRedirect: {statusCode: 200}}]".to_owned(), "301, 302"),
        ("filters: [{type: RequestRedirect, requestRedirect: {scheme: ftp}}]".to_owned(), "http or https"),
        ("filters: [{type: CORS, cors: {}}, {type: CORS, cors: {}}]".to_owned(), "is there already"),
        (
            "filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: [content-length]}}]".to_owned(),
            "cannot be changed",
        ),
        ("timeouts: {request: 1s, backendRequest: 2s}".to_owned(), "no more than the timeout"),
    ] {
        let mut mesh = Mesh::new();
        mesh.put(&http("shop/route", 0, "- name: before"));
        let delta = mesh.put(&http("shop/route", 0, &format!("- {rule}")));
        assert!(said(&delta)[0].contains(problem), "{rule}: {:?}", said(&delta));
        assert_eq!(&*mesh.rules(REVIEWS).http[0].origin.name, "before", "{rule}");
    }
}
