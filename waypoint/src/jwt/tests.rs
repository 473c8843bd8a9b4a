use ambit_l7::{JwtHeader, KeySource, Origin};
use http::{HeaderName, Request, Uri};
use serde_json::json;

use super::*;

fn rule() -> JwtRule {
    JwtRule {
        origin: Origin { object: "RequestAuthentication shop/r".into(), field: "".into(), name: "".into() },
        issuer: "us".into(),
        audiences: Vec::new(),
        keys: KeySource::Discovery,
        from_headers: Vec::new(),
        from_params: Vec::new(),
        from_cookies: Vec::new(),
        output_payload: None,
        output_claims: Vec::new(),
        forward_token: false,
        timeout: std::time::Duration::from_secs(5),
        space_delimited: Vec::new(),
    }
}

fn request(uri: &'static str, headers: &[(&'static str, &str)]) -> Parts {
    let mut request = Request::new(());
    *request.uri_mut() = Uri::from_static(uri);
    for (name, value) in headers {
        request.headers_mut().append(HeaderName::from_static(name), value.parse().unwrap());
    }
    request.into_parts().0
}

#[test]
fn more_tokens_than_there_may_be_are_not_looked_at() {
    let rules = [Arc::new(rule())];
    let mut request = request("/", &[]);
    let query: Vec<_> = (0..1000).map(|i| format!("access_token=t{i}")).collect();
    request.uri = format!("/?{}", query.join("&")).parse().unwrap();
    assert_eq!(places::find(&rules, &request).len(), MAX_TOKENS + 1);
}

#[test]
fn tokens_are_found_and_taken_out_where_rules_say() {
    let by_default = rule();
    let header = JwtHeader { name: HeaderName::from_static("x-token"), prefix: "".into() };
    let by_header = JwtRule { from_headers: vec![header], ..rule() };
    let by_param = JwtRule { from_params: vec!["t".into()], ..rule() };
    let by_cookie = JwtRule { from_cookies: vec!["session".into()], ..rule() };
    let bearer = "authorization";
    for (rule, uri, headers, expected, left) in [
        (&by_default, "/", &[][..], &[][..], "/"),
        (&by_default, "/", &[(bearer, "Bearer a.b.c")], &["a.b.c"], "/"),
        (&by_default, "/", &[(bearer, "bEARER  a.b.c ")], &["a.b.c"], "/"),
        (&by_default, "/", &[(bearer, "Bearer ")], &[], "/ authorization=Bearer "),
        (&by_default, "/", &[(bearer, "Basic Zm9v")], &[], "/ authorization=Basic Zm9v"),
        (&by_default, "/", &[(bearer, "Bearer a"), (bearer, "Bearer b")], &["a", "b"], "/"),
        (&by_default, "/", &[(bearer, "Bearer a, Bearer b")], &["a, Bearer b"], "/"),
        (&by_default, "/p?x=1&access_token=a&y", &[], &["a"], "/p?x=1&y"),
        (&by_default, "/p?access_token=a", &[(bearer, "Bearer a")], &["a"], "/p"),
        (&by_default, "/p?access_token=", &[("x-token", "a")], &[], "/p?access_token= x-token=a"),
        (
            &by_header,
            "/?access_token=a",
            &[("x-token", "b"), (bearer, "Bearer c")],
            &["b"],
            "/?access_token=a authorization=Bearer c",
        ),
        (&by_param, "http://web/?access_token=a&t=b", &[], &["b"], "http://web/?access_token=a"),
        (&by_cookie, "/", &[("cookie", "a=1; session=t; b=2")], &["t"], "/ cookie=a=1; b=2"),
        (&by_cookie, "/", &[("cookie", "session=t"), ("cookie", "b=2")], &["t"], "/ cookie=b=2"),
        (&by_cookie, "/", &[("cookie", "xsession=t")], &[], "/ cookie=xsession=t"),
    ] {
        let mut request = request(uri, headers);
        let rules = [Arc::new(rule.clone())];
        let found: Vec<_> = places::find(&rules, &request).into_iter().map(|found| found.token).collect();
        assert_eq!(found, expected, "{uri} {headers:?}");
        for token in &found {
            places::remove(rule, token, &mut request);
        }
        let mut now = request.uri.to_string();
        for (name, value) in &request.headers {
            now += &format!(" {name}={}", value.to_str().unwrap());
        }
        assert_eq!(now, left, "{uri} {headers:?}");
    }
}

#[test]
fn one_token_is_found_once_and_odd_ones_are_found() {
    let rules = [Arc::new(rule()), Arc::new(rule())];
    let found = places::find(&rules, &request("/?access_token=a", &[("authorization", "Bearer a")]));
    assert_eq!(found.iter().map(|found| (&*found.token, found.rules.len())).collect::<Vec<_>>(), [("a", 2)]);
    let mut odd = request("/", &[]);
    odd.headers.insert("authorization", http::HeaderValue::from_bytes(b"Bearer \xff").unwrap());
    assert_eq!(places::find(&rules, &odd).len(), 1);
}

#[test]
fn what_is_carried_on_is_ours_alone() {
    let path = |path: &[&str]| path.iter().map(|name| Arc::from(*name)).collect::<Vec<Arc<str>>>().into();
    let name = HeaderName::from_static;
    let rule = JwtRule {
        output_payload: Some(name("x-payload")),
        output_claims: vec![
            (name("x-sub"), path(&["sub"])),
            (name("x-age"), path(&["age"])),
            (name("x-admin"), path(&["realm", "admin"])),
            (name("x-list"), path(&["list"])),
            (name("x-evil"), path(&["evil"])),
            (name("x-none"), path(&["none"])),
        ],
        ..rule()
    };
    let all = ["x-payload", "x-sub", "x-age", "x-admin", "x-list", "x-evil", "x-none"];
    let mut request = request("/", &all.map(|name| (name, "the client's")));
    outputs::strip(&[Arc::new(rule.clone())], &mut request.headers);
    assert!(request.headers.is_empty());
    let claims = json!({"sub": "me", "age": 7, "realm": {"admin": true}, "list": ["a"], "evil": "a\r\nb"});
    let claims = Claims::new(claims.as_object().unwrap().clone(), &[]);
    outputs::write(&rule, "head.cGF5bG9hZA.signature", &claims, &mut request.headers);
    let written = |name: &str| request.headers.get(name).map(|value| value.to_str().unwrap());
    assert_eq!(all.map(written), [Some("cGF5bG9hZA"), Some("me"), Some("7"), Some("true"), None, None, None]);
}

#[test]
fn claims_of_an_issuer_that_is_no_longer_believed_do_not_count() {
    let claims = |issuer: &str| Claims::new(json!({"iss": issuer}).as_object().unwrap().clone(), &[]);
    let rules = [Arc::new(rule())];
    assert!(counts(&claims("us"), &rules));
    assert!(!counts(&claims("them"), &rules) && !counts(&claims("us"), &[]));
}
