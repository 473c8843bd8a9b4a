//! Rules and a request, a line each: the compiled table decides as the rules asked one by one do, and the new paths
//! of whatever decides begin with a slash.
//!
//! The first line is the request's method, authority and path with query; `header name value` gives it a header.
//! Every other line is a rule, or with `+` before it one more match of the rule above.

#![no_main]

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use ambit_l7::{
    ClientView, ConnectionView, Fault, Forward, HeaderChanges, HeaderMatch, HttpAction, HttpMatch, HttpRule, HttpTable,
    Origin, PathMatch, PathRewrite, Pattern, QueryMatch, Redirect, RedirectPort, Regex, RequestView, Rewrite, Verdict,
    explain_http,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = judge(text);
});

fn judge(text: &str) -> Option<()> {
    let mut lines = text.lines();
    let mut request = lines.next()?.splitn(3, ' ');
    let method = Method::from_bytes(request.next()?.as_bytes()).ok()?;
    let authority = request.next()?;
    let target = request.next()?;
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let (headers, rules) = read(lines);

    let connection = ConnectionView { destination_ip: Ipv4Addr::LOCALHOST.into(), port: 80, server_name: None };
    let view = RequestView { method: &method, scheme: "http", authority, path, query, headers: &headers, connection };
    let ip = Ipv4Addr::LOCALHOST.into();
    let client = ClientView { identity: None, ip, remote_ip: ip, labels: &BTreeMap::new(), namespace: None };
    let table = HttpTable::new(&rules);
    let decided = table.decide(&view, &client);
    let explained = explain_http(&rules, &view, &client);
    let first = explained.iter().enumerate().find_map(|(index, rule)| match rule.verdict {
        Verdict::Decides { matched } => Some((index, matched)),
        Verdict::ComesLater { .. } | Verdict::Misses(_) => None,
    });
    assert_eq!(decided.map(|decided| (decided.index, decided.matched)), first, "{}", explained.len());

    let matched = decided?.path;
    let to = PathRewrite::Prefix("/new".into());
    assert!(to.path_and_query(matched, path, query).starts_with('/'));
    let redirect = Redirect {
        status: StatusCode::FOUND,
        scheme: Some("https".into()),
        host: None,
        port: RedirectPort::AsAsked,
        path: Some(to),
    };
    let location = redirect.location(&view, matched);
    // Without a host it is a path, and never one that is read as a host.
    assert!(
        location.starts_with("https://") || (location.starts_with('/') && !location.starts_with("//")),
        "{location}"
    );
    Some(())
}

fn read<'t>(lines: impl Iterator<Item = &'t str>) -> (HeaderMap, Vec<Arc<HttpRule>>) {
    let mut headers = HeaderMap::new();
    let mut rules: Vec<Vec<HttpMatch>> = Vec::new();
    for line in lines.take(64) {
        if let Some((name, value)) = line.strip_prefix("header ").and_then(|header| header.split_once(' ')) {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) {
                headers.append(name, value);
            }
        } else if let Some((more, wanted)) =
            line.strip_prefix('+').and_then(one_match).and_then(|wanted| Some((rules.last_mut()?, wanted)))
        {
            more.push(wanted);
        } else {
            rules.push(one_match(line).into_iter().collect());
        }
    }
    (headers, rules.into_iter().map(rule).collect())
}

fn one_match(line: &str) -> Option<HttpMatch> {
    let (kind, text) = line.split_once(' ')?;
    let path = |pattern, ignore_case| {
        Some(HttpMatch { path: Some(PathMatch::Text { pattern, ignore_case }), ..HttpMatch::default() })
    };
    match kind {
        "exact" => path(Pattern::Exact(text.into()), false),
        "exact-i" => path(Pattern::Exact(text.to_ascii_lowercase().into()), true),
        "prefix" => path(Pattern::Prefix(text.into()), false),
        "prefix-i" => path(Pattern::Prefix(text.to_ascii_lowercase().into()), true),
        "suffix" => path(Pattern::Suffix(text.into()), false),
        "regex" => path(Pattern::Regex(Regex::new(text).ok()?), false),
        "under" => Some(HttpMatch {
            path: Some(PathMatch::Elements(text.trim_end_matches('/').into())),
            ..HttpMatch::default()
        }),
        "query" => {
            let (name, value) = text.split_once('=')?;
            let query = vec![QueryMatch { name: name.into(), value: Pattern::Exact(value.into()) }];
            Some(HttpMatch { query, ..HttpMatch::default() })
        }
        "with" | "without" => {
            let (name, value) = text.split_once(' ')?;
            let (name, value) = (HeaderName::try_from(name).ok()?, Pattern::Prefix(value.into()));
            let headers = vec![HeaderMatch { name, value, inverted: kind == "without" }];
            Some(HttpMatch { headers, ..HttpMatch::default() })
        }
        _ => None,
    }
}

fn rule(matches: Vec<HttpMatch>) -> Arc<HttpRule> {
    let nowhere = Forward { backends: Vec::new(), rewrite: Rewrite::default(), rewrite_to_backend: false };
    Arc::new(HttpRule {
        origin: Origin { object: "VirtualService a/b".into(), field: "spec".into(), name: "".into() },
        matches,
        action: HttpAction::Forward(nowhere),
        timeout: None,
        retry: None,
        fault: Fault::default(),
        mirrors: Vec::new(),
        cors: None,
        request_headers: HeaderChanges::default(),
        response_headers: HeaderChanges::default(),
    })
}
