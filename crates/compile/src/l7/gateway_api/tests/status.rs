use std::fmt::Write;

use ambit_resources::{Kind, ObjectId};

use super::{http, object};
use crate::l7::fixtures::{Mesh, REVIEWS, service};
use crate::l7::{L7Delta, RouteStatus};

/// What is to be said to the one route, in one line.
fn shown(delta: &L7Delta) -> String {
    let [(_, status)] = delta.routes.as_slice() else { return format!("{} statuses", delta.routes.len()) };
    let Some(RouteStatus { parents }) = status else { return "gone".to_owned() };
    let mut out = String::new();
    for parent in parents {
        let (accepted, resolved) = (parent.accepted.reason, parent.resolved_refs.reason);
        write!(out, "{}: {accepted} {resolved}", parent.parent).unwrap();
        if parent.partially_invalid.is_some() {
            out.push_str(" PartiallyInvalid");
        }
        assert_eq!(accepted.is_true(), parent.accepted.message.is_empty(), "{parent:?}");
        assert_eq!(resolved.is_true(), parent.resolved_refs.message.is_empty(), "{parent:?}");
        out.push_str("; ");
    }
    out.trim_end_matches("; ").to_owned()
}

#[test]
fn what_is_said_to_a_route() {
    let reviews = "{group: '', kind: Service, name: reviews}";
    let external = "{filters: [{type: ExternalAuth, externalAuth: {backendRef: {name: reviews, port: 9080}}}]}";
    for (parents, rules, expected) in [
        (reviews, "{}", "0: Accepted ResolvedRefs"),
        ("{group: '', kind: Service, name: reviews, port: 9080}", "{}", "0: Accepted ResolvedRefs"),
        ("{group: '', kind: Service, name: reviews, port: 1}", "{}", "0: NoMatchingParent ResolvedRefs"),
        ("{group: '', kind: Service, name: reviews, sectionName: x}", "{}", "0: NoMatchingParent ResolvedRefs"),
        ("{group: '', kind: Service, name: gone}", "{}", "0: NoMatchingParent ResolvedRefs"),
        // Another's waypoint, or no matter of waypoints.
        ("{group: '', kind: Service, name: details, namespace: other}", "{}", "0 statuses"),
        ("{name: ingress}", "{}", "0 statuses"),
        ("{group: x.y, kind: Z, name: z}", "{}", "0 statuses"),
        ("{name: waypoint}", "{}", "0: Accepted ResolvedRefs"),
        (
            "{name: ingress}, {name: waypoint, port: 1}, {group: '', kind: Service, name: reviews}",
            "{}",
            "1: Accepted ResolvedRefs; 2: Accepted ResolvedRefs",
        ),
        ("{group: networking.istio.io, kind: ServiceEntry, name: entry}", "{}", "0: Accepted ResolvedRefs"),
        (reviews, "{backendRefs: [{name: reviews, port: 9080}]}", "0: Accepted ResolvedRefs"),
        (reviews, "{backendRefs: [{name: gone, port: 80}]}", "0: Accepted BackendNotFound"),
        (reviews, "{backendRefs: [{name: reviews, port: 80}]}", "0: Accepted BackendNotFound"),
        (reviews, "{backendRefs: [{group: a.b, kind: C, name: d}]}", "0: Accepted InvalidKind"),
        (
            reviews,
            "{filters: [{type: ExtensionRef, extensionRef: {group: a.b, kind: C, name: d}}]}",
            "0: Accepted InvalidKind",
        ),
        (
            reviews,
            "{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: gone, port: 1}}}]}",
            "0: Accepted BackendNotFound",
        ),
        (reviews, "{backendRefs: [{name: details, namespace: other, port: 9080}]}", "0: Accepted ResolvedRefs"),
        (
            "{name: waypoint}",
            "{backendRefs: [{name: details, namespace: other, port: 9080}]}",
            "0: Accepted RefNotPermitted",
        ),
        (reviews, external, "0: UnsupportedValue ResolvedRefs"),
        (reviews, &format!("{external}, {{}}"), "0: Accepted ResolvedRefs PartiallyInvalid"),
        (reviews, "{matches: [{path: {type: RegularExpression, value: '('}}]}", "0: UnsupportedValue ResolvedRefs"),
        (
            reviews,
            "{filters: [{type: URLRewrite, urlRewrite: {hostname: a}}, {type: RequestRedirect, requestRedirect: {}}]}",
            "0: IncompatibleFilters ResolvedRefs",
        ),
    ] {
        let spec = format!("parentRefs: [{parents}]\nrules: [{rules}]");
        let delta = Mesh::new().put(&object("HTTPRoute", "shop/route", 0, &spec));
        assert_eq!(shown(&delta), expected, "{spec}");
    }
    let delta =
        Mesh::new().put(&object("HTTPRoute", "other/route", 0, "parentRefs: [{name: waypoint, namespace: shop}]"));
    assert_eq!(shown(&delta), "0: NotAllowedByListeners ResolvedRefs");
}

#[test]
fn a_status_follows_what_it_depends_on() {
    let mut mesh = Mesh::new();
    let route = http("shop/route", 1, "- backendRefs: [{name: gone, port: 80}]");
    assert_eq!(shown(&mesh.put(&route)), "0: Accepted BackendNotFound");
    assert_eq!(shown(&mesh.put(&route)), "0 statuses");
    let gone = "shop/gone.shop.svc.cluster.local";
    assert_eq!(shown(&mesh.put_service(&service(gone, &[80], false))), "0: Accepted ResolvedRefs");
    assert_eq!(shown(&mesh.remove_service(gone)), "0: Accepted BackendNotFound");
    let spec = "parentRefs: [{group: '', kind: Service, name: reviews}]\nrules: [{}]";
    let delta = mesh.put(&object("GRPCRoute", "shop/grpc", 2, spec));
    let said: Vec<_> = delta
        .routes
        .iter()
        .map(|(id, status)| (id.kind, status.clone().unwrap().parents.remove(0).accepted.reason.to_string()))
        .collect();
    let expected = [(Kind::HttpRoute, "Conflicted".to_owned()), (Kind::GrpcRoute, "Accepted".to_owned())];
    assert_eq!(said, expected);
    let grpc = ObjectId { kind: Kind::GrpcRoute, namespace: "shop".into(), name: "grpc".into() };
    assert_eq!(mesh.remove(grpc).routes.len(), 2);
    // A broken version: the last one stays in force, and is not what is asked for.
    let broken = http("shop/route", 1, "- matches: [{path: {value: a}}]");
    assert_eq!(shown(&mesh.put(&broken)), "0: UnsupportedValue ResolvedRefs");
    assert_eq!(shown(&mesh.put(&route)), "0: Accepted BackendNotFound");
    assert_eq!(shown(&mesh.remove_service(REVIEWS)), "0: NoMatchingParent BackendNotFound");
    assert_eq!(shown(&mesh.put_service(&service(REVIEWS, &[9080], false))), "gone");
    assert_eq!(shown(&mesh.put_service(&service(REVIEWS, &[9080], true))), "0: Accepted BackendNotFound");
    let id = ObjectId { kind: Kind::HttpRoute, namespace: "shop".into(), name: "route".into() };
    assert_eq!(shown(&mesh.remove(id)), "gone");
}
