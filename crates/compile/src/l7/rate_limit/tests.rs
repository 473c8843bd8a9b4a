use ambit_l7::{AttachedLimit, LimitScope};

use super::*;
use crate::l7::fixtures::{Mesh, REVIEWS, object, said};

const RATINGS: &str = "shop/ratings.shop.svc.cluster.local";

fn policy(spec: &str) -> String {
    object("RateLimitPolicy", "shop/limits", spec)
}

/// A policy of one rule for reviews.
fn of_rule(rule: &str) -> String {
    policy(&format!("targetRefs: [{{kind: Service, name: reviews}}]\nrules: [{rule}]"))
}

fn limits(mesh: &Mesh, service: &str) -> Vec<AttachedLimit> {
    mesh.rules(service).limits.clone()
}

#[test]
fn all_of_a_rule_arrives() {
    let mut mesh = Mesh::new();
    let said = said(&mesh.put(&of_rule(
        "{name: a, match: {methods: [POST], paths: [{prefix: /pay}], headers: {x-a: {}}, principals: ['*/sa/cart'],
          namespaces: [shop]},
          key: [{clientIdentity: true}, {clientIp: true}, {path: true}, {method: true}, {header: X-User}, {claim: a.b}],
          local: {requests: 10, per: 2s}, dryRun: true, responseHeaders: false}",
    )));
    assert_eq!(said, [""; 0]);
    let [attached] = &limits(&mesh, REVIEWS)[..] else { panic!() };
    assert_eq!(attached.scopes, [LimitScope::All]);
    let limit = &attached.limit;
    assert_eq!((limit.policy.to_string().as_str(), &*limit.name), ("shop/limits", "a"));
    assert!(limit.dry_run && !limit.told && !limit.resource_exhausted);
    let names: Vec<_> = limit.key.iter().map(LimitKey::name).collect();
    assert_eq!(names, ["client_identity", "remote_address", "path", "method", "x-user", "a.b"]);
    let ten = NonZeroU32::new(10).unwrap();
    let rate = Rate { requests: ten, per: Duration::from_secs(2), burst: ten };
    assert_eq!(limit.counter, LimitCounter::Local(rate));
    let when = format!("{:?}", limit.when);
    for part in ["POST", "Prefix(\"/pay\")", "x-a", "Suffix(\"/sa/cart\")", "Exact(\"shop\")"] {
        assert!(when.contains(part), "{part} in {when}");
    }
}

#[test]
fn what_cannot_be_meant_is_an_error_where_it_stands() {
    let local = "local: {requests: 1, per: 1s}";
    for (rule, expected) in [
        ("{name: A, local: {requests: 1, per: 1s}}", "spec.rules[0].name"),
        ("{name: a}", "spec.rules[0]: required: one of local and global"),
        (&format!("{{name: a, {local}}}, {{name: a, {local}}}"), "spec.rules[1].name: \"a\" is there already"),
        (&format!("{{name: a, {local}, global: {{}}}}"), "spec.rules[0].global: cannot be combined with local"),
        ("{name: a, global: {domain: x}}", "spec.rules[0].global: spec.global required with it"),
        ("{name: a, local: {requests: 0, per: 1s}}", "spec.rules[0].local.requests: 0 is out of range"),
        ("{name: a, local: {requests: 1, per: 1s, burst: 0}}", "spec.rules[0].local.burst: 0 is out of range"),
        ("{name: a, local: {requests: 1}}", "spec.rules[0].local.per: too short"),
        (&format!("{{name: a, {local}, key: [{{header: 'a b'}}]}}"), "spec.rules[0].key[0].header"),
        (&format!("{{name: a, {local}, key: [{{claim: a..b}}]}}"), "spec.rules[0].key[0].claim"),
        (&format!("{{name: a, {local}, match: {{paths: [{{regex: '('}}]}}}}"), "spec.rules[0].match.paths[0].regex"),
    ] {
        let mut mesh = Mesh::new();
        let said = said(&mesh.put(&of_rule(rule)));
        assert!(said.iter().any(|said| said.starts_with(&format!("error {expected}"))), "{rule}: {said:?}");
        assert!(limits(&mesh, REVIEWS).is_empty(), "{rule}");
    }
    let rules = format!("rules: [{{name: a, {local}}}]");
    for (spec, expected) in [
        (rules.clone(), "spec.targetRefs: required"),
        ("targetRefs: [{kind: Service, name: reviews}]".to_owned(), "spec.rules: required"),
        (format!("targetRefs: [{{kind: Pod, name: a}}]\n{rules}"), "spec.targetRefs[0].kind"),
        (
            format!(
                "targetRefs: [{{kind: ServiceEntry, group: networking.istio.io, name: a, sectionName: b}}]\n{rules}"
            ),
            "spec.targetRefs[0].sectionName",
        ),
        (
            "targetRefs: [{kind: Service, name: reviews}]\nglobal: {}\nrules: [{name: a, global: {}}]".to_owned(),
            "spec.global.host: required",
        ),
        (
            "targetRefs: [{kind: Service, name: reviews}]\nglobal: {host: a, port: 1, domain: d}\n\
             rules: [{name: a, global: {}}]"
                .to_owned(),
            "spec.rules[0].global.descriptors: required",
        ),
    ] {
        let said = said(&Mesh::new().put(&policy(&spec)));
        assert!(said.iter().any(|said| said.starts_with(&format!("error {expected}"))), "{spec}: {said:?}");
    }
}

#[test]
fn a_policy_that_is_no_longer_valid_stays_as_it_was() {
    let mut mesh = Mesh::new();
    mesh.put(&of_rule("{name: a, local: {requests: 1, per: 1s}}"));
    mesh.put(&of_rule("{name: a}"));
    assert_eq!(limits(&mesh, REVIEWS).len(), 1);
}

/// Attaches a limit to a target; says what of both services it is about.
fn attached(mesh: &mut Mesh, target: &str) -> [Vec<LimitScope>; 2] {
    let rule = "{name: a, local: {requests: 1, per: 1s}}";
    mesh.put(&policy(&format!("targetRefs: [{target}]\nrules: [{rule}]")));
    [REVIEWS, RATINGS].map(|service| limits(mesh, service).into_iter().flat_map(|of| of.scopes).collect())
}

#[test]
fn limits_hang_on_waypoints_services_and_rules_of_routes() {
    let mut mesh = Mesh::new();
    let routes =
        "hosts: [reviews]\nhttp: [{name: pay, match: [{uri: {prefix: /pay}}], route: [{destination: {host: reviews}}]},
      {route: [{destination: {host: reviews}}]}]";
    mesh.put(&object("VirtualService", "shop/routes", routes));
    let route = |rule: Option<&str>| LimitScope::Route {
        object: "VirtualService shop/routes".into(),
        rule: rule.map(Into::into),
    };
    let gateway = "{kind: Gateway, group: gateway.networking.k8s.io, name: waypoint}";
    let other = "{kind: Gateway, group: gateway.networking.k8s.io, name: other}";
    let service = "{kind: Service, name: reviews}";
    let routes = "{kind: VirtualService, group: networking.istio.io, name: routes}";
    let pay = "{kind: VirtualService, group: networking.istio.io, name: routes, sectionName: pay}";
    let gone = "{kind: VirtualService, group: networking.istio.io, name: routes, sectionName: gone}";
    for (target, reviews, ratings) in [
        (gateway, vec![LimitScope::All], vec![LimitScope::All]),
        (other, vec![], vec![]),
        (service, vec![LimitScope::All], vec![]),
        (routes, vec![route(None)], vec![]),
        (pay, vec![route(Some("pay"))], vec![]),
        (gone, vec![], vec![]),
    ] {
        assert_eq!(attached(&mut mesh, target), [reviews, ratings], "{target}");
    }
    assert!(mesh.config().default.limits.is_empty());
    attached(&mut mesh, gateway);
    assert_eq!(mesh.config().default.limits.len(), 1, "traffic to workloads too");
}

#[test]
fn a_limit_follows_the_routes_it_hangs_on() {
    let mut mesh = Mesh::new();
    let target = "{kind: VirtualService, group: networking.istio.io, name: routes}";
    assert_eq!(attached(&mut mesh, target), [vec![], vec![]]);
    mesh.put(&object(
        "VirtualService",
        "shop/routes",
        "hosts: [reviews]\nhttp: [{route: [{destination: {host: reviews}}]}]",
    ));
    assert_eq!(limits(&mesh, REVIEWS).len(), 1);
    mesh.put(&object(
        "VirtualService",
        "shop/routes",
        "hosts: [ratings]\nhttp: [{route: [{destination: {host: reviews}}]}]",
    ));
    assert_eq!((limits(&mesh, REVIEWS).len(), limits(&mesh, RATINGS).len()), (0, 1));
}

#[test]
fn a_section_that_is_not_there_is_said_as_long_as_the_route_is_there() {
    let mut mesh = Mesh::new();
    let route = |host: &str, name: &str| {
        let http = format!("http: [{{name: {name}, route: [{{destination: {{host: reviews}}}}]}}]");
        object("VirtualService", "shop/routes", &format!("hosts: [{host}]\n{http}"))
    };
    let routes = || ambit_resources::ObjectId {
        kind: ambit_resources::Kind::VirtualService,
        namespace: "shop".into(),
        name: "routes".into(),
    };
    let target = "{kind: VirtualService, group: networking.istio.io, name: routes, sectionName: pay}";
    let missing = |service: &str| {
        format!("warning spec.targetRefs: {service}.shop.svc.cluster.local has no \"pay\": nothing of it is limited")
    };
    let limit = policy(&format!("targetRefs: [{target}]\nrules: [{{name: a, local: {{requests: 1, per: 1s}}}}]"));
    assert_eq!(said(&mesh.put(&limit)), [""; 0]);
    assert_eq!(said(&mesh.put(&route("reviews", "other"))), [missing("reviews")]);
    assert_eq!(said(&mesh.put(&route("ratings", "other"))), [missing("ratings")]);
    // All that was to be said of the limit is said no more.
    let unsaid = |delta: &crate::l7::L7Delta| matches!(&delta.issues[..], [(_, issues)] if issues.is_empty());
    assert!(unsaid(&mesh.put(&route("ratings", "pay"))));
    assert_eq!(said(&mesh.put(&route("ratings", "other"))), [missing("ratings")]);
    assert!(unsaid(&mesh.remove(routes())));
    mesh.put(&route("ratings", "other"));
    assert!(unsaid(&mesh.remove_service(RATINGS)));
}

#[test]
fn the_service_that_counts_is_looked_up_and_missed_aloud() {
    let mut mesh = Mesh::new();
    let spec = "targetRefs: [{kind: Service, name: reviews}]\nglobal: {host: counts.other, port: 8081, domain: shop, failureMode: Allow}
rules: [{name: a, key: [{header: x-user}], global: {}}]";
    let delta = said(&mesh.put(&policy(spec)));
    assert!(delta.iter().any(|said| said.starts_with("warning spec.global: no service has the host")), "{delta:?}");
    let delta = mesh.put_service(&crate::l7::fixtures::service("other/counts.other.svc.cluster.local", &[8081], false));
    assert_eq!(said(&delta), [""; 0]);
    let found = limits(&mesh, REVIEWS);
    let LimitCounter::Global(global) = &found[0].limit.counter else { panic!() };
    assert_eq!(global.service.service.to_string(), "other/counts.other.svc.cluster.local");
    assert_eq!((&*global.domain, global.service.timeout, global.service.fail_open), ("shop", DEFAULT_TIMEOUT, true));
}
