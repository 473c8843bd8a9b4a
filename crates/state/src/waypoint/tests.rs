use ambit_model::{Application, Canary, TunnelProtocol};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::Route;
use crate::fixtures::{pod, service, service_key, serving, to};

const VIP: &str = "10.96.0.1:80";
const CLIENT: &str = "10.0.9.9";

fn of(service: &str) -> Option<Arc<GatewayAddress>> {
    Some(Arc::new(GatewayAddress::of_service(service_key(service))))
}

fn at(address: &str) -> Option<Arc<GatewayAddress>> {
    let destination = GatewayDestination::Address(address.parse().unwrap());
    Some(Arc::new(GatewayAddress { destination, hbone_port: 15008 }))
}

fn bound(pod: Workload, waypoint: Option<Arc<GatewayAddress>>) -> Workload {
    Workload { application: Arc::new(Application { waypoint, ..Application::clone(&pod) }), ..pod }
}

/// A waypoint's pod, of service `wp`.
fn wp(name: &str, node: &str, address: &str) -> Workload {
    Workload { native_tunnel: true, ..serving(pod(name, node, address), "wp") }
}

fn plain(workload: Workload) -> Workload {
    Workload { tunnel_protocol: TunnelProtocol::None, ..workload }
}

fn unready(workload: Workload) -> Workload {
    Workload { healthy: false, ..workload }
}

/// A service `web` behind `waypoint`, of one pod that takes no tunnels, and service `wp`; and these pods.
fn mesh(waypoint: Option<Arc<GatewayAddress>>, adapt: impl FnOnce(&mut Service), pods: Vec<Workload>) -> Snapshot {
    let web = Service { waypoint, ..service("web", "10.96.0.1") };
    let mut own = service("wp", "10.96.0.9");
    adapt(&mut own);
    let mut all = vec![plain(serving(pod("web", "n2", "10.0.0.1"), "web"))];
    all.extend(pods);
    Snapshot::build(all, vec![web, own], vec![])
}

fn route_from(source: &Workload, snapshot: &Snapshot, destination: &str) -> Result<Route, RouteError> {
    snapshot.route(source, to(destination), &mut StdRng::seed_from_u64(1))
}

/// The route of a client on node n1, as `target via peer who` or `target plain`, sorted.
fn routed(snapshot: &Snapshot, destination: &str) -> Vec<String> {
    shown(route_from(&pod("client", "n1", CLIENT), snapshot, destination))
}

fn shown(route: Result<Route, RouteError>) -> Vec<String> {
    let show = |candidate: &Candidate| match &candidate.via {
        Via::Tunnel { peer, expected } => {
            let names: Vec<_> = expected.iter().map(|it| it.service_account().to_owned()).collect();
            format!("{} via {peer} {}", candidate.target, names.join(","))
        }
        Via::Plain => format!("{} plain", candidate.target),
    };
    let mut lines = match route {
        Ok(route) => route.candidates.iter().map(show).collect(),
        Err(error) => vec![error.to_string()],
    };
    lines.sort();
    lines
}

const UNAVAILABLE: &str = "waypoint shop/wp.shop.svc.cluster.local of 10.96.0.1:80 has no ready endpoint";
const THROUGH: &str = "10.96.0.1:80 via 10.0.1.1:15008 wp-1";

#[test]
fn connections_to_a_service_go_through_its_waypoint() {
    let one = || vec![wp("wp-1", "n2", "10.0.1.1")];
    let strict = |own: &mut Service| own.load_balancing = LoadBalancingMode::StrictNode;
    let prefer = |own: &mut Service| own.load_balancing = LoadBalancingMode::PreferNode;
    let all = |own: &mut Service| own.health_policy = HealthPolicy::AllowAll;
    let two = || vec![wp("wp-1", "n2", "10.0.1.1"), wp("wp-2", "n1", "10.0.1.2")];
    let second = "10.96.0.1:80 via 10.0.1.2:15008 wp-2";
    let cases = [
        ("no waypoint", mesh(None, |_| {}, one()), vec!["10.0.0.1:8080 plain"]),
        ("by host name", mesh(of("wp"), |_| {}, one()), vec![THROUGH]),
        ("by the service's address", mesh(at("10.96.0.9"), |_| {}, one()), vec![THROUGH]),
        ("by its own address", mesh(at("10.0.1.1"), |_| {}, one()), vec![THROUGH]),
        (
            "nobody says it takes tunnels",
            mesh(of("wp"), |_| {}, vec![plain(wp("wp-1", "n2", "10.0.1.1"))]),
            vec![THROUGH],
        ),
        (
            "of the other family",
            mesh(of("wp"), |_| {}, vec![plain(wp("wp-1", "n2", "fd00::1"))]),
            vec!["10.96.0.1:80 via [fd00::1]:15008 wp-1"],
        ),
        ("two", mesh(of("wp"), |_| {}, two()), vec![THROUGH, second]),
        ("the client's node only", mesh(of("wp"), strict, two()), vec![second]),
        ("the client's node first", mesh(of("wp"), prefer, two()), vec![THROUGH, second]),
        ("none", mesh(of("wp"), |_| {}, vec![]), vec![UNAVAILABLE]),
        ("not ready", mesh(of("wp"), |_| {}, vec![unready(wp("wp-1", "n2", "10.0.1.1"))]), vec![UNAVAILABLE]),
        ("ready or not", mesh(of("wp"), all, vec![unready(wp("wp-1", "n2", "10.0.1.1"))]), vec![THROUGH]),
        (
            "unknown",
            mesh(of("no"), |_| {}, one()),
            vec!["waypoint shop/no.shop.svc.cluster.local of 10.96.0.1:80 has no ready endpoint"],
        ),
        (
            "nobody's address",
            mesh(at("10.0.1.7"), |_| {}, one()),
            vec!["waypoint 10.0.1.7 of 10.96.0.1:80 has no ready endpoint"],
        ),
    ];
    for (name, snapshot, expected) in cases {
        assert_eq!(routed(&snapshot, VIP), expected, "{name}");
    }
}

#[test]
fn tunnels_end_where_the_waypoints_service_leads() {
    let port = |service_port, target_port| PortMapping { service_port, target_port, app_protocol: Default::default() };
    for (ports, expected) in [(vec![port(15008, 25008), port(80, 8080)], 25008), (vec![port(80, 8080)], 15008)] {
        let services = Arc::new([(service_key("wp"), ports)].into_iter().collect());
        let it = pod("wp-1", "n2", "10.0.1.1");
        let it = Workload { application: Arc::new(Application { services, ..Application::clone(&it) }), ..it };
        assert_eq!(
            routed(&mesh(of("wp"), |_| {}, vec![it]), VIP),
            [format!("10.96.0.1:80 via 10.0.1.1:{expected} wp-1")]
        );
    }
}

#[test]
fn connections_to_a_pod_go_through_the_waypoint_of_workloads() {
    let pods = vec![
        wp("wp-1", "n2", "10.0.1.1"),
        bound(plain(pod("db", "n2", "10.0.0.2")), of("wp")),
        bound(wp("wp-2", "n2", "10.0.1.2"), of("wp")),
    ];
    let snapshot = mesh(None, |_| {}, pods);
    let through = ["10.0.0.2:7 via 10.0.1.1:15008 wp-1", "10.0.0.2:7 via 10.0.1.2:15008 wp-2"];
    assert_eq!(routed(&snapshot, "10.0.0.2:7"), through);
    assert_eq!(routed(&snapshot, "10.0.1.2:7"), ["10.0.1.2:7 via 10.0.1.2:15008 wp-2"], "not the waypoint itself");
    assert_eq!(routed(&snapshot, VIP), ["10.0.0.1:8080 plain"], "nor what is addressed to a service");
    let is_captured = |ip: &str| {
        let ip = ip.parse().unwrap();
        assert_eq!(snapshot.mesh_destinations().any(|it| it == ip), snapshot.is_mesh_destination(ip), "{ip}");
        snapshot.is_mesh_destination(ip)
    };
    assert!(is_captured("10.0.0.2") && is_captured("10.96.0.1") && !is_captured("10.0.0.1"));
}

#[test]
fn a_waypoint_does_not_go_through_itself() {
    let snapshot = mesh(of("wp"), |_| {}, vec![wp("wp-1", "n2", "10.0.1.1"), wp("wp-2", "n2", "10.0.1.2")]);
    let own = wp("wp-2", "n2", "10.0.1.2");
    assert_eq!(shown(route_from(&own, &snapshot, VIP)), ["10.0.0.1:8080 plain"]);
    let by_address = mesh(at("10.0.1.2"), |_| {}, vec![pod("wp-2", "n2", "10.0.1.2")]);
    assert_eq!(shown(route_from(&pod("wp-2", "n2", "10.0.1.2"), &by_address, VIP)), ["10.0.0.1:8080 plain"]);
}

#[test]
fn an_absent_waypoint_lets_through_what_says_so() {
    let open = |snapshot: &Snapshot| {
        let web = Service::clone(snapshot.service(&service_key("web")).unwrap());
        let web = Service { waypoint_failure: WaypointFailure::Open, ..web };
        let db = bound(plain(pod("db", "n2", "10.0.0.2")), of("wp"));
        let application = Application { waypoint_failure: WaypointFailure::Open, ..Application::clone(&db) };
        let db = Workload { application: Arc::new(application), ..db };
        snapshot.apply([crate::Update::Service(Arc::new(web)), crate::Update::Workload(Arc::new(db))]).0
    };
    let absent = open(&mesh(of("wp"), |_| {}, vec![]));
    assert_eq!(routed(&absent, VIP), ["10.0.0.1:8080 plain"]);
    assert_eq!(routed(&absent, "10.0.0.2:7"), ["10.0.0.2:7 plain"]);
    let present = open(&mesh(of("wp"), |_| {}, vec![wp("wp-1", "n2", "10.0.1.1")]));
    assert_eq!(routed(&present, VIP), [THROUGH]);
    assert_eq!(routed(&present, "10.0.0.2:7"), ["10.0.0.2:7 via 10.0.1.1:15008 wp-1"]);
}

#[test]
fn what_is_resolved_elsewhere_is_the_meshs_where_it_is_behind_a_waypoint() {
    let egress = |waypoint| {
        let load_balancing = LoadBalancingMode::Passthrough;
        let egress = Service { load_balancing, waypoint, ..service("egress", "10.96.0.7") };
        Snapshot::build(vec![wp("wp-1", "n2", "10.0.1.1")], vec![egress], vec![])
    };
    assert_eq!(routed(&egress(None), "10.96.0.7:80"), ["10.96.0.7:80 is no address of the mesh"]);
    assert_eq!(routed(&egress(of("wp")), "10.96.0.7:80"), ["10.96.0.7:80 via 10.0.1.1:15008 wp-1"]);
}

#[test]
fn a_waypoint_speaks_for_clients_of_what_is_behind_it_and_nobody_else_does() {
    let identity = |name: &str| Identity::new("cluster.local", "shop", name);
    let pods = vec![unready(wp("wp-1", "n2", "10.0.1.1")), serving(pod("other-1", "n2", "10.0.1.2"), "other")];
    let snapshot = mesh(of("wp"), |_| {}, pods);
    let web = serving(pod("web", "n2", "10.0.0.1"), "web");
    let db = pod("db", "n2", "10.0.0.2");
    for (peer, workload, port, expected) in [
        ("wp-1", web.clone(), 8080, true),
        ("wp-1", web.clone(), 80, false),
        ("wp-1", web.clone(), 9090, false),
        ("other-1", web.clone(), 8080, false),
        ("web", web.clone(), 8080, false),
        ("wp-2", web.clone(), 8080, false),
        ("wp-1", bound(web.clone(), of("other")), 9090, false),
        ("other-1", bound(web, of("other")), 9090, true),
        ("wp-1", db.clone(), 8080, false),
        ("wp-1", bound(db.clone(), of("wp")), 9090, true),
        ("wp-1", bound(db.clone(), at("10.0.1.1")), 9090, true),
        ("wp-1", bound(db.clone(), of("other")), 9090, false),
        ("other-1", bound(db, of("other")), 9090, true),
    ] {
        let may = snapshot.may_vouch(&identity(peer), &workload, port);
        assert_eq!(may, expected, "{peer} for {}:{port}", workload.name());
    }
}

/// A service `web` behind `wp`, and one percentage of its connections behind `new`; and these pods.
fn with_canary(percent: u8, pods: Vec<Workload>) -> Snapshot {
    let canary = of("new").map(|waypoint| Canary { waypoint, percent });
    let web = Service { waypoint: of("wp"), canary, ..service("web", "10.96.0.1") };
    let mut all = vec![serving(pod("web", "n2", "10.0.0.1"), "web")];
    all.extend(pods);
    Snapshot::build(all, vec![web, service("wp", "10.96.0.9"), service("new", "10.96.0.8")], vec![])
}

fn new() -> Workload {
    Workload { native_tunnel: true, ..serving(pod("new-1", "n2", "10.0.2.1"), "new") }
}

const THROUGH_NEW: &str = "10.96.0.1:80 via 10.0.2.1:15008 new-1";

#[test]
fn a_canary_takes_its_share_of_connections() {
    for percent in [0, 1, 10, 50, 99, 100] {
        let snapshot = with_canary(percent, vec![wp("wp-1", "n2", "10.0.1.1"), new()]);
        let mut rng = StdRng::seed_from_u64(percent.into());
        let route = |_| shown(snapshot.route(&pod("client", "n1", CLIENT), to(VIP), &mut rng));
        let routes: Vec<_> = (0..10_000).map(route).collect();
        let at_canary = routes.iter().filter(|route| **route == [THROUGH_NEW]).count();
        assert!(routes.iter().all(|route| *route == [THROUGH] || *route == [THROUGH_NEW]));
        // Five standard deviations of a binomial distribution, which are 250 at most.
        let share = f64::from(percent) / 100.0;
        let (mean, deviation) = (10_000.0 * share, (10_000.0 * share * (1.0 - share)).sqrt());
        let found = f64::from(u32::try_from(at_canary).unwrap());
        assert!((found - mean).abs() <= 5.0 * deviation, "{percent}%: {at_canary} of 10000");
    }
}

#[test]
fn no_share_is_lost_at_a_waypoint_that_is_not_there() {
    let one = || wp("wp-1", "n2", "10.0.1.1");
    for (pods, expected) in [
        (vec![one()], THROUGH),
        (vec![one(), unready(new())], THROUGH),
        (vec![new()], THROUGH_NEW),
        (vec![unready(one()), new()], THROUGH_NEW),
        (vec![unready(one()), unready(new())], UNAVAILABLE),
        (vec![], UNAVAILABLE),
    ] {
        let snapshot = with_canary(50, pods);
        let mut rng = StdRng::seed_from_u64(1);
        for _ in 0..20 {
            assert_eq!(shown(snapshot.route(&pod("client", "n1", CLIENT), to(VIP), &mut rng)), [expected]);
        }
    }
}

#[test]
fn a_canary_without_weight_takes_no_connections() {
    assert_eq!(routed(&with_canary(0, vec![new()]), VIP), [UNAVAILABLE]);
}

#[test]
fn a_canary_goes_through_no_waypoint_and_may_vouch() {
    let snapshot = with_canary(50, vec![wp("wp-1", "n2", "10.0.1.1"), new()]);
    let mut rng = StdRng::seed_from_u64(1);
    for source in [wp("wp-1", "n2", "10.0.1.1"), new()] {
        let direct = shown(snapshot.route(&source, to(VIP), &mut rng));
        assert_eq!(direct, ["10.0.0.1:8080 via 10.0.0.1:15008 web"], "{}", source.uid);
        let web = snapshot.workload_by_ip("10.0.0.1".parse().unwrap()).unwrap();
        assert!(snapshot.may_vouch(&source.identity, web, 8080));
        assert!(!snapshot.may_vouch(&source.identity, web, 9090));
    }
}
