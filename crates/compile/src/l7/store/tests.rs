use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use ambit_resources::{Kind, Lines, ObjectId};

use super::L7Cost;
use crate::Input;
use crate::l7::fixtures::{Mesh, REVIEWS, backend, inputs, key, object, said, service};

const RATINGS: &str = "shop/ratings.shop.svc.cluster.local";

fn virtual_service(name: &str, spec: &str) -> String {
    object("VirtualService", name, spec)
}

fn to(host: &str) -> String {
    format!("http: [{{route: [{{destination: {{host: {host}}}}}]}}]")
}

/// Where the rules for a service are written, and where they lead.
fn routes(mesh: &Mesh, service: &str) -> Vec<String> {
    let rules = mesh.rules(service);
    let one = |rule: &Arc<ambit_l7::HttpRule>| {
        let ambit_l7::HttpAction::Forward(forward) = &rule.action else { return rule.origin.to_string() };
        format!("{} {}", rule.origin.object, backend(&forward.backends[0].backend))
    };
    rules.http.iter().map(one).collect()
}

#[test]
fn which_virtual_services_are_in_force() {
    let to_reviews = "shop/reviews.shop.svc.cluster.local:9080";
    for (objects, expected) in [
        (&[("shop/a", "hosts: [reviews]")][..], &["a"][..]),
        (&[("shop/a", "hosts: [reviews.shop]")], &["a"]),
        (&[("shop/a", "hosts: [reviews.shop.svc.cluster.local]\ngateways: [edge, mesh]")], &["a"]),
        (&[("shop/a", "hosts: [reviews]\ngateways: [edge]")], &[]),
        (&[("shop/b", "hosts: [reviews]"), ("shop/a", "hosts: [reviews]")], &["a", "b"]),
        (&[("shop/a", "hosts: ['*.shop.svc.cluster.local']")], &["a"]),
        (&[("shop/a", "hosts: ['*.shop.svc.cluster.local']"), ("shop/b", "hosts: [reviews]")], &["b"]),
        (&[("other/a", "hosts: [reviews.shop.svc.cluster.local]")], &[]),
        (&[("shop/a", "hosts: [reviews]\nexportTo: ['~']")], &[]),
        (&[("shop/a", "hosts: [reviews]\nexportTo: [.]")], &["a"]),
        (&[("shop/a", "hosts: [ratings]")], &[]),
    ] {
        let mut mesh = Mesh::new();
        for (name, spec) in objects {
            mesh.put(&virtual_service(name, &format!("{spec}\n{}", to("reviews.shop.svc.cluster.local"))));
        }
        let expected: Vec<_> = expected.iter().map(|name| format!("VirtualService shop/{name} {to_reviews}")).collect();
        assert_eq!(routes(&mesh, REVIEWS), expected, "{objects:?}");
    }
    let delta = Mesh::new()
        .put(&virtual_service("other/a", &format!("hosts: [reviews.shop.svc.cluster.local]\n{}", to("reviews"))));
    assert!(said(&delta)[0].contains("from its own namespace (shop/waypoint)"), "{delta:?}");
}

#[test]
fn a_change_costs_what_it_concerns() {
    let mut mesh = Mesh::new();
    let delta = mesh.put(&virtual_service("shop/a", &format!("hosts: [reviews]\n{}", to("reviews"))));
    assert_eq!(
        (delta.services.as_slice(), delta.cost),
        (&[key(REVIEWS)][..], L7Cost { objects: 1, routed: 1, services: 1, traffic: 0 })
    );
    // Another object for the same service: the first is not looked up again.
    let b = virtual_service("shop/b", &format!("hosts: [reviews, ratings]\n{}", to("details.other")));
    let delta = mesh.put(&b);
    assert_eq!(delta.cost, L7Cost { objects: 1, routed: 2, services: 2, traffic: 0 });
    assert_eq!(routes(&mesh, REVIEWS).len(), 2);
    let before = mesh.rules(REVIEWS);
    // The same again: nothing comes out otherwise.
    let delta = mesh.put(&b);
    assert_eq!((delta.services.len(), delta.issues.len()), (0, 0));
    assert!(Arc::ptr_eq(&before, &mesh.rules(REVIEWS)));
    // A service that somebody leads to, and one that nobody does.
    let delta = mesh.remove_service("other/details.other.svc.cluster.local");
    assert_eq!(delta.services, [key(RATINGS), key(REVIEWS)]);
    assert_eq!(delta.cost, L7Cost { objects: 0, routed: 2, services: 2, traffic: 1 });
    assert!(said(&delta)[0].contains("no service has the host"), "{delta:?}");
    assert!(Arc::ptr_eq(&before.http[0], &mesh.rules(REVIEWS).http[0]), "what is as it was is shared");
    let delta = mesh.put_service(&service("other/unknown.other.svc.cluster.local", &[1], false));
    assert_eq!((delta.cost, delta.services.len()), (L7Cost { traffic: 1, ..L7Cost::default() }, 0));
    // It comes back.
    let delta = mesh.put_service(&service("other/details.other.svc.cluster.local", &[9080], false));
    assert_eq!((delta.services.len(), delta.issues.len(), said(&delta).len()), (2, 1, 0));
    // A host of a wildcard's.
    mesh.put(&virtual_service("shop/c", &format!("hosts: [ratings]\n{}", to("a.wild.example"))));
    let delta = mesh.remove_service("ext/*.wild.example");
    assert_eq!(delta.services, [key(RATINGS)]);
    // An object goes.
    let delta = mesh.remove(ObjectId { kind: Kind::VirtualService, namespace: "shop".into(), name: "b".into() });
    assert_eq!(delta.services, [key(RATINGS), key(REVIEWS)]);
    assert_eq!(routes(&mesh, REVIEWS), ["VirtualService shop/a shop/reviews.shop.svc.cluster.local:9080"]);
}

#[test]
fn a_service_comes_and_goes() {
    let mut mesh = Mesh::new();
    mesh.put(&virtual_service("shop/a", &format!("hosts: [late]\n{}", to("late"))));
    let late = "shop/late.shop.svc.cluster.local";
    assert!(routes(&mesh, late).is_empty());
    mesh.put_service(&service(late, &[80], false));
    assert!(routes(&mesh, late).is_empty(), "it is not this waypoint's");
    mesh.put_service(&service(late, &[80], true));
    assert_eq!(routes(&mesh, late), ["VirtualService shop/a shop/late.shop.svc.cluster.local:80"]);
    mesh.put_service(&service(late, &[81], true));
    assert_eq!(routes(&mesh, late), ["VirtualService shop/a shop/late.shop.svc.cluster.local:81"]);
    mesh.put_service(&service(late, &[81], false));
    assert!(!mesh.config().services.contains_key(&key(late)));
}

#[test]
fn an_object_that_is_not_valid_keeps_its_last_version() {
    let mut mesh = Mesh::new();
    mesh.put(&virtual_service("shop/a", &format!("hosts: [reviews]\n{}", to("reviews"))));
    for broken in ["hosts: [reviews]", "hosts: [reviews]\nnonsense: 1"] {
        let delta = mesh.put(&virtual_service("shop/a", broken));
        assert!(said(&delta).iter().any(|said| said.contains("the last valid version stays in force")), "{delta:?}");
        assert_eq!(routes(&mesh, REVIEWS).len(), 1);
    }
    let delta =
        mesh.put(&virtual_service("shop/a", &format!("hosts: [ratings]\n{}", to("ratings, port: {number: 80}"))));
    assert_eq!((delta.services.len(), delta.issues.len(), said(&delta).len()), (2, 1, 0));
}

#[test]
fn the_mesh_says_what_is_tried_again() {
    let mut mesh = Mesh::new();
    assert_eq!(mesh.config().retry.map(|retry| retry.attempts), Some(2));
    let config = "defaultHttpRetryPolicy: {attempts: 5, retryOn: reset}";
    let delta = mesh.put(&object("MeshConfig", "shop/default", config));
    assert!(said(&delta)[0].contains("only the one of the name default"), "{delta:?}");
    assert!(mesh.put(&object("MeshConfig", "istio-system/default", config)).default);
    assert_eq!(mesh.config().retry.map(|retry| (retry.attempts, retry.on.reset)), Some((5, true)));
    mesh.remove(ObjectId { kind: Kind::MeshConfig, namespace: "istio-system".into(), name: "default".into() });
    assert_eq!(mesh.config().retry.map(|retry| retry.attempts), Some(2));
}

#[test]
fn the_mesh_says_who_sees_what_does_not_say_so() {
    let mut mesh = Mesh::new();
    mesh.put(&virtual_service("shop/main", "hosts: [reviews]\nhttp: [{delegate: {name: part, namespace: far}}]"));
    mesh.put(&object("VirtualService", "far/part", "http: [{route: [{destination: {host: reviews.shop}}]}]"));
    mesh.put(&object(
        "DestinationRule",
        "istio-system/all",
        "host: reviews.shop.svc.cluster.local\ntrafficPolicy: {loadBalancer: {simple: RANDOM}}",
    ));
    for (config, routed, ruled) in [
        ("{}", true, true),
        ("defaultVirtualServiceExportTo: [.]", false, true),
        ("defaultDestinationRuleExportTo: [.]", true, false),
        ("{defaultDestinationRuleExportTo: [shop], defaultVirtualServiceExportTo: [shop]}", true, true),
        ("{defaultDestinationRuleExportTo: ['~'], defaultServiceExportTo: [.]}", true, false),
    ] {
        mesh.put(&object("MeshConfig", "istio-system/default", config));
        let found = (!routes(&mesh, REVIEWS).is_empty(), mesh.config().traffic.contains_key(&key(REVIEWS)));
        assert_eq!(found, (routed, ruled), "{config}");
    }
    mesh.remove(ObjectId { kind: Kind::MeshConfig, namespace: "istio-system".into(), name: "default".into() });
    assert!(mesh.config().traffic.contains_key(&key(REVIEWS)));
    let delta = mesh.put(&object("MeshConfig", "istio-system/default", "defaultServiceExportTo: ['A']"));
    assert!(said(&delta)[0].contains("spec.defaultServiceExportTo[0]"), "{delta:?}");
}

#[test]
fn the_mesh_says_what_becomes_of_paths() {
    use ambit_l7::PathNormalization::{Base, DecodeAndMergeSlashes, MergeSlashes, None};
    let mut mesh = Mesh::new();
    assert_eq!(mesh.config().path_normalization, Base);
    for (written, expected) in [
        ("MERGE_SLASHES", MergeSlashes),
        ("DECODE_AND_MERGE_SLASHES", DecodeAndMergeSlashes),
        ("DEFAULT", Base),
        ("NONE", None),
        ("BASE", Base),
        ("NONE", None),
    ] {
        let config = format!("pathNormalization: {{normalization: {written}}}");
        let delta = mesh.put(&object("MeshConfig", "istio-system/default", &config));
        assert!(delta.default && said(&delta).is_empty(), "{delta:?}");
        assert_eq!(mesh.config().path_normalization, expected, "{written}");
    }
    assert!(
        mesh.remove(ObjectId { kind: Kind::MeshConfig, namespace: "istio-system".into(), name: "default".into() })
            .default
    );
    assert_eq!(mesh.config().path_normalization, Base);
}

#[test]
fn nothing_is_of_no_effect_in_silence() {
    let provider = |kind: &str| format!("extensionProviders: [{{name: a, {kind}}}]");
    for (kind, spec, field) in [
        ("MeshConfig", "connectTimeout: 1s".to_owned(), "connectTimeout"),
        ("MeshConfig", "localityLbSetting: {enabled: true}".to_owned(), "localityLbSetting"),
        (
            "MeshConfig",
            provider("envoyExtAuthzGrpc: {service: a, port: 1, clearRouteCache: true}"),
            "extensionProviders[0].envoyExtAuthzGrpc.clearRouteCache",
        ),
    ] {
        let words = said(&Mesh::new().put(&object(kind, "istio-system/default", &spec)));
        let field = if field.is_empty() { "spec".to_owned() } else { format!("spec.{field}") };
        assert!(
            words.iter().any(|said| said.starts_with(&format!("warning {field}: of no effect"))),
            "{spec}: {words:?}"
        );
    }
}

#[test]
fn a_port_that_no_rule_is_about_is_as_without_rules() {
    let mut mesh = Mesh::new();
    let to_8080 = "hosts: [ratings]\nhttp: [{match: [{port: 8080}], route: [{destination: {host: reviews}}]}]";
    mesh.put(&virtual_service("shop/a", to_8080));
    let own = format!("Service {RATINGS} {RATINGS}:80");
    assert_eq!(routes(&mesh, RATINGS), [format!("VirtualService shop/a {REVIEWS}:9080"), own]);
    assert_eq!(mesh.rules(RATINGS).http[1].matches[0].port, Some(80));
    mesh.put(&virtual_service("shop/b", &format!("hosts: [ratings]\n{}", to("reviews"))));
    assert_eq!(routes(&mesh, RATINGS).len(), 2, "another object's rule is about all ports");
}

#[test]
fn a_rule_for_one_port_becomes_one_for_all() {
    let mut mesh = Mesh::new();
    let multi = "other/multi.other.svc.cluster.local";
    mesh.put_service(&service(RATINGS, &[80, 443], true));
    mesh.put(&virtual_service("shop/a", &format!("hosts: [ratings]\n{}", to("multi.other"))));
    let ports = |mesh: &Mesh| {
        let rules = mesh.rules(RATINGS);
        rules.http.iter().map(|rule| rule.matches.iter().map(|of| of.port).collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    assert_eq!(ports(&mesh), [[Some(80)], [Some(443)]]);
    mesh.put_service(&service(multi, &[80], false));
    assert_eq!(ports(&mesh), [[None; 0]]);
    assert_eq!(routes(&mesh, RATINGS), ["VirtualService shop/a other/multi.other.svc.cluster.local:80"]);
    mesh.put_service(&service(multi, &[80, 443], false));
    assert_eq!(ports(&mesh), [[Some(80)], [Some(443)]]);
}

/// What a change costs with 5,000 routes for one host, in one object and in as many. Times are shown, not judged.
#[test]
fn a_change_among_many_routes_is_small() {
    const ROUTES: usize = 5_000;
    let route = |i: usize| {
        format!(
            "- match: [{{uri: {{regex: '/r{i}/[0-9]+'}}, headers: {{x-{i}: {{exact: a}}}}}}]\n  route: [{{destination: {{host: reviews, subset: v{i}}}}}]\n"
        )
    };
    let mut one = "hosts: [reviews]\nhttp:\n".to_owned();
    for i in 0..ROUTES {
        write!(one, "{}", route(i)).unwrap();
    }
    let mut mesh = Mesh::new();
    mesh.put(&virtual_service("shop/one", &one));
    let before = mesh.rules(REVIEWS);
    assert_eq!(before.http.len(), ROUTES);
    let changed = inputs(&virtual_service("shop/one", &one.replace("subset: v4711}", "subset: other}")));
    let delta = timed("one object of 5,000 routes", &mut mesh, changed);
    assert_eq!(delta, L7Cost { objects: 1, routed: 1, services: 1, traffic: 0 });
    let after = mesh.rules(REVIEWS);
    let made = before.http.iter().zip(&after.http).filter(|(before, after)| !Arc::ptr_eq(before, after)).count();
    assert_eq!(made, 1, "only the rule that changed is another");

    let object = |i: usize, subset: &str| {
        let route = route(i).replace(&format!("subset: v{i}}}"), &format!("subset: {subset}}}"));
        inputs(&virtual_service(&format!("shop/vs-{i}"), &format!("hosts: [reviews]\nhttp:\n{route}")))
    };
    let mut mesh = Mesh::new();
    let all: Vec<_> = (0..ROUTES).flat_map(|i| object(i, "v")).collect();
    mesh.store.apply(all, [], &mesh.services);
    assert_eq!(mesh.rules(REVIEWS).http.len(), ROUTES);
    let delta = timed("one of 5,000 objects", &mut mesh, object(4711, "other"));
    assert_eq!(delta, L7Cost { objects: 1, routed: 1, services: 1, traffic: 0 });
}

fn timed(what: &str, mesh: &mut Mesh, mut changed: Vec<Input>) -> L7Cost {
    for input in &mut changed {
        let Input::Put(parsed, _) = input else { continue };
        parsed.origin.lines = Lines::default(); // in a cluster there are none
    }
    let begin = Instant::now();
    let delta = mesh.store.apply(changed, [], &mesh.services);
    println!("{what}: {:?}", begin.elapsed());
    assert_eq!(delta.services, [key(REVIEWS)]);
    delta.cost
}
