use super::*;
use crate::telemetry::fixtures::ended;

#[test]
fn expressions_come_to_what_users_expect() {
    for (text, expected) in [
        ("response.code >= 400", Some("true")),
        ("response.code >= 400 && response.code < 500", Some("false")),
        ("response.code == 503 || request.method == 'GET'", Some("true")),
        ("!(response.code == 503)", Some("false")),
        ("connection.mtls", Some("true")),
        ("request.headers['x-a']", Some("1,2")),
        ("request.headers.via", None),
        ("request.headers['X-A'] == '1,2'", Some("true")),
        ("has(request.headers['x-none'])", Some("false")),
        ("has(request.headers['x-a']) ? request.headers['x-a'] : 'none'", Some("1,2")),
        ("has(request.headers['x-none']) ? request.headers['x-none'] : 'none'", Some("none")),
        ("'x-a' in request.headers && !('x-none' in request.headers)", Some("true")),
        ("request.method in ['GET', \"HEAD\"]", Some("true")),
        ("request.method in []", Some("false")),
        ("response.code in [200, 503]", Some("true")),
        ("request.url_path.startsWith('/a')", Some("true")),
        ("request.path.endsWith('=1')", Some("true")),
        ("request.host.contains('review')", Some("true")),
        ("request.url_path.matches('^/[ab]/c$')", Some("true")),
        ("request.url_path.matches('/b')", Some("false")),
        ("request.method.lowerAscii() + '-' + string(response.code)", Some("get-503")),
        ("size(request.method) == 3", Some("true")),
        ("int('7') + 1", Some("8")),
        ("-1 < 0", Some("true")),
        ("request.query", Some("q=1")),
        ("'it\\'s'", Some("it's")),
        ("destination.port", Some("80")),
        ("response.code == '503'", Some("false")),
        ("response.code < '503'", None),
        ("response.grpc_status == 0", None),
        ("response.grpc_status == 0 || response.code == 503", Some("true")),
        ("response.code == 503 || response.grpc_status == 0", Some("true")),
        ("response.code == 200 && response.grpc_status == 0", Some("false")),
        ("response.grpc_status == 0 && response.code == 200", Some("false")),
        ("9223372036854775807 + 1", None),
        ("true ? false ? 1 : 2 : 3", Some("2")),
    ] {
        let parsed = Expression::parse(text).unwrap();
        let found = ended(|ended| (parsed.text(ended), parsed.holds(ended)));
        assert_eq!(found, (expected.map(str::to_owned), expected == Some("true")), "{text}");
    }
}

#[test]
fn what_is_no_expression_is_refused_with_its_reason() {
    for (text, expected) in [
        ("", "an expression is required"),
        ("response.cod == 1", "there is no attribute \"response.cod\""),
        ("response", "there is no attribute \"response\""),
        ("metadata.filter_metadata['a']", "there is no attribute \"metadata.filter_metadata\""),
        ("response.code ==", "expected a value at \"the end\""),
        ("response.code = 1", "\"=\" means nothing in an expression"),
        ("(response.code", "expected ) at \"the end\""),
        ("response.code 1", "expected the end or an operator at \"1\""),
        ("'a", "\"'a\" means nothing in an expression"),
        ("'\\x'", "\"\\\\x\" means nothing in an expression"),
        ("1.5", "\"1.5\" means nothing in an expression"),
        ("foo(1)", "there is no function \"foo\""),
        ("has('a')", "there is no function \"has\""),
        ("request.path.startsWith()", "there is no function \"startsWith\""),
        ("request.path.matches(request.host)", "there is no function \"matches\""),
        ("request.headers", "expected [ at \"the end\""),
        ("request.headers['a b']", "\"a b\" is not the name of a header"),
        ("request.headers[request.path]", "expected the name of a header in quotes at \"request\""),
        ("'a' in request.foo", "there is no attribute \"request.foo\""),
        ("1 in request.headers", "expected a list in brackets at \"request\""),
    ] {
        assert_eq!(Expression::parse(text).unwrap_err().to_string(), expected, "{text}");
    }
    let deep = |depth: usize, open: &str, close: &str| format!("{}true{}", open.repeat(depth), close.repeat(depth));
    for (text, expected) in [
        (deep(40, "(", ")"), None),
        (deep(60, "(", ")"), Some(ExpressionError::TooDeep)),
        (deep(60, "!", ""), Some(ExpressionError::TooDeep)),
        (format!("request.path{}", ".lowerAscii()".repeat(60)), Some(ExpressionError::TooDeep)),
        (vec!["true"; 400].join("||"), None),
        ("true ||".repeat(1000), Some(ExpressionError::TooLong)),
    ] {
        assert_eq!(Expression::parse(&text).err(), expected, "{text}");
    }
}
