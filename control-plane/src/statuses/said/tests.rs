use ambit_compile::{Accepted, ResolvedRefs, RouteCondition};
use ambit_resources::{FieldPath, ObjectId};

use super::*;

const KIND: Kind = Kind::HttpRoute;

fn standing(kind: Kind, parents: &Value, shown: &Value) -> Standing {
    let metadata = json!({ "generation": 3, "resourceVersion": "7" });
    let object = json!({ "metadata": metadata, "spec": { "parentRefs": parents }, "status": { section(kind): shown } });
    Standing::of(kind, &object, "v1")
}

/// `type status reason` of each condition of an entry, with its time.
fn conditions(of: &Value) -> Vec<String> {
    let text = |it: &Value| {
        let text = |field: &str| it[field].as_str().unwrap_or_default().to_owned();
        assert_eq!(it["observedGeneration"], 3);
        format!("{} {} {} {}", text("type"), text("status"), text("reason"), text("lastTransitionTime"))
    };
    of.as_array().into_iter().flatten().map(text).collect()
}

fn status(parent: usize, accepted: Accepted, resolved: ResolvedRefs, partly: Option<&str>) -> ParentStatus {
    ParentStatus {
        parent,
        accepted: RouteCondition { reason: accepted, message: String::new() },
        resolved_refs: RouteCondition { reason: resolved, message: String::new() },
        partially_invalid: partly.map(str::to_owned),
    }
}

#[test]
fn a_route_is_told_of_its_parents_and_those_of_others_stay() {
    let service = |name: &str| json!({ "group": "", "kind": "Service", "name": name });
    let foreign = json!({ "group": GATEWAY_API, "kind": "Gateway", "name": "edge" });
    let theirs = json!({ "parentRef": foreign, "controllerName": "example.com/edge", "conditions": [] });
    let gone = json!({ "parentRef": service("old"), "controllerName": CONTROLLER, "conditions": [] });
    let parents = json!([foreign, service("web"), service("alone")]);
    let statuses = [
        (
            status(1, Accepted::Accepted, ResolvedRefs::BackendNotFound, None),
            "Accepted True Accepted t1|ResolvedRefs False BackendNotFound t1",
        ),
        (
            status(1, Accepted::Conflicted, ResolvedRefs::ResolvedRefs, None),
            "Accepted False Conflicted t1|ResolvedRefs True ResolvedRefs t1",
        ),
        (
            status(1, Accepted::Accepted, ResolvedRefs::RefNotPermitted, Some("no")),
            "Accepted True Accepted t1|ResolvedRefs False RefNotPermitted t1|PartiallyInvalid True UnsupportedValue t1",
        ),
    ];
    for (status, expected) in statuses {
        let said = Said { route: RouteStatus { parents: vec![status] }, ..Said::default() };
        let before = standing(KIND, &parents, &json!([gone, theirs]));
        let wanted = said.wanted(KIND, &before, "t1");
        let named: Vec<_> = wanted.iter().map(|entry| entry["parentRef"]["name"].clone()).collect();
        assert_eq!(named, ["edge", "web", "alone"], "theirs, and ours in the route's order");
        assert_eq!(wanted[0], theirs);
        assert_eq!(conditions(&wanted[1]["conditions"]).join("|"), expected);
        assert_eq!(conditions(&wanted[2]["conditions"]), ["Accepted False NoMatchingParent t1"]);
        // Once it is written, nothing else is wanted, whatever the time.
        let after = standing(KIND, &parents, &json!(wanted));
        assert_eq!(said.wanted(KIND, &after, "t2"), wanted);
    }
}

#[test]
fn a_condition_that_no_longer_holds_is_gone_and_one_that_changes_knows_when() {
    let parents = json!([{ "group": "", "kind": "Service", "name": "web" }]);
    let said = |accepted, partly| {
        let parents = vec![status(0, accepted, ResolvedRefs::ResolvedRefs, partly)];
        Said { route: RouteStatus { parents }, ..Said::default() }
    };
    let first = said(Accepted::Accepted, Some("no")).wanted(KIND, &standing(KIND, &parents, &json!([])), "t1");
    let second = said(Accepted::UnsupportedValue, None).wanted(KIND, &standing(KIND, &parents, &json!(first)), "t2");
    let expected = ["Accepted False UnsupportedValue t2", "ResolvedRefs True ResolvedRefs t1"];
    assert_eq!(conditions(&second[0]["conditions"]), expected);
}

#[test]
fn a_backend_tls_policy_is_told_of_each_waypoint() {
    let kind = Kind::BackendTlsPolicy;
    let issue = |severity, problem: L7Problem| Issue {
        severity,
        file: "kubernetes".into(),
        line: 0,
        object: Some(ObjectId { kind, namespace: "shop".into(), name: "p".into() }),
        field: FieldPath::of("spec"),
        problem: problem.into(),
    };
    let missing: L7Problem = RouteProblem::NoAuthorities { kind: "Secret".into(), name: "ca".into() }.into();
    let older = L7Problem::OlderWins { winner: "BackendTLSPolicy shop/a".into() };
    let required = L7Problem::Required { what: "a name" };
    let good = "Accepted True Accepted t|ResolvedRefs True ResolvedRefs t";
    for (found, expected) in [
        (vec![], good),
        (
            vec![issue(Severity::Warning, missing)],
            "Accepted False NoValidCACertificate t|ResolvedRefs False InvalidCACertificateRef t",
        ),
        (vec![issue(Severity::Warning, older)], "Accepted False Conflicted t|ResolvedRefs True ResolvedRefs t"),
        (vec![issue(Severity::Error, required)], "Accepted False Invalid t|ResolvedRefs True ResolvedRefs t"),
    ] {
        let waypoint = |name: &str| GatewayKey { namespace: "shop".into(), name: name.into() };
        let waypoints = [(waypoint("a"), found), (waypoint("b"), vec![])].into();
        let said = Said { waypoints, ..Said::default() };
        let wanted = said.wanted(kind, &standing(kind, &json!([]), &json!([])), "t");
        let shown: Vec<_> = wanted.iter().map(|entry| conditions(&entry["conditions"]).join("|")).collect();
        assert_eq!(shown, [expected, good]);
        assert_eq!(wanted[1]["ancestorRef"]["name"], "b");
    }
}

#[test]
fn a_service_is_told_of_its_waypoint_and_of_nothing_else() {
    let kind = Kind::Service;
    let other = json!({ "type": "LoadBalancerReady", "status": "True" });
    let bound = Condition::new(WAYPOINT_BOUND, true, "WaypointAccepted", "behind waypoint shop/wp");
    let said = Said { waypoint: Some(bound), ..Said::default() };
    let wanted = said.wanted(kind, &standing(kind, &json!([]), &json!([other])), "t");
    assert_eq!(wanted[0], other);
    assert_eq!(conditions(&json!([wanted[1]])), ["istio.io/WaypointBound True WaypointAccepted t"]);
    let unbound = Said::default().wanted(kind, &standing(kind, &json!([]), &json!(wanted)), "t");
    assert_eq!(unbound, [other]);
}
