//! Waypoints that take some connections in the place of others.

use super::*;

/// Metadata of what is behind `wp`, with a canary that takes some percent of the connections.
fn with_canary(name: &str, percent: &str) -> Value {
    let mut metadata = json!({"labels": using("wp"), "annotations": {"istio.io/use-waypoint-canary-weight": percent}});
    metadata["labels"]["istio.io/use-waypoint-canary"] = json!(name);
    metadata
}

fn web_with(metadata: Value) -> Value {
    let mut web = service("web");
    merge(&mut web, &json!({ "metadata": metadata }));
    web
}

/// A policy attached to these Gateways.
fn policy(targets: &[&str]) -> Input {
    let targets: Vec<_> = targets.iter().map(|it| json!({"group": GATEWAYS, "kind": "Gateway", "name": it})).collect();
    let mut policy = attached("RequestAuthentication", "p", (GATEWAYS, "Gateway", "wp"));
    policy["spec"]["targetRefs"] = json!(targets);
    put(policy)
}

#[test]
fn a_waypoint_of_workloads_with_policies_has_no_canary() {
    let all = put(gateway("wp", json!({"metadata": {"labels": {"istio.io/waypoint-for": "all"}}})));
    let why = "canary shop/new is beside a waypoint for workloads, too (istio.io/waypoint-for), that has policies \
               attached: it gets no connections";
    let ours = "10 shop/new.shop.svc.cluster.local";
    check(vec![
        (all, "-", vec![]),
        (put(gateway("new", json!({}))), "-", vec![]),
        (put(web_with(with_canary("new", "10"))), ours, vec![]),
        (policy(&["wp", "new"]), "-", vec![why.to_owned()]),
        (put(gateway("wp", json!({}))), ours, vec![]),
    ]);
}

#[test]
fn a_canary_is_had_where_it_may_stand_in_for_the_waypoint() {
    let new = |rest: Value| put(gateway("new", rest));
    let for_workloads = json!({"metadata": {"labels": {"istio.io/waypoint-for": "workload"}}});
    let alone = json!({"labels": {"istio.io/use-waypoint-canary": "new"}, "annotations": {"istio.io/use-waypoint-canary-weight": "25"}});
    let no = |why: &str| format!("canary shop/new {why}: it gets no connections");
    let ours = "10 shop/new.shop.svc.cluster.local";
    let its = "25 shop/new.shop.svc.cluster.local";
    check(vec![
        (put(gateway("wp", json!({}))), "-", vec![]),
        (put(web_with(with_canary("new", "10"))), "-", vec![no("is not there")]),
        (new(json!({})), ours, vec![]),
        (new(for_workloads), "-", vec![no("is not for services (istio.io/waypoint-for)")]),
        (new(allowing(json!({"from": "None"}))), "-", vec![no("does not allow this namespace (allowedRoutes)")]),
        (
            new(json!({"spec": {"gatewayClassName": "nginx"}})),
            "-",
            vec![no("is a Gateway of another class, and no waypoint")],
        ),
        (new(json!({})), ours, vec![]),
        (policy(&["wp"]), "-", vec![no("lacks a policy that is attached to the waypoint (targetRefs)")]),
        (policy(&["wp", "new"]), ours, vec![]),
        (policy(&["new"]), ours, vec![]),
        (remove(Kind::Gateway, "shop", "wp"), "-", vec![no("is of a waypoint that is not there")]),
        (put(gateway("wp", json!({}))), ours, vec![]),
        (put(web_with(with_canary("new", "0"))), "0 shop/new.shop.svc.cluster.local", vec![]),
        (put(web_with(with_canary("new", "101"))), "0 shop/new.shop.svc.cluster.local", vec![]),
        (
            put(web_with(with_canary("wp", "10"))),
            "-",
            vec!["canary shop/wp is the waypoint itself: it gets no connections".to_owned()],
        ),
        (put(web_with(alone.clone())), "-", vec![no("has no waypoint beside it (istio.io/use-waypoint)")]),
        (put(space("shop", json!({"labels": using("wp")}))), its, vec![]),
        (put(service("web")), "-", vec![]),
        (put(space("shop", with_canary("new", "25"))), its, vec![]),
        (put(web_with(json!({"labels": using("wp")}))), "-", vec![]),
        (put(web_with(with_canary("new", "10"))), ours, vec![]),
        (remove(Kind::Gateway, "shop", "new"), "-", vec![no("is not there")]),
    ]);
}

/// Plays what happens; each with the canary of the service then, and what is said of it.
fn check(steps: Vec<(Input, &str, Vec<String>)>) {
    let mut seen = Seen::default();
    let mut said = BTreeMap::new();
    for (at, (input, expected, problems)) in steps.into_iter().enumerate() {
        let delta = seen.apply(vec![input]);
        for (id, issues) in delta.issues {
            let issues = issues.iter().map(|issue| issue.problem.to_string()).filter(|it| it.starts_with("canary"));
            said.insert(id, issues.collect::<Vec<_>>());
        }
        let web = seen.services.iter().find(|(key, _)| key.hostname.starts_with("web."));
        let canary = web.and_then(|(_, service)| service.canary.as_ref());
        let shown = canary.map_or("-".to_owned(), |canary| format!("{} {}", canary.percent, canary.waypoint));
        let of_web: Vec<_> =
            said.iter().filter(|(id, _)| id.kind == Kind::Service).flat_map(|(_, said)| said).cloned().collect();
        assert_eq!((shown.as_str(), of_web), (expected, problems), "step {at}");
    }
}

#[test]
fn a_canary_is_let_in_where_nobody_goes_round_its_waypoint() {
    let both = "shop/converted_waypoint_service_web.shop.svc.cluster.local_8080 cluster.local/ns/shop/sa/new,cluster.local/ns/shop/sa/wp 8080";
    let policy = |target| put(attached("AuthorizationPolicy", "p", target));
    // What happens; then what the pod lists.
    let steps: Vec<(Vec<Input>, Vec<&str>)> = vec![
        (shop(), vec![]),
        (vec![put(gateway("new", json!({}))), put(service("new"))], vec![]),
        (vec![policy(("", "Service", "web"))], vec![WEB_GUARD]),
        (vec![put(space("shop", with_canary("new", "10")))], vec![both]),
        (vec![policy((GATEWAYS, "Gateway", "new"))], vec![both]),
        // Who has not all rules may not go in the place of who has.
        (vec![policy((GATEWAYS, "Gateway", "wp"))], vec![WEB_GUARD]),
        (vec![policy(("", "Service", "web"))], vec![both]),
        (vec![put(space("shop", with_canary("new", "x")))], vec![both]),
        (vec![put(space("shop", json!({"labels": using("wp")})))], vec![WEB_GUARD]),
    ];
    let mut seen = Seen::default();
    for (at, (inputs, expected)) in steps.into_iter().enumerate() {
        seen.apply(inputs);
        assert_eq!(seen.guards("web-1"), expected, "step {at}");
    }
}
