//! Examples that have every field of every kind a waypoint serves: each is read without a word, and none is
//! forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::kind::{Entry, Lookup, lookup};
use crate::{FieldPath, Object, StringMatch, document, gateway_api, parse_file, parse_object, virtual_service};

const FILES: [(&str, &str); 5] = [
    ("virtual_service.yaml", include_str!("examples/virtual_service.yaml")),
    ("destination_rule.yaml", include_str!("examples/destination_rule.yaml")),
    ("security.yaml", include_str!("examples/security.yaml")),
    ("ambit.yaml", include_str!("examples/ambit.yaml")),
    ("gateway_api.yaml", include_str!("examples/gateway_api.yaml")),
];

fn objects(name: &str) -> Vec<Object> {
    let (_, text) = FILES.iter().find(|(file, _)| *file == name).unwrap();
    parse_file(name, text).objects.into_iter().map(|parsed| Arc::unwrap_or_clone(parsed.object)).collect()
}

#[test]
fn every_example_is_read_without_a_word() {
    for (name, text) in FILES {
        let file = parse_file(name, text);
        assert_eq!(file.issues.iter().map(ToString::to_string).collect::<Vec<_>>(), [] as [&str; 0]);
    }
}

/// By the fields a type has, those that examples show.
type Shown = BTreeMap<&'static [&'static str], BTreeSet<String>>;

#[test]
fn every_field_is_in_an_example() {
    let mut shown = Shown::new();
    for (_, text) in FILES {
        for document in document::split(text) {
            let (value, _) = document.read().unwrap();
            let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap();
            let Lookup::Known(entry) = lookup(text("apiVersion"), text("kind")) else { panic!("{value}") };
            show(entry, &FieldPath::of("spec"), &value["spec"], &mut shown);
        }
    }
    assert!(shown.len() > 100, "{}", shown.len());
    for (fields, shown) in shown {
        let missing: Vec<_> = fields.iter().filter(|field| !shown.contains(**field)).collect();
        assert!(missing.is_empty(), "{missing:?} of {fields:?} in no example");
    }
}

fn show(entry: &Entry, path: &FieldPath, value: &Value, shown: &mut Shown) {
    match value {
        Value::Object(fields) => {
            let known = (entry.fields_of)(path.segments());
            if !known.is_empty() {
                shown.entry(known).or_default().extend(fields.keys().cloned());
            }
            fields.iter().for_each(|(name, below)| show(entry, &path.field(name), below, shown));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, item)| show(entry, &path.index(at), item, shown));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// At an object of every type: a field that does not exist, and every field with a value of no type.
#[test]
fn no_field_is_lost_and_no_type_mistaken() {
    for (file, text) in FILES {
        for document in document::split(text) {
            let (value, _) = document.read().unwrap();
            let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap();
            let Lookup::Known(entry) = lookup(text("apiVersion"), text("kind")) else { panic!("{value}") };
            let mut places = BTreeMap::new();
            find_places(entry, &FieldPath::of("spec"), &value["spec"], &mut places);
            for (fields, path) in places {
                let said = said(file, &value, &path, "noSuchField", &1.into());
                assert!(said.contains(&format!("{path}.noSuchField: unknown field")), "{said:?}");
                for field in fields {
                    let said = self::said(file, &value, &path, field, &serde_json::json!([[[[true]]]]));
                    assert!(said.contains(": error: "), "{path}.{field}: {said:?}");
                }
            }
        }
    }
}

/// What is said of an object with one field changed.
fn said(file: &str, object: &Value, path: &FieldPath, field: &str, value: &Value) -> String {
    let mut object = object.clone();
    at(&mut object, path).insert(field.to_owned(), value.clone());
    let issues = match parse_object(object, &file.into()) {
        Ok((_, issues)) => issues,
        Err(refusal) => refusal.issues,
    };
    issues.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// For every type that is read field by field, by its fields, a place where it stands.
fn find_places(
    entry: &Entry,
    path: &FieldPath,
    value: &Value,
    found: &mut BTreeMap<&'static [&'static str], FieldPath>,
) {
    match value {
        Value::Object(fields) => {
            let known = (entry.fields_of)(path.segments());
            if !known.is_empty() {
                found.entry(known).or_insert_with(|| path.clone());
            }
            fields.iter().for_each(|(name, below)| find_places(entry, &path.field(name), below, found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, item)| find_places(entry, &path.index(at), item, found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn at<'a>(value: &'a mut Value, path: &FieldPath) -> &'a mut Map<String, Value> {
    use crate::field_path::Segment;
    let found = path.segments().iter().fold(value, |value, segment| match segment {
        Segment::Field(name) => &mut value[name],
        Segment::Index(at) => &mut value[at],
    });
    found.as_object_mut().unwrap()
}

#[test]
fn what_is_read_is_what_is_written() {
    let [Object::VirtualService(service)] = &*objects("virtual_service.yaml") else { panic!() };
    let [canary, .., old, _, older] = &*service.spec.http else { panic!() };
    assert_eq!(canary.timeout.unwrap().0.as_millis(), 1500);
    assert_eq!(canary.mirror_percentage.unwrap().value.per_million(), 333_000);
    assert_eq!(canary.matches[0].headers["x-canary"], StringMatch::Exact("yes".to_owned()));
    assert_eq!(canary.matches[0].headers["x-there"], StringMatch::Present);
    assert_eq!((old.mirror_percent, older.mirror_percent), (Some(50), Some(5)));
    assert_eq!(old.fault.as_ref().and_then(|fault| fault.delay.as_ref()?.percent), Some(10));
    let policy = old.cors_policy.as_ref().unwrap();
    assert_eq!(
        (policy.allow_origin.len(), policy.unmatched_preflights),
        (1, virtual_service::UnmatchedPreflights::Unspecified)
    );

    let [Object::DestinationRule(rule)] = &*objects("destination_rule.yaml") else { panic!() };
    let [v1, old, ..] = &*rule.spec.subsets else { panic!() };
    assert_eq!(v1.traffic_policy, rule.spec.traffic_policy);
    let balancer = old.traffic_policy.as_ref().and_then(|policy| policy.load_balancer.as_ref()).unwrap();
    assert_eq!(balancer.simple, Some(crate::destination_rule::SimpleLb::LeastConn));
    assert_eq!(balancer.warmup_duration_secs.unwrap().0.as_secs(), 30);
}

#[test]
fn what_the_api_server_fills_in_is_filled_in() {
    let [_, _, Object::HttpRoute(route), ..] = &*objects("gateway_api.yaml") else { panic!() };
    let parent = &route.spec.parent_refs[1];
    assert_eq!((&*parent.group, &*parent.kind, &parent.namespace), (gateway_api::GROUP, "Gateway", &None));
    let backend = &route.spec.rules[0].backend_refs[0];
    assert_eq!((&*backend.group, &*backend.kind, backend.weight), ("", "Service", 90));
    let path = gateway_api::PathMatch::default();
    assert_eq!((path.kind, &*path.value), (gateway_api::PathMatchType::PathPrefix, "/"));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_is_wrong_is_said_where_it_stands() {
    let service = |http: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: v}}\nspec: {{http: [{http}]}}"
        )
    };
    let limit = |rule: &str| {
        format!(
            "apiVersion: ambit.io/v1alpha1\nkind: RateLimitPolicy\nmetadata: {{name: l}}\nspec: {{rules: [{rule}]}}"
        )
    };
    let route = |rule: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: r}}\nspec: {{rules: [{rule}]}}"
        )
    };
    for (text, expected) in [
        (service("{timeout: 5}"), "spec.http[0].timeout: invalid type: integer `5`, expected a string"),
        (
            service("{timeout: fast}"),
            r#"spec.http[0].timeout: "fast" is not a duration: a number with its unit is expected, like 1.5s, 250ms or 1m30s"#,
        ),
        (
            service("{match: [{uri: {exact: a, prefix: b}}]}"),
            "spec.http[0].match[0].uri: only one of exact, prefix and regex can be set",
        ),
        (
            service("{match: [{uri: {exakt: a}}]}"),
            "spec.http[0].match[0].uri.exakt: unknown field; did you mean exact?",
        ),
        (service("{match: [{url: {exact: a}}]}"), "spec.http[0].match[0].url: unknown field; did you mean uri?"),
        (service("{route: [{weight: -1}]}"), "spec.http[0].route[0].weight: invalid value: integer `-1`, expected u32"),
        (
            service("{mirrorPercentage: {value: 101}}"),
            "spec.http[0].mirrorPercentage.value: 101 is not a percentage: a number from 0 to 100 is expected",
        ),
        (
            service("{corsPolicy: {unmatchedPreflights: DROP}}"),
            "spec.http[0].corsPolicy.unmatchedPreflights: unknown variant `DROP`, expected one of `UNSPECIFIED`, `FORWARD`, `IGNORE`",
        ),
        (
            limit("{key: [{clientIp: true, path: true}]}"),
            "spec.rules[0].key[0]: exactly one of clientIdentity, clientIp, path, method, header and claim is to be set, the first four to true",
        ),
        (
            limit("{match: {methods: []}}"),
            "spec.rules[0].match.methods: an empty list: leave the field out, or give it values",
        ),
        (
            route("{timeouts: {request: 1.5s}}"),
            r#"spec.rules[0].timeouts.request: "1.5s" is not a duration of the Gateway API: whole numbers of at most five digits with h, m, s or ms, at most four of them, like 1m30s"#,
        ),
        (route("{filters: [{type: Absent}]}"), "spec.rules[0].filters[0].type: unknown variant `Absent`"),
        (
            route("{matches: [{paths: {value: /}}]}"),
            "spec.rules[0].matches[0].paths: unknown field; did you mean path?",
        ),
    ] {
        let file = parse_file("f.yaml", &text);
        let [issue] = &*file.issues else { panic!("{expected}: {:?}", file.issues) };
        assert!(issue.is_error());
        assert!(issue.to_string().contains(expected), "{issue}\n{expected}");
    }
}

#[test]
fn lists_without_items_are_as_good_as_none_where_they_widen_nothing() {
    for text in [
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v}\nspec: {gateways: [], http: [{match: [], timeout: null}]}",
        "apiVersion: gateway.networking.k8s.io/v1\nkind: TCPRoute\nmetadata: {name: r}\nspec: {rules: []}",
        "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: r}\nspec: {jwtRules: []}",
    ] {
        assert_eq!(parse_file("f.yaml", text).issues, []);
    }
}
