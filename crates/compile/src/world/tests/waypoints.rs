//! What is behind which waypoint, and who may not go round it.

mod canary;

use ambit_model::{Authorization, GatewayAddress, PolicyKey, Service, ServiceKey, StringMatch, WaypointFailure};

use super::*;

fn labelled(mut object: Value, labels: Value) -> Value {
    merge(&mut object, &json!({"metadata": {"labels": labels}}));
    object
}

fn space(name: &str, metadata: Value) -> Value {
    let mut space = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    merge(&mut space, &json!({ "metadata": metadata }));
    space
}

fn using(waypoint: &str) -> Value {
    json!({"istio.io/use-waypoint": waypoint})
}

fn gateway(name: &str, rest: Value) -> Value {
    let spec = json!({
        "gatewayClassName": "istio-waypoint",
        "listeners": [{"name": "mesh", "port": 15008, "protocol": "HBONE"}],
    });
    let mut gateway = object("gateway.networking.k8s.io/v1", "Gateway", name, &json!({ "spec": spec }));
    merge(&mut gateway, &rest);
    gateway
}

fn allowing(from: Value) -> Value {
    let listener = json!({"name": "mesh", "port": 15008, "protocol": "HBONE", "allowedRoutes": {"namespaces": from}});
    json!({"spec": {"listeners": [listener]}})
}

fn service(name: &str) -> Value {
    let spec = json!({"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]});
    object("v1", "Service", name, &json!({ "spec": spec }))
}

fn replica(name: &str, app: &str, address: &str) -> Value {
    pod(name, address, json!({"metadata": {"labels": {"app": app}}, "spec": {"serviceAccountName": app}}))
}

fn attached(kind: &str, name: &str, target: (&str, &str, &str)) -> Value {
    let rules = if kind == "AuthorizationPolicy" { json!({"rules": [{}]}) } else { json!({}) };
    let mut policy = object("security.istio.io/v1", kind, name, &json!({ "spec": rules }));
    let target = json!({"group": target.0, "kind": target.1, "name": target.2});
    merge(&mut policy, &json!({"spec": {"targetRefs": [target]}}));
    policy
}

const GATEWAYS: &str = "gateway.networking.k8s.io";
const WP: &str = "shop/wp.shop.svc.cluster.local";
const MISSING: &str = "shop/wp.shop.no-waypoint.invalid";
const NOT_ALLOWED: &str = "edge/wp.edge.not-allowed.invalid";
const WEB_GUARD: &str =
    "shop/converted_waypoint_service_web.shop.svc.cluster.local_8080 cluster.local/ns/shop/sa/wp 8080";
const OWN_GUARD: &str = "shop/converted_waypoint_gateway_wp cluster.local/ns/shop/sa/wp ";

/// A namespace behind a waypoint for services.
fn shop() -> Vec<Input> {
    vec![
        put(service("web")),
        put(service("wp")),
        put(space("shop", json!({"labels": using("wp")}))),
        put(replica("web-1", "web", "10.0.0.1")),
        put(gateway("wp", json!({}))),
    ]
}

/// A pod of the waypoint that is somebody else.
fn canary() -> Input {
    let mut canary = replica("wp-2", "wp", "10.0.0.3");
    merge(&mut canary, &json!({"spec": {"serviceAccountName": "canary"}}));
    put(canary)
}

/// A policy of the root namespace.
fn of_root(target: (&str, &str, &str)) -> Input {
    let mut policy = attached("AuthorizationPolicy", "r", target);
    merge(&mut policy, &json!({"metadata": {"namespace": "istio-system"}}));
    put(policy)
}

/// What services and workloads there are, and policies.
#[derive(Default)]
struct Seen {
    store: Store,
    services: BTreeMap<ServiceKey, Arc<Service>>,
    workloads: BTreeMap<WorkloadUid, Arc<Workload>>,
    policies: BTreeMap<PolicyKey, Arc<Authorization>>,
}

fn follow<K: Ord + Clone, T>(known: &mut BTreeMap<K, Arc<T>>, changed: &[(K, Option<Arc<T>>)]) {
    for (key, it) in changed {
        match it {
            Some(it) => drop(known.insert(key.clone(), Arc::clone(it))),
            None => drop(known.remove(key)),
        }
    }
}

impl Seen {
    fn apply(&mut self, inputs: Vec<Input>) -> Delta {
        let delta = self.store.apply(inputs);
        follow(&mut self.services, &delta.services);
        follow(&mut self.workloads, &delta.workloads);
        follow(&mut self.policies, &delta.authorizations);
        delta
    }

    /// The waypoint of a service of namespace `shop`.
    fn of_service(&self, name: &str) -> String {
        let hostname = format!("{name}.shop.svc.cluster.local").into();
        let service = &self.services[&ServiceKey { namespace: "shop".into(), hostname }];
        shown(service.waypoint.as_deref(), service.waypoint_failure)
    }

    fn workload(&self, name: &str) -> &Workload {
        &self.workloads[&uid(name)]
    }

    fn of_pod(&self, name: &str) -> String {
        let workload = self.workload(name);
        shown(workload.waypoint.as_deref(), workload.waypoint_failure)
    }

    /// The policies a pod lists, each with whom it lets in and the ports it is for.
    fn guards(&self, name: &str) -> Vec<String> {
        let policies = self.workload(name).authorization_policies.iter().map(|key| {
            let policy = &self.policies[key];
            let one = policy.rules.first().map(|rule| &rule.clauses[0].matches[0]);
            let text =
                |it: &StringMatch| if let StringMatch::Exact(text) = it { text.to_string() } else { format!("{it:?}") };
            let let_in: Vec<_> = one.iter().flat_map(|one| one.not_principals.iter().map(text)).collect();
            let ports: Vec<_> = one.iter().flat_map(|one| &one.destination_ports).map(ToString::to_string).collect();
            format!("{key} {} {}", let_in.join(","), ports.join(","))
        });
        policies.collect()
    }
}

fn shown(waypoint: Option<&GatewayAddress>, failure: WaypointFailure) -> String {
    match (waypoint, failure) {
        (None, WaypointFailure::Closed) => "-".to_owned(),
        (None, WaypointFailure::Open) => "- open".to_owned(),
        (Some(waypoint), WaypointFailure::Closed) => waypoint.to_string(),
        (Some(waypoint), WaypointFailure::Open) => format!("{waypoint} open"),
    }
}

#[test]
fn a_service_is_behind_the_waypoint_it_or_its_namespace_asks_for() {
    let far = || json!({"istio.io/use-waypoint": "wp", "istio.io/use-waypoint-namespace": "edge"});
    let in_edge = |rest: Value| {
        let mut gateway = gateway("wp", rest);
        merge(&mut gateway, &json!({"metadata": {"namespace": "edge"}}));
        put(gateway)
    };
    let for_what = |what: &str| json!({"metadata": {"labels": {"istio.io/waypoint-for": what}}});
    let class = |controller: &str| json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": "mine"}, "spec": {"controllerName": controller}});
    let selector = json!({"from": "Selector", "selector": {"matchLabels": {"team": "a"}}});
    let failing = |said: &str| json!({"ambit.io/waypoint-failure-mode": said});
    let annotated = |said: &str| {
        let mut web = labelled(service("web"), using("wp"));
        merge(&mut web, &json!({"metadata": {"annotations": failing(said)}}));
        web
    };
    // What happens; then the waypoint of the service, and how many services changed.
    let steps: Vec<(Input, &str, usize)> = vec![
        (put(service("web")), "-", 1),
        (put(space("shop", json!({}))), "-", 0),
        (put(labelled(service("web"), using("wp"))), MISSING, 1),
        (put(gateway("wp", json!({}))), WP, 1),
        (put(gateway("wp", json!({"status": {"conditions": []}}))), WP, 0),
        (put(gateway("wp", json!({"spec": {"gatewayClassName": "nginx"}}))), MISSING, 1),
        (put(gateway("wp", json!({"spec": {"gatewayClassName": "mine"}}))), MISSING, 0),
        (put(class("istio.io/mesh-controller")), WP, 1),
        (put(class("example.org/other")), MISSING, 1),
        (put(gateway("wp", json!({}))), WP, 1),
        (put(gateway("wp", for_what("workload"))), "-", 1),
        (put(gateway("wp", for_what("none"))), "-", 0),
        (put(gateway("wp", for_what("all"))), WP, 1),
        (put(annotated("open")), "shop/wp.shop.svc.cluster.local open", 1),
        (put(annotated("x")), WP, 1),
        (put(service("web")), "-", 1),
        (put(space("shop", json!({"labels": using("wp")}))), WP, 1),
        (
            put(space("shop", json!({"labels": using("wp"), "annotations": failing("open")}))),
            "shop/wp.shop.svc.cluster.local open",
            1,
        ),
        (put(annotated("closed")), WP, 1),
        (put(labelled(service("web"), using("none"))), "-", 1),
        (put(labelled(service("web"), far())), "edge/wp.edge.no-waypoint.invalid open", 1),
        (put(space("shop", json!({}))), "edge/wp.edge.no-waypoint.invalid", 1),
        (in_edge(json!({})), NOT_ALLOWED, 1),
        (in_edge(allowing(json!({"from": "All"}))), "edge/wp.edge.svc.cluster.local", 1),
        (in_edge(allowing(json!({"from": "Same"}))), NOT_ALLOWED, 1),
        (in_edge(allowing(selector)), NOT_ALLOWED, 0),
        (put(space("shop", json!({"labels": {"team": "a"}}))), "edge/wp.edge.svc.cluster.local", 1),
        (remove(Kind::Namespace, "", "shop"), NOT_ALLOWED, 1),
        (remove(Kind::Gateway, "edge", "wp"), "edge/wp.edge.no-waypoint.invalid", 1),
        (put(service("web")), "-", 1),
    ];
    let mut seen = Seen::default();
    for (at, (input, expected, changed)) in steps.into_iter().enumerate() {
        let delta = seen.apply(vec![input]);
        assert_eq!((seen.of_service("web").as_str(), delta.services.len()), (expected, changed), "step {at}");
    }
}

#[test]
fn what_is_looked_up_is_behind_a_waypoint() {
    let entry = |resolution: &str| {
        let spec = json!({
            "hosts": ["web.shop.svc.cluster.local"], "addresses": ["240.0.0.1"], "resolution": resolution,
            "ports": [{"number": 80, "name": "http"}], "endpoints": [{"address": "example.org"}],
        });
        let entry = object("networking.istio.io/v1", "ServiceEntry", "out", &json!({ "spec": spec }));
        put(labelled(entry, using("wp")))
    };
    let mut seen = Seen::default();
    seen.apply(vec![entry("DNS"), put(gateway("wp", json!({})))]);
    assert_eq!(seen.of_service("web"), WP);
    let service = seen.services.values().next().unwrap();
    assert_eq!(service.load_balancing, ambit_model::LoadBalancingMode::Unspecified);
    let names: Vec<_> = seen.workloads.values().filter_map(|workload| workload.hostname.as_deref()).collect();
    assert_eq!(names, ["example.org"]);
    seen.apply(vec![entry("DYNAMIC_DNS")]);
    assert_eq!(seen.of_service("web"), WP);
    assert!(seen.workloads.is_empty());
}

#[test]
fn a_waypoint_is_behind_none() {
    let mut seen = Seen::default();
    let all = json!({"metadata": {"labels": {"istio.io/waypoint-for": "all"}}});
    let namespace = put(space("shop", json!({"labels": using("wp")})));
    seen.apply(vec![namespace, put(service("wp")), put(service("wp2")), put(gateway("wp", all.clone()))]);
    seen.apply(vec![put(replica("wp-1", "wp", "10.0.0.1")), put(replica("web-1", "web", "10.0.0.2"))]);
    assert_eq!((&*seen.of_service("wp"), &*seen.of_service("wp2")), ("-", WP));
    assert_eq!((&*seen.of_pod("wp-1"), &*seen.of_pod("web-1")), ("-", WP));
    seen.apply(vec![put(gateway("wp2", all))]);
    assert_eq!(seen.of_service("wp2"), "-");
    seen.apply(vec![remove(Kind::Gateway, "shop", "wp2"), remove(Kind::Gateway, "shop", "wp")]);
    assert_eq!((&*seen.of_service("wp"), &*seen.of_service("wp2")), (MISSING, MISSING));
    assert_eq!((&*seen.of_pod("wp-1"), &*seen.of_pod("web-1")), ("-", "-"), "a waypoint is for services by default");
}

#[test]
fn a_gateway_takes_its_service_from_behind_a_waypoint_only_if_it_is_one_itself() {
    let all = json!({"metadata": {"labels": {"istio.io/waypoint-for": "all"}}});
    let like_it = |class: &str| put(gateway("web", json!({"spec": {"gatewayClassName": class}})));
    let class = |controller: &str| {
        let mut class =
            json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": "mine"}});
        merge(&mut class, &json!({"spec": {"controllerName": controller}}));
        put(class)
    };
    let asking = |object: Value, waypoint: &str| put(labelled(object, using(waypoint)));
    let pod = || replica("web-1", "web", "10.0.0.1");
    let start = vec![
        put(space("shop", json!({"labels": using("wp")}))),
        put(service("web")),
        put(service("wp")),
        put(pod()),
        put(gateway("wp", all)),
        put(attached("AuthorizationPolicy", "p", ("", "Service", "web"))),
    ];
    // What happens; then the waypoint of the service, that of its pod, and whether the pod lists the guard.
    let steps: Vec<(Vec<Input>, &str, &str, bool)> = vec![
        (start, WP, WP, true),
        (vec![like_it("nginx")], WP, WP, true),
        (vec![like_it("mine")], WP, WP, true),
        (vec![class("istio.io/mesh-controller")], "-", "-", false),
        (vec![class("example.org/other")], WP, WP, true),
        (vec![like_it("istio-waypoint")], "-", "-", false),
        (vec![asking(service("web"), "wp")], WP, "-", true),
        (vec![asking(pod(), "wp")], WP, WP, true),
        (vec![asking(service("web"), "web"), asking(pod(), "web")], "-", "-", false),
        (vec![remove(Kind::Gateway, "shop", "web"), put(service("web")), put(pod())], WP, WP, true),
    ];
    let mut seen = Seen::default();
    for (at, (inputs, of_service, of_pod, guarded)) in steps.into_iter().enumerate() {
        seen.apply(inputs);
        assert_eq!((&*seen.of_service("web"), &*seen.of_pod("web-1")), (of_service, of_pod), "step {at}");
        assert_eq!(seen.guards("web-1"), [WEB_GUARD][..usize::from(guarded)], "step {at}");
    }
}

#[test]
fn a_workload_is_behind_the_waypoint_of_workloads() {
    let web = |metadata: Value| put(pod("web", "10.0.0.1", json!({ "metadata": metadata })));
    let for_what = |what: &str| put(gateway("wp", json!({"metadata": {"labels": {"istio.io/waypoint-for": what}}})));
    let open = json!({"labels": using("wp"), "annotations": {"ambit.io/waypoint-failure-mode": "open"}});
    let host = json!({"spec": {"hostNetwork": true}, "metadata": {"labels": using("wp")}});
    let mut seen = Seen::default();
    for (at, (input, expected)) in [
        (web(json!({})), "-"),
        (put(space("shop", json!({"labels": using("wp")}))), "-"),
        (for_what("service"), "-"),
        (for_what("workload"), WP),
        (web(json!({"labels": using("none")})), "-"),
        (web(open), "shop/wp.shop.svc.cluster.local open"),
        (put(pod("web", "10.0.0.1", host)), "-"),
        (web(json!({"labels": using("wp")})), WP),
        (remove(Kind::Gateway, "shop", "wp"), MISSING),
        (web(json!({})), "-"),
    ]
    .into_iter()
    .enumerate()
    {
        seen.apply(vec![input]);
        assert_eq!(seen.of_pod("web"), expected, "step {at}");
    }
}

#[test]
fn a_pod_that_takes_tunnels_itself_is_not_enrolled() {
    let label = json!({"networking.istio.io/tunnel": "http", "istio.io/dataplane-mode": "none"});
    let mut store = reporting();
    let delta =
        store.apply([put(namespace("ambient")), put(pod("wp", "10.0.0.1", json!({"metadata": {"labels": label}})))]);
    let workload = delta.workloads[0].1.as_ref().unwrap();
    assert_eq!((workload.tunnel_protocol, workload.native_tunnel), (TunnelProtocol::Hbone, true));
    assert!(!delta.pods[0].1.as_ref().unwrap().enrol);
    assert_eq!(store.compile().enrolled().count(), 0);
    let enrolled = json!({"networking.istio.io/tunnel": "http"});
    let delta = store.apply([put(pod("wp", "10.0.0.1", json!({"metadata": {"labels": enrolled}})))]);
    let workload = delta.workloads[0].1.as_ref().unwrap();
    assert_eq!((workload.tunnel_protocol, workload.native_tunnel), (TunnelProtocol::None, false), "its agent will");
}

#[test]
fn rules_of_requests_keep_everybody_but_the_waypoint_from_the_workloads() {
    let web = [WEB_GUARD];
    let two = "shop/converted_waypoint_service_web.shop.svc.cluster.local_8080 cluster.local/ns/shop/sa/canary,cluster.local/ns/shop/sa/wp 8080";
    let own = OWN_GUARD;
    let policy = |target| put(attached("AuthorizationPolicy", "p", target));
    let dry = |target| {
        let mut policy = attached("AuthorizationPolicy", "p", target);
        merge(&mut policy, &json!({"metadata": {"annotations": {"istio.io/dry-run": "true"}}}));
        put(policy)
    };
    let for_all = || put(gateway("wp", json!({"metadata": {"labels": {"istio.io/waypoint-for": "all"}}})));
    let to_class = (GATEWAYS, "GatewayClass", "istio-waypoint");
    // What happens; then what the pod lists.
    let steps: Vec<(Vec<Input>, Vec<&str>)> = vec![
        (shop(), vec![]),
        (vec![policy(("", "Service", "web"))], web.to_vec()),
        (vec![put(replica("wp-1", "wp", "10.0.0.2"))], web.to_vec()),
        (vec![canary()], vec![two]),
        (vec![remove(Kind::Pod, "shop", "wp-2")], web.to_vec()),
        (vec![dry(("", "Service", "web"))], vec![]),
        (vec![policy(("", "Service", "other"))], vec![]),
        (vec![policy((GATEWAYS, "Gateway", "wp"))], web.to_vec()),
        (vec![for_all()], vec![own, web[0]]),
        (vec![remove(Kind::Gateway, "shop", "wp")], vec![own, web[0]]),
        (vec![put(gateway("wp", json!({})))], web.to_vec()),
        (vec![policy(to_class)], vec![]),
        (vec![of_root(to_class)], web.to_vec()),
        (vec![remove(Kind::AuthorizationPolicy, "istio-system", "r")], vec![]),
        (vec![put(attached("RequestAuthentication", "j", ("", "Service", "web")))], web.to_vec()),
        (vec![put(space("shop", json!({})))], vec![]),
    ];
    let mut seen = Seen::default();
    for (at, (inputs, expected)) in steps.into_iter().enumerate() {
        seen.apply(inputs);
        assert_eq!(seen.guards("web-1"), expected, "step {at}");
    }
    assert!(seen.policies.is_empty(), "{:?}", seen.policies);
}

#[test]
fn nobody_knows_whom_the_rules_of_a_missing_waypoint_were_for() {
    let (own, web) = (OWN_GUARD, WEB_GUARD);
    let gone = || remove(Kind::Gateway, "shop", "wp");
    let wp = || put(gateway("wp", json!({})));
    let nginx = put(gateway("wp", json!({"spec": {"gatewayClassName": "nginx"}})));
    let to_class = |class| of_root((GATEWAYS, "GatewayClass", class));
    let of_class_gone = || remove(Kind::AuthorizationPolicy, "istio-system", "r");
    let pod = || replica("web-1", "web", "10.0.0.1");
    // What happens; then what the pod lists.
    let steps: Vec<(Vec<Input>, Vec<&str>)> = vec![
        (shop(), vec![]),
        (vec![put(attached("AuthorizationPolicy", "p", (GATEWAYS, "Gateway", "wp")))], vec![web]),
        (vec![gone()], vec![own, web]),
        (vec![put(labelled(pod(), using("none")))], vec![web]),
        (vec![put(pod())], vec![own, web]),
        (vec![remove(Kind::AuthorizationPolicy, "shop", "p")], vec![]),
        (vec![to_class("mine")], vec![own, web]),
        (vec![wp()], vec![]),
        (vec![to_class("istio-waypoint")], vec![web]),
        (vec![gone()], vec![own, web]),
        (vec![nginx], vec![own, web]),
        (vec![of_class_gone()], vec![]),
        (vec![to_class("istio-waypoint")], vec![own, web]),
        (vec![canary()], vec![own, web]),
        (vec![remove(Kind::Pod, "shop", "wp-2"), wp()], vec![web]),
        (vec![of_class_gone()], vec![]),
    ];
    let mut seen = Seen::default();
    for (at, (inputs, expected)) in steps.into_iter().enumerate() {
        seen.apply(inputs);
        assert_eq!(seen.guards("web-1"), expected, "step {at}");
    }
}

#[test]
fn what_may_do_without_its_waypoint_is_open_to_all_while_that_is_not_ready() {
    let mut seen = Seen::default();
    let open = json!({"labels": using("wp"), "annotations": {"ambit.io/waypoint-failure-mode": "open"}});
    seen.apply(vec![
        put(service("web")),
        put(service("wp")),
        put(space("shop", open)),
        put(replica("web-1", "web", "10.0.0.1")),
        put(gateway("wp", json!({}))),
        put(attached("AuthorizationPolicy", "p", ("", "Service", "web"))),
    ]);
    let name = "shop/converted_waypoint_service_web.shop.svc.cluster.local_8080";
    assert_eq!(seen.guards("web-1"), [format!("{name}  ")], "it denies nobody");
    seen.apply(vec![put(replica("wp-1", "wp", "10.0.0.2"))]);
    assert_eq!(seen.guards("web-1"), [format!("{name} cluster.local/ns/shop/sa/wp 8080")]);
    let mut unready = replica("wp-1", "wp", "10.0.0.2");
    merge(&mut unready, &json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}}));
    seen.apply(vec![put(unready)]);
    assert_eq!(seen.guards("web-1"), [format!("{name}  ")]);
    let mut lenient = service("wp");
    merge(&mut lenient, &json!({"spec": {"publishNotReadyAddresses": true}}));
    seen.apply(vec![put(lenient)]);
    assert_eq!(seen.guards("web-1"), [format!("{name} cluster.local/ns/shop/sa/wp 8080")], "clients choose it");
    seen.apply(vec![put(service("wp"))]);
    assert_eq!(seen.guards("web-1"), [format!("{name}  ")]);
}

#[test]
fn what_may_do_without_its_waypoint_is_open_to_all_where_that_cannot_be_had() {
    let open = json!({"labels": using("wp"), "annotations": {"ambit.io/waypoint-failure-mode": "open"}});
    let closed = || put(space("shop", json!({"labels": using("wp")})));
    let for_all = |rest: Value| {
        let mut gateway = gateway("wp", json!({"metadata": {"labels": {"istio.io/waypoint-for": "all"}}}));
        merge(&mut gateway, &rest);
        put(gateway)
    };
    let start = vec![
        put(service("web")),
        put(service("wp")),
        put(space("shop", open.clone())),
        put(replica("web-1", "web", "10.0.0.1")),
        put(replica("wp-1", "wp", "10.0.0.2")),
        put(attached("AuthorizationPolicy", "p", (GATEWAYS, "Gateway", "wp"))),
    ];
    // What happens; then how many guards the pod lists.
    let steps: Vec<(Vec<Input>, usize)> = vec![
        (start, 0),
        (vec![for_all(json!({}))], 2),
        (vec![for_all(allowing(json!({"from": "None"})))], 0),
        (vec![closed()], 2),
        (vec![put(space("shop", open))], 0),
        (vec![for_all(json!({"spec": {"gatewayClassName": "nginx"}}))], 0),
        (vec![for_all(json!({}))], 2),
        (vec![remove(Kind::Gateway, "shop", "wp")], 0),
        (vec![closed()], 2),
    ];
    let mut seen = Seen::default();
    for (at, (inputs, expected)) in steps.into_iter().enumerate() {
        seen.apply(inputs);
        let guards = seen.guards("web-1");
        assert_eq!(guards.len(), expected, "step {at}: {guards:?}");
        assert!(guards.iter().all(|guard| guard.contains("/sa/wp ")), "step {at}: {guards:?}");
    }
}

#[test]
fn who_asks_for_a_waypoint_that_cannot_be_had_is_told() {
    let said = |delta: &Delta| {
        let lines = delta.issues.iter().flat_map(|(_, issues)| issues).map(ToString::to_string);
        lines.map(|line| line.trim_start_matches("Kubernetes: ").to_owned()).collect::<Vec<_>>()
    };
    let at = |object: &str| format!("warning: {object}: metadata.labels.istio.io/use-waypoint: Gateway shop/wp");
    let none = "there is no Gateway shop/wp: what is to be behind it is refused until there is";
    let mut store = Store::default();
    let delta = store.apply([put(labelled(service("web"), using("wp")))]);
    assert_eq!(said(&delta), [format!("warning: Service shop/web: metadata.labels.istio.io/use-waypoint: {none}")]);
    let delta = store.apply([put(gateway("wp", json!({"spec": {"gatewayClassName": "nginx"}})))]);
    let other = "is of class \"nginx\" and no waypoint: what is to be behind it is refused";
    assert_eq!(said(&delta), [format!("{} {other}", at("Service shop/web"))]);
    let delta = store.apply([put(gateway("wp", allowing(json!({"from": "None"}))))]);
    let refused = "does not allow this namespace (allowedRoutes): what is to be behind it is refused";
    assert_eq!(said(&delta), [format!("{} {refused}", at("Service shop/web"))]);
    let workloads = json!({"metadata": {"labels": {"istio.io/waypoint-for": "workload"}}});
    let delta = store.apply([put(gateway("wp", workloads))]);
    let others = "is not for services (istio.io/waypoint-for): this one is not behind it";
    assert_eq!(said(&delta), [format!("{} {others}", at("Service shop/web"))]);
    let delta = store.apply([put(gateway("wp", json!({})))]);
    assert_eq!((said(&delta), delta.issues.len()), (vec![], 1));
    let delta = store.apply([put(pod("web", "10.0.0.1", json!({"metadata": {"labels": using("wp")}})))]);
    let others = "is not for workloads (istio.io/waypoint-for): this one is not behind it";
    assert_eq!(said(&delta), [format!("{} {others}", at("Pod shop/web"))]);
    let delta = store.apply([put(space("shop", json!({"labels": using("no")})))]);
    assert_eq!(said(&delta).len(), 1, "{delta:?}");
}
