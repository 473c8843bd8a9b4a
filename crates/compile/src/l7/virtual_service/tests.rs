use std::sync::Arc;

use ambit_l7::{HttpAction, HttpMatch, HttpRule, L4Match, PathMatch, PathRewrite, Rewrite, ServiceRules, SourceMatch};

use crate::l7::fixtures::{Mesh, REVIEWS, backend, object, pattern, patterns, said};

const ROUTE: &str = "route: [{destination: {host: reviews}}]";

/// What a VirtualService for `reviews` comes to, with one rule for HTTP.
fn compile(rule: &str) -> (Arc<ServiceRules>, Vec<String>) {
    compile_spec(&format!("hosts: [reviews]\nhttp:\n- {rule}"))
}

fn compile_spec(spec: &str) -> (Arc<ServiceRules>, Vec<String>) {
    let mut mesh = Mesh::new();
    let delta = mesh.put(&object("VirtualService", "shop/vs", spec));
    (mesh.rules(REVIEWS), said(&delta))
}

fn the_match(rule: &HttpRule) -> &HttpMatch {
    &rule.matches[0]
}

fn path(found: &HttpMatch) -> String {
    match &found.path {
        None => "any".to_owned(),
        Some(PathMatch::Text { pattern: of, ignore_case }) => format!("{} {ignore_case}", pattern(of)),
        Some(PathMatch::Elements(text)) => format!("{text}/"),
    }
}

fn headers(found: &HttpMatch) -> String {
    let one = |of: &ambit_l7::HeaderMatch| {
        format!("{}{}={}", if of.inverted { "!" } else { "" }, of.name, pattern(&of.value))
    };
    found.headers.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn source(of: &SourceMatch) -> String {
    format!("{:?} {:?} {:?}", of.labels, of.namespace, of.subnets)
}

fn rewrite_of(rewrite: &Rewrite) -> String {
    let path = match &rewrite.path {
        None => "-".to_owned(),
        Some(PathRewrite::Full(text)) => format!("full {text}"),
        Some(PathRewrite::Prefix(text)) => format!("prefix {text}"),
        Some(PathRewrite::Regex { regex, replacement }) => format!("{} -> {replacement}", regex.source()),
    };
    format!("{} {path}", rewrite.authority.as_deref().unwrap_or("-"))
}

fn action(rule: &HttpRule) -> String {
    match &rule.action {
        HttpAction::Forward(forward) => {
            let one = |of: &ambit_l7::BackendRef| format!("{} {}", of.weight, backend(&of.backend));
            forward.backends.iter().map(one).collect::<Vec<_>>().join(", ")
        }
        HttpAction::Redirect(to) => {
            let path = to.path.clone().map(|path| rewrite_of(&Rewrite { authority: None, path: Some(path) }));
            let (scheme, host) = (to.scheme.as_deref().unwrap_or("-"), to.host.as_deref().unwrap_or("-"));
            format!("{} {scheme} {host} {:?}{}", to.status.as_u16(), to.port, path.unwrap_or_default())
        }
        HttpAction::Respond(with) => format!("{} {:?}", with.status.as_u16(), with.body),
    }
}

fn forward_rewrite(rule: &HttpRule) -> String {
    let HttpAction::Forward(forward) = &rule.action else { return "-".to_owned() };
    let of_backends = forward.backends.iter().filter_map(|backend| backend.rewrite.as_ref());
    std::iter::once(&forward.rewrite).chain(of_backends).map(rewrite_of).collect::<Vec<_>>().join("; ")
}

#[test]
fn every_field_of_a_match_is_there() {
    type Show = fn(&HttpMatch) -> String;
    for (written, show, expected) in [
        ("uri: {exact: /A}", path as Show, "/A false"),
        ("uri: {prefix: /A}, ignoreUriCase: true", path, "/a* true"),
        ("uri: {regex: '/a[0-9]+'}, ignoreUriCase: true", path, "~/a[0-9]+ false"),
        ("name: m", |m| m.name.to_string(), "m"),
        ("scheme: {exact: HTTPS}", |m| pattern(m.scheme.as_ref().unwrap()), "https"),
        ("method: {regex: 'GET|HEAD'}", |m| pattern(m.method.as_ref().unwrap()), "~GET|HEAD"),
        ("authority: {prefix: Reviews.}", |m| pattern(m.authority.as_ref().unwrap()), "reviews.*"),
        ("headers: {X-User: {exact: a}, y: {prefix: b}, z: {}}", headers, "x-user=a y=b* z=*"),
        ("headers: {x: {exact: ''}, y: {regex: '*'}}", headers, "x=* y=*"),
        ("withoutHeaders: {x: {regex: 'a+'}, y: {}}", headers, "!x=~a+ !y=*"),
        (
            "queryParams: {q: {exact: ''}, r: {}}",
            |m| format!("{:?}", m.query.iter().map(|q| (&*q.name, pattern(&q.value))).collect::<Vec<_>>()),
            r#"[("q", ""), ("r", "*")]"#,
        ),
        ("port: 9080", |m| format!("{:?}", m.port), "Some(9080)"),
        ("sourceLabels: {app: web}", |m| source(&m.source), r#"{"app": "web"} None []"#),
        ("sourceNamespace: front", |m| source(&m.source), r#"{} Some("front") []"#),
        ("gateways: [mesh, x], uri: {exact: /}", path, "/ false"),
    ] {
        let (rules, said) = compile(&format!("match: [{{{written}}}]\n  {ROUTE}"));
        assert!(said.is_empty(), "{written}: {said:?}");
        assert_eq!(show(the_match(&rules.http[0])), expected, "{written}");
    }
    // A name for statistics changes nothing, and that is said.
    let (rules, said) = compile(&format!("match: [{{statPrefix: x}}]\n  {ROUTE}"));
    assert_eq!((rules.http.len(), said.len()), (1, 1));
    assert!(said[0].starts_with("warning spec.http[0].match[0].statPrefix: of no effect"), "{said:?}");
    // What is for gateways alone is for nobody here.
    let (rules, _) = compile(&format!("match: [{{gateways: [edge]}}]\n  {ROUTE}\n- {ROUTE}"));
    assert_eq!(
        rules.http.iter().map(|rule| rule.origin.to_string()).collect::<Vec<_>>(),
        ["VirtualService shop/vs spec.http[1]"]
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_field_of_a_rule_is_there() {
    type Show = fn(&HttpRule) -> String;
    let retry: Show = |rule| {
        let retry = rule.retry.as_ref().unwrap();
        let (timeout, backoff) = (retry.per_try_timeout, retry.backoff);
        let flags = (retry.remote_localities, retry.avoid_previous_hosts);
        format!("{} {timeout:?} {backoff:?} {flags:?} {:?} {}", retry.attempts, retry.on.statuses, retry.on.reset)
    };
    let fault: Show = |rule| format!("{:?} {:?}", rule.fault.delay, rule.fault.abort);
    let mirrors: Show = |rule| {
        let one = |of: &ambit_l7::Mirror| format!("{} {:?}", backend(&of.backend), of.fraction);
        rule.mirrors.iter().map(one).collect::<Vec<_>>().join(" ")
    };
    let headers: Show = |rule| format!("{:?} {:?}", rule.request_headers, rule.response_headers);
    for (written, show, expected) in [
        ("name: first", (|rule| rule.origin.name.to_string()) as Show, "first"),
        ("timeout: 1.5s", |rule| format!("{:?}", rule.timeout), "Some(1.5s)"),
        ("timeout: 0s", |rule| format!("{:?}", rule.timeout), "None"),
        ("rewrite: {uri: /x, authority: a.b}", forward_rewrite, "a.b prefix /x"),
        ("rewrite: {uriRegexRewrite: {match: '^/a/(.*)', rewrite: '/b/\\1'}}", forward_rewrite, "- ^/a/(.*) -> /b/\\1"),
        ("headers: {request: {set: {Host: a.b}}}", forward_rewrite, "a.b -"),
        ("retries: {attempts: 3}", retry, "3 None Some(25ms) (false, true) [503] false"),
        (
            "retries: {attempts: 0, perTryTimeout: 2s, retryOn: 'reset,504', retryRemoteLocalities: true, retryIgnorePreviousHosts: false, backoff: 1s}",
            retry,
            "0 Some(2s) Some(1s) (true, false) [504] true",
        ),
        (
            "fault: {delay: {fixedDelay: 2s, percentage: {value: 0.1}}}",
            fault,
            "Some(Delay { duration: 2s, fraction: Fraction(1000) }) None",
        ),
        (
            "fault: {delay: {fixedDelay: 2s, percent: 50}}",
            fault,
            "Some(Delay { duration: 2s, fraction: Fraction(500000) }) None",
        ),
        (
            "fault: {abort: {httpStatus: 418}}",
            fault,
            "None Some(Abort { with: Http(418), fraction: Fraction(1000000) })",
        ),
        (
            "fault: {abort: {grpcStatus: UNAVAILABLE, percentage: {value: 100}}}",
            fault,
            "None Some(Abort { with: Grpc(14), fraction: Fraction(1000000) })",
        ),
        ("mirror: {host: details.other}", mirrors, "other/details.other.svc.cluster.local:9080 Fraction(1000000)"),
        (
            "mirror: {host: ratings, port: {number: 80}}\n  mirrorPercentage: {value: 5}",
            mirrors,
            "shop/ratings.shop.svc.cluster.local:80 Fraction(50000)",
        ),
        (
            "mirror: {host: reviews}\n  mirrorPercent: 0",
            mirrors,
            "shop/reviews.shop.svc.cluster.local:9080 Fraction(0)",
        ),
        (
            "mirrors: [{destination: {host: reviews, subset: v2}, percentage: {value: 1}}, {destination: {host: gone}}]",
            mirrors,
            "shop/reviews.shop.svc.cluster.local:9080/v2 Fraction(10000) 503 gone.shop.svc.cluster.local Fraction(1000000)",
        ),
        (
            "headers: {request: {set: {a: b%%}, add: {c: d}, remove: [e]}, response: {remove: [F]}}",
            headers,
            r#"HeaderChanges { set: [("a", "b%")], add: [("c", "d")], remove: ["e"] } HeaderChanges { set: [], add: [], remove: ["f"] }"#,
        ),
    ] {
        let (rules, said) = compile(&format!("{ROUTE}\n  {written}"));
        assert_eq!(said.len(), written.matches("gone").count(), "{written}: {said:?}");
        assert_eq!(show(&rules.http[0]), expected, "{written}");
    }
}

#[test]
fn what_browsers_may_do() {
    for (written, expected) in [
        (
            "allowOrigins: [{exact: 'https://a'}, {prefix: b}, {regex: 'c+'}, {exact: '*'}]",
            "https://a,b*,~c+,* [] false [] [] None false true",
        ),
        ("allowOrigin: ['*', 'https://a']", "*,https://a [] false [] [] None false true"),
        ("allowMethods: [GET, '*']", " [GET] true [] [] None false true"),
        ("allowHeaders: [x, '*'], exposeHeaders: [w]", r#" [] false ["x", "*"] ["w"] None false true"#),
        ("maxAge: 1h, allowCredentials: true, unmatchedPreflights: IGNORE", " [] false [] [] Some(3600s) true false"),
        ("unmatchedPreflights: FORWARD", " [] false [] [] None false true"),
    ] {
        let (rules, said) = compile(&format!("{ROUTE}\n  corsPolicy: {{{written}}}"));
        assert!(said.is_empty(), "{written}: {said:?}");
        let cors = rules.http[0].cors.as_ref().unwrap();
        let found = format!(
            "{} {:?} {} {:?} {:?} {:?} {} {}",
            patterns(&cors.origins),
            cors.methods,
            cors.any_method,
            cors.headers,
            cors.expose,
            cors.max_age,
            cors.credentials,
            cors.forward_unmatched
        );
        assert_eq!(found, expected, "{written}");
    }
}

#[test]
fn where_requests_go() {
    let details = "other/details.other.svc.cluster.local:9080";
    for (written, expected) in [
        ("route: [{destination: {host: reviews}}]", "1 shop/reviews.shop.svc.cluster.local:9080".to_owned()),
        (
            "route: [{destination: {host: reviews.shop, subset: v1}, weight: 90}, {destination: {host: details.other.svc.cluster.local}, weight: 10}]",
            format!("90 shop/reviews.shop.svc.cluster.local:9080/v1, 10 {details}"),
        ),
        (
            "route: [{destination: {host: reviews, port: {number: 81}}}]",
            "1 503 reviews.shop.svc.cluster.local".to_owned(),
        ),
        ("route: [{destination: {host: a.wild.example}}]", "1 ext/*.wild.example:443".to_owned()),
        ("route: [{destination: {host: api.example.com}}]", "1 shop/api.example.com:443".to_owned()),
        (
            "route: [{destination: {host: multi.other, port: {number: 443}}}]",
            "1 other/multi.other.svc.cluster.local:443".to_owned(),
        ),
        // The port that the client asked for is not one of that service.
        ("route: [{destination: {host: multi.other}}]", "1 503 multi.other.svc.cluster.local".to_owned()),
        ("redirect: {uri: /x, authority: 'a.b:81', redirectCode: 307}", "307 - a.b Number(81)- full /x".to_owned()),
        ("redirect: {scheme: https, port: 8443}", "301 https - Number(8443)".to_owned()),
        ("redirect: {derivePort: FROM_PROTOCOL_DEFAULT}", "301 - - OfScheme".to_owned()),
        ("redirect: {derivePort: FROM_REQUEST_PORT, prefixRewrite: /y}", "301 - - FromRequest- prefix /y".to_owned()),
        ("directResponse: {status: 503, body: {string: sorry}}", r#"503 b"sorry""#.to_owned()),
        ("directResponse: {status: 200, body: {bytes: aGk=}}", r#"200 b"hi""#.to_owned()),
    ] {
        let (rules, _) = compile(written);
        assert_eq!(action(&rules.http[0]), expected, "{written}");
    }
}

#[test]
fn what_is_a_backend_s_own() {
    let (rules, said) = compile(
        "rewrite: {uri: /x}\n  route:\n  - {destination: {host: reviews}, weight: 1, headers: {request: {set: {host: a.b, c: d}}, response: {add: {e: f}}}}\n  - {destination: {host: reviews}, weight: 1}",
    );
    assert!(said.is_empty(), "{said:?}");
    assert_eq!(forward_rewrite(&rules.http[0]), "- prefix /x; a.b prefix /x");
    let HttpAction::Forward(forward) = &rules.http[0].action else { panic!() };
    let of = &forward.backends[0];
    assert_eq!(format!("{:?} {:?}", of.request_headers.set, of.response_headers.add), r#"[("c", "d")] [("e", "f")]"#);
}

#[test]
fn a_destination_without_a_port_has_that_of_the_client() {
    let mut mesh = Mesh::new();
    let spec = "hosts: [ratings]\nhttp:\n- match: [{uri: {exact: /}}, {port: 8080}]\n  route: [{destination: {host: multi.other}}]\n- route: [{destination: {host: ratings}}]";
    let delta = mesh.put(&object("VirtualService", "shop/vs", spec));
    assert_eq!(
        said(&delta),
        [
            "warning spec.http[0]: the service multi.other.svc.cluster.local has no port 8080: requests are answered 503 until it has"
        ]
    );
    let rules = mesh.rules("shop/ratings.shop.svc.cluster.local");
    let found: Vec<_> = rules
        .http
        .iter()
        .map(|rule| format!("{:?} {}", rule.matches.iter().map(|m| m.port).collect::<Vec<_>>(), action(rule)))
        .collect();
    assert_eq!(
        found,
        [
            "[Some(80)] 1 other/multi.other.svc.cluster.local:80",
            "[Some(8080), Some(8080)] 1 503 multi.other.svc.cluster.local",
            "[Some(80)] 1 shop/ratings.shop.svc.cluster.local:80",
            "[Some(8080)] 1 shop/ratings.shop.svc.cluster.local:8080",
        ]
    );
}

#[test]
fn rules_for_connections() {
    let l4 = |of: &L4Match| format!("{:?} {:?} {}", of.destination_subnets, of.port, source(&of.source));
    let route = "route: [{destination: {host: reviews, subset: v1}, weight: 3}, {destination: {host: details.other}, weight: 1}]";
    for (written, expected) in [
        ("sniHosts: [A.b, '*.c.d', '*']", "a.b,*.c.d,* [] None {} None []"),
        (
            "sniHosts: [a.b], destinationSubnets: [10.0.0.0/8, 1.2.3.4], port: 443",
            "a.b [10.0.0.0/8, 1.2.3.4/32] Some(443) {} None []",
        ),
        (
            "sniHosts: [a.b], sourceLabels: {a: b}, sourceNamespace: c, gateways: [mesh]",
            r#"a.b [] None {"a": "b"} Some("c") []"#,
        ),
    ] {
        let (rules, said) = compile_spec(&format!("hosts: [reviews]\ntls:\n- match: [{{{written}}}]\n  {route}"));
        assert!(said.is_empty(), "{written}: {said:?}");
        let found = &rules.tls[0].matches[0];
        assert_eq!(format!("{} {}", patterns(&found.server_names), l4(&found.connection)), expected, "{written}");
        let backends = rules.tls[0].backends.iter().map(|of| format!("{} {}", of.weight, backend(&of.backend)));
        assert_eq!(
            backends.collect::<Vec<_>>(),
            ["3 shop/reviews.shop.svc.cluster.local:9080/v1", "1 other/details.other.svc.cluster.local:9080"]
        );
    }
    for (written, expected) in [
        ("destinationSubnets: ['fd00::/8'], port: 9080", "[fd00::/8] Some(9080) {} None []"),
        ("sourceSubnet: 10.1.0.0/16, sourceLabels: {a: b}", r#"[] None {"a": "b"} None [10.1.0.0/16]"#),
        ("sourceNamespace: c, gateways: [mesh]", r#"[] None {} Some("c") []"#),
    ] {
        let (rules, said) = compile_spec(&format!("hosts: [reviews]\ntcp:\n- match: [{{{written}}}]\n  {route}"));
        assert!(said.is_empty(), "{written}: {said:?}");
        assert_eq!(l4(&rules.tcp[0].matches[0]), expected, "{written}");
    }
    let (rules, said) =
        compile_spec(&format!("hosts: [reviews]\ntcp:\n- {route}\n- match: [{{gateways: [edge]}}]\n  {route}"));
    assert_eq!((rules.tcp.len(), rules.tcp[0].matches.len(), said.len()), (1, 0, 0));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_cannot_be_meant_is_refused() {
    let http = |rule: &str| format!("hosts: [reviews]\nhttp:\n- {rule}");
    let route = |rule: &str| http(&format!("{ROUTE}\n  {rule}"));
    for (spec, expected) in [
        (
            route("fault: {abort: {http2Error: X, httpStatus: 500}}"),
            "spec.http[0].fault.abort.http2Error: not supported",
        ),
        (
            route("fault: {delay: {exponentialDelay: 1s, fixedDelay: 1s}}"),
            "fault.delay.exponentialDelay: not supported",
        ),
        (route("fault: {delay: {percent: 5}}"), "fault.delay.fixedDelay: required"),
        (route("fault: {delay: {fixedDelay: 1s, percent: 101}}"), "101 is out of range"),
        (route("fault: {abort: {httpStatus: 99}}"), "fault.abort.httpStatus: 99 is out of range"),
        (route("fault: {abort: {grpcStatus: NOPE}}"), "fault.abort.grpcStatus: \"NOPE\""),
        (route("fault: {abort: {}}"), "fault.abort: required"),
        (route("match: [{uri: {regex: '('}}]"), "match[0].uri.regex: \"(\" is no regular expression"),
        (route("match: [{uri: {prefix: ''}}]"), "match[0].uri: required: a text"),
        (route("match: [{headers: {'a b': {exact: c}}}]"), "is not the name of a header"),
        (route("match: [{port: 0}]"), "match[0].port: 0 is out of range"),
        (route("match: [{sourceNamespace: A_}]"), "match[0].sourceNamespace"),
        (
            route("rewrite: {uri: /, uriRegexRewrite: {match: a, rewrite: b}}"),
            "uriRegexRewrite: cannot be combined with uri",
        ),
        (route("rewrite: {}"), "rewrite: required"),
        (route("rewrite: {uriRegexRewrite: {match: '[', rewrite: b}}"), "uriRegexRewrite.match"),
        (route("retries: {attempts: 1, retryOn: nonsense}"), "retries.retryOn: "),
        (route("retries: {attempts: 1, perTryTimeout: 1us}"), "retries.perTryTimeout: too short"),
        (
            route("mirror: {host: reviews}\n  mirrors: [{destination: {host: reviews}}]"),
            "mirrors: cannot be combined with mirror",
        ),
        (route("mirrorPercentage: {value: 1}"), "mirrorPercentage: required: mirror"),
        (
            route("headers: {request: {set: {a: '%DOWNSTREAM_REMOTE_ADDRESS%'}}}"),
            "%DOWNSTREAM_REMOTE_ADDRESS% is not supported",
        ),
        (route("headers: {request: {add: {host: a}}}"), "headers.request.add.host: host cannot be changed"),
        (route("headers: {response: {remove: [Transfer-Encoding]}}"), "headers.response.remove[0]"),
        (route("headers: {request: {set: {':path': /}}}"), "it is a part of the request itself"),
        (route("corsPolicy: {allowMethods: ['G ET']}"), "corsPolicy.allowMethods[0]"),
        (route("redirect: {uri: /}"), "spec.http[0].route: cannot be combined with redirect"),
        (
            http("redirect: {uri: /}\n  directResponse: {status: 200}"),
            "directResponse: cannot be combined with redirect",
        ),
        (http("redirect: {uri: /, redirectCode: 304}"), "redirect.redirectCode"),
        (http("redirect: {port: 1, derivePort: FROM_REQUEST_PORT}"), "redirect.derivePort: cannot be combined"),
        (http("redirect: {uri: /}\n  fault: {abort: {httpStatus: 500}}"), "fault: cannot be combined with redirect"),
        (http("directResponse: {status: 99}"), "directResponse.status"),
        (http("directResponse: {status: 200, body: {bytes: '!'}}"), "directResponse.body.bytes"),
        (http("name: x"), "spec.http[0]: required: one of route"),
        (
            http("route: [{destination: {host: a}, weight: 0}, {destination: {host: b}}]"),
            "spec.http[0].route: the weights add up to 0",
        ),
        (http("route: [{destination: {host: ''}}]"), "route[0].destination.host: required"),
        (http("route: [{destination: {host: 'a b'}}]"), "route[0].destination.host: \"a b\""),
        (http("delegate: {name: x}\n  route: [{destination: {host: a}}]"), "route: cannot be combined with delegate"),
        (format!("hosts: ['*']\nhttp:\n- {ROUTE}"), "spec.hosts[0]: \"*\" is every host"),
        (format!("hosts: [10.0.0.1]\nhttp:\n- {ROUTE}"), "spec.hosts[0]: not supported"),
        (format!("hosts: [reviews]\nexportTo: [A]\nhttp:\n- {ROUTE}"), "spec.exportTo[0]"),
        ("hosts: [reviews]".to_owned(), "spec: required: http, tls or tcp"),
        (format!("gateways: [mesh]\nhttp:\n- {ROUTE}"), "spec.gateways: hosts required"),
        ("http:\n- delegate: {name: x}".to_owned(), "spec.http[0].delegate"),
        ("hosts: [reviews]\ntls:\n- route: [{destination: {host: a}}]".to_owned(), "spec.tls[0].match: required"),
        (
            "hosts: [reviews]\ntls:\n- match: [{sniHosts: ['a b']}]\n  route: [{destination: {host: a}}]".to_owned(),
            "sniHosts[0]",
        ),
        (
            "hosts: [reviews]\ntcp:\n- match: [{sourceSubnet: x}]\n  route: [{destination: {host: a}}]".to_owned(),
            "sourceSubnet[0]",
        ),
        ("hosts: [reviews]\ntcp:\n- match: []".to_owned(), "spec.tcp[0].route: required"),
    ] {
        let (rules, said) = compile_spec(&spec);
        assert!(said.iter().any(|said| said.starts_with("error ") && said.contains(expected)), "{spec}: {said:?}");
        assert!(said.iter().any(|said| said.contains("not in force")), "{spec}: {said:?}");
        assert_eq!(*rules, ServiceRules::default(), "{spec}");
    }
}

#[test]
fn a_delegate_s_rules_are_narrowed_by_their_root() {
    let root = |rule: &str| object("VirtualService", "shop/root", &format!("hosts: [reviews]\nhttp:\n- {rule}"));
    let leaf = |spec: &str| object("VirtualService", "team/leaf", spec);
    let delegate = "delegate: {name: leaf, namespace: team}";
    let to = "route: [{destination: {host: details.other}}]";
    for (root_rule, leaf_rule, expected) in [
        ("match: [{uri: {prefix: /a}}]", "match: [{uri: {prefix: /a/b}}]", Some("/a/b* false  None")),
        (
            "match: [{uri: {prefix: /a}}]",
            "match: [{uri: {exact: /a/c}, headers: {x: {exact: v}}}]",
            Some("/a/c false x=v None"),
        ),
        ("match: [{uri: {prefix: /a}}]", "match: [{uri: {prefix: /b}}]", None),
        ("match: [{uri: {exact: /a}}]", "match: [{uri: {prefix: /a}}]", None),
        ("match: [{uri: {regex: /a.*}}]", "match: [{uri: {exact: /ab}}]", None),
        ("match: [{headers: {x: {}}}]", "match: [{headers: {x: {exact: v}}}]", Some("any x=v None")),
        ("match: [{withoutHeaders: {x: {exact: a}}}]", "match: [{withoutHeaders: {x: {exact: b}}}]", None),
        ("match: [{port: 1}]", "match: [{port: 2}]", None),
        ("match: [{sourceLabels: {a: b}}]", "match: [{sourceLabels: {a: c}}]", None),
        ("match: [{uri: {prefix: /a}}]", "name: x", Some("/a* false  None")),
        ("timeout: 3s", "match: [{uri: {prefix: /a}}]", Some("/a* false  Some(3s)")),
        ("timeout: 3s", "match: [{uri: {prefix: /a}}]\n  timeout: 1s", Some("/a* false  Some(1s)")),
        ("match: [{gateways: [edge]}]", "name: x", None),
    ] {
        let mut mesh = Mesh::new();
        mesh.put(&leaf(&format!("http:\n- {leaf_rule}\n  {to}")));
        let delta = mesh.put(&root(&format!("{delegate}\n  {root_rule}")));
        let rules = mesh.rules(REVIEWS);
        let shown = |rule: &Arc<HttpRule>| {
            let of = the_match(rule);
            assert_eq!(action(rule), "1 other/details.other.svc.cluster.local:9080");
            format!("{} {} {:?}", path(of), headers(of), rule.timeout)
        };
        assert_eq!(rules.http.first().map(shown).as_deref(), expected, "{root_rule} {leaf_rule}");
        assert_eq!(said(&delta).len(), usize::from(expected.is_none()), "{root_rule} {leaf_rule}: {:?}", said(&delta));
    }
    // It may come later, be hidden, and go.
    let mut mesh = Mesh::new();
    let delta = mesh.put(&root(&format!("name: r\n  {delegate}")));
    assert_eq!(
        said(&delta),
        ["warning spec.http[0].delegate: there is no VirtualService team/leaf to delegate to: the rule is left out"]
    );
    let delta = mesh.put(&leaf(&format!("http:\n- {to}\n  name: l")));
    assert!(said(&delta).is_empty(), "{delta:?}");
    assert_eq!(mesh.rules(REVIEWS).http[0].origin.to_string(), "VirtualService team/leaf spec.http[0] (r-l)");
    let delta = mesh.put(&leaf(&format!("exportTo: [.]\nhttp:\n- {to}")));
    assert!(said(&delta)[0].contains("is not exported"), "{delta:?}");
    assert!(mesh.rules(REVIEWS).http.is_empty());
}
