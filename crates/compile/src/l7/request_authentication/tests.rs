use ambit_l7::{HttpAuthorizationAction, JwtRule};

use crate::l7::fixtures::{Mesh, REVIEWS, object, said};

const TARGET: &str = "targetRefs: [{kind: Service, group: '', name: reviews}]";

fn policy(spec: &str) -> String {
    object("RequestAuthentication", "shop/ra", spec)
}

#[test]
fn every_field_is_there() {
    type Show = fn(&JwtRule) -> String;
    for (written, show, expected) in [
        ("issuer: a", (|rule| rule.issuer.to_string()) as Show, "a"),
        (
            "issuer: a",
            |rule| format!("{} {:?} {:?}", rule.origin, rule.keys, rule.timeout),
            "RequestAuthentication shop/ra spec.jwtRules[0] Discovery 5s",
        ),
        ("issuer: a, audiences: [b, c]", |rule| format!("{:?}", rule.audiences), r#"["b", "c"]"#),
        ("issuer: a, jwksUri: 'https://a/keys'", |rule| format!("{:?}", rule.keys), r#"Uri("https://a/keys")"#),
        (r#"issuer: a, jwks: '{"keys": [{}]}'"#, |rule| format!("{:?}", rule.keys), r#"Inline("{\"keys\": [{}]}")"#),
        (
            "issuer: a, fromHeaders: [{name: X-T, prefix: 'T '}]",
            |rule| format!("{:?}", rule.from_headers),
            r#"[JwtHeader { name: "x-t", prefix: "T " }]"#,
        ),
        (
            "issuer: a, fromParams: [t], fromCookies: [c]",
            |rule| format!("{:?} {:?}", rule.from_params, rule.from_cookies),
            r#"["t"] ["c"]"#,
        ),
        ("issuer: a, outputPayloadToHeader: x-p", |rule| format!("{:?}", rule.output_payload), r#"Some("x-p")"#),
        (
            "issuer: a, outputClaimToHeaders: [{header: x-c, claim: a.b}]",
            |rule| format!("{:?}", rule.output_claims),
            r#"[("x-c", ["a", "b"])]"#,
        ),
        (
            "issuer: a, forwardOriginalToken: true, timeout: 1s",
            |rule| format!("{} {:?}", rule.forward_token, rule.timeout),
            "true 1s",
        ),
        ("issuer: a, spaceDelimitedClaims: [roles]", |rule| format!("{:?}", rule.space_delimited), r#"["roles"]"#),
    ] {
        let mut mesh = Mesh::new();
        let delta = mesh.put(&policy(&format!("{TARGET}\njwtRules: [{{{written}}}]")));
        assert!(said(&delta).is_empty(), "{written}: {delta:?}");
        assert_eq!(show(&mesh.rules(REVIEWS).jwt[0]), expected, "{written}");
    }
}

#[test]
fn what_cannot_be_meant_is_refused_and_everything_with_it() {
    for (written, expected) in [
        ("issuer: ''", "issuer: required"),
        ("issuer: a, jwksUri: a/keys", "jwksUri: \"a/keys\""),
        ("issuer: a, jwks: '{}'", "jwks: \"{}\""),
        (r#"issuer: a, jwks: '{"keys": [{}]}', jwksUri: 'https://a'"#, "jwksUri: cannot be combined"),
        ("issuer: a, fromHeaders: [{name: 'a b'}]", "fromHeaders[0].name"),
        ("issuer: a, outputPayloadToHeader: 'a b'", "outputPayloadToHeader"),
        ("issuer: a, outputClaimToHeaders: [{header: x, claim: a..b}]", "outputClaimToHeaders[0].claim"),
        ("issuer: a, timeout: 0s", "timeout: too short"),
        ("issuer: a, audiences: ['']", "audiences[0]"),
    ] {
        let mut mesh = Mesh::new();
        let delta = mesh.put(&policy(&format!("{TARGET}\njwtRules: [{{{written}}}]")));
        assert!(said(&delta).iter().any(|said| said.contains(expected)), "{written}: {delta:?}");
        let rules = mesh.rules(REVIEWS);
        assert_eq!((rules.jwt.len(), &rules.authorization[0].action), (0, &HttpAuthorizationAction::Deny), "{written}");
    }
}

#[test]
fn what_is_attached_to_nothing_is_said() {
    for (spec, at) in [("jwtRules: [{issuer: a}]", "spec"), ("selector: {matchLabels: {a: b}}", "spec.selector")] {
        let delta = Mesh::new().put(&policy(spec));
        assert!(said(&delta)[0].starts_with(&format!("warning {at}: of no effect")), "{delta:?}");
    }
}
