use ambit_model::{Application, GatewayDestination, Locality, TunnelProtocol};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::fixtures::{pod, service, service_key, serving, to};

const VIP: &str = "10.96.0.1";
const VIP6: &str = "fd96::1";

/// A service `web` as `adapt` makes it, at [`VIP`] and [`VIP6`], before these pods.
fn mesh(adapt: impl FnOnce(&mut Service), pods: Vec<Workload>) -> Snapshot {
    let mut web = service("web", &format!("{VIP} {VIP6}"));
    adapt(&mut web);
    Snapshot::build(pods, vec![web], vec![])
}

/// The route from a client on node n1.
fn route(snapshot: &Snapshot, destination: &str) -> Result<Route, RouteError> {
    let client = pod("client", "n1", "10.0.9.9");
    snapshot.route(&client, to(destination), &mut StdRng::seed_from_u64(1))
}

/// The candidates as `target via peer` or `target plain`.
fn shown(route: Result<Route, RouteError>) -> Vec<String> {
    let show = |candidate: &Candidate| match &candidate.via {
        Via::Tunnel { peer, .. } => format!("{} via {peer}", candidate.target),
        Via::Plain => format!("{} plain", candidate.target),
    };
    match route {
        Ok(route) => route.candidates.iter().map(show).collect(),
        Err(error) => vec![error.to_string()],
    }
}

fn web(name: &str, node: &str, addresses: &str) -> Workload {
    serving(pod(name, node, addresses), "web")
}

fn plain(workload: Workload) -> Workload {
    Workload { tunnel_protocol: TunnelProtocol::None, ..workload }
}

fn unready(workload: Workload) -> Workload {
    Workload { healthy: false, ..workload }
}

fn hosted(workload: Workload) -> Workload {
    Workload { host_network: true, ..workload }
}

const NONE: &str = "service shop/web.shop.svc.cluster.local has no healthy endpoint for port 80";

#[test]
fn an_entry_beside_a_pod_is_no_way_round_its_tunnel() {
    let entry = plain(web("entry", "", "10.0.0.1"));
    let snapshot = mesh(|_| {}, vec![pod("meshed", "n2", "10.0.0.1"), entry]);
    let route = route(&snapshot, &format!("{VIP}:80")).unwrap();
    assert_eq!(route.candidates[0].workload.name(), "meshed");
    assert_eq!(shown(Ok(route)), ["10.0.0.1:8080 via 10.0.0.1:15008"]);
}

#[test]
fn an_entry_that_means_a_service_is_no_way_round_its_tunnels() {
    let entry = || plain(web("entry", "", "10.96.0.5"));
    let named = |address: &str| {
        let entry = plain(web("entry", "", address));
        let application = Application { hostname: Some("x.org".into()), ..Application::clone(&entry) };
        Workload { application: Arc::new(application), ..entry }
    };
    let payments = || serving(pod("payments", "n2", "10.0.0.1"), "payments");
    let behind = Arc::new(GatewayAddress {
        destination: GatewayDestination::Hostname(service_key("waypoint")),
        hbone_port: HBONE_PORT,
    });
    let alone = || service("payments", "10.96.0.5");
    let waypoint = || Service { waypoint: Some(Arc::clone(&behind)), ..alone() };
    let direct = "10.96.0.5:8080 plain";
    let refused = "service shop/web.shop.svc.cluster.local leads to 10.96.0.5, an address of service \
                   shop/payments.shop.svc.cluster.local";
    let itself = "service shop/web.shop.svc.cluster.local leads to 10.96.0.1, an address of service \
                  shop/web.shop.svc.cluster.local";
    let meshed = "10.0.0.2:8080 via 10.0.0.2:15008";
    for (name, payments, pods, expected) in [
        ("outside the mesh", alone(), vec![entry(), plain(payments())], direct),
        ("before tunnels", alone(), vec![entry(), payments()], refused),
        ("before tunnels, by name", alone(), vec![named("10.96.0.5"), payments()], refused),
        ("behind a waypoint", waypoint(), vec![entry(), plain(payments())], refused),
        ("beside another", alone(), vec![entry(), payments(), web("a", "n2", "10.0.0.2")], meshed),
        ("itself, as written", alone(), vec![plain(web("entry", "", VIP))], "10.96.0.1:8080 plain"),
        ("itself, by name", alone(), vec![named(VIP)], itself),
    ] {
        let snapshot = Snapshot::build(pods, vec![service("web", VIP), payments], vec![]);
        assert_eq!(shown(route(&snapshot, &format!("{VIP}:80"))), [expected], "{name}");
    }
}

#[test]
fn workloads_by_address_and_strangers() {
    let pods = vec![
        pod("meshed", "n2", "10.0.0.1 fd00::1"),
        plain(pod("plain", "n2", "10.0.0.2")),
        hosted(pod("host", "n2", "192.168.0.1")),
        unready(pod("unready", "n2", "10.0.0.3")),
    ];
    let snapshot = mesh(|_| {}, pods);
    for (destination, expected) in [
        ("10.0.0.1:7", "10.0.0.1:7 via 10.0.0.1:15008"),
        ("[fd00::1]:7", "[fd00::1]:7 via [fd00::1]:15008"),
        ("10.0.0.2:7", "10.0.0.2:7 plain"),
        ("192.168.0.1:7", "192.168.0.1:7 is no address of the mesh"),
        ("10.0.0.3:7", "10.0.0.3:7 via 10.0.0.3:15008"),
        ("1.1.1.1:443", "1.1.1.1:443 is no address of the mesh"),
        ("[2001:db8::1]:443", "[2001:db8::1]:443 is no address of the mesh"),
    ] {
        assert_eq!(shown(route(&snapshot, destination)), [expected], "{destination}");
    }
}

#[test]
fn endpoints_that_may_not_be_chosen() {
    let all = |web: &mut Service| web.health_policy = HealthPolicy::AllowAll;
    let good = "10.0.0.1:8080 via 10.0.0.1:15008";
    let cases = [
        ("no endpoint", mesh(|_| {}, vec![]), NONE),
        ("healthy", mesh(|_| {}, vec![web("a", "n2", "10.0.0.1")]), good),
        ("unhealthy", mesh(|_| {}, vec![unready(web("a", "n2", "10.0.0.1"))]), NONE),
        ("unhealthy but all allowed", mesh(all, vec![unready(web("a", "n2", "10.0.0.1"))]), good),
        ("of another service", mesh(|_| {}, vec![serving(pod("a", "n2", "10.0.0.1"), "other")]), NONE),
        ("without address", mesh(|_| {}, vec![web("a", "n2", "")]), NONE),
        ("plain", mesh(|_| {}, vec![plain(web("a", "n2", "10.0.0.1"))]), "10.0.0.1:8080 plain"),
        ("of the host's network", mesh(|_| {}, vec![hosted(web("a", "n2", "192.168.0.1"))]), "192.168.0.1:8080 plain"),
        ("of the other family", mesh(|_| {}, vec![web("a", "n2", "fd00::1")]), "[fd00::1]:8080 via [fd00::1]:15008"),
        ("of the other family, plain", mesh(|_| {}, vec![plain(web("a", "n2", "fd00::1"))]), NONE),
        ("dual stack", mesh(|_| {}, vec![web("a", "n2", "fd00::1 10.0.0.1")]), good),
        ("the client itself", mesh(|_| {}, vec![web("client", "n1", "10.0.9.9")]), "10.0.9.9:8080 via 10.0.9.9:15008"),
    ];
    for (name, snapshot, expected) in cases {
        assert_eq!(shown(route(&snapshot, &format!("{VIP}:80"))), [expected], "{name}");
    }
}

#[test]
fn ports_that_are_not_served() {
    let snapshot = mesh(|_| {}, vec![web("a", "n2", "10.0.0.1")]);
    let service = service_key("web");
    let unknown = RouteError::NoSuchPort { service: service.clone(), port: 443 };
    assert_eq!(route(&snapshot, &format!("{VIP}:443")), Err(unknown));
    let unmapped = RouteError::NoHealthyUpstream { service, port: 81 };
    assert_eq!(route(&snapshot, &format!("{VIP}:81")), Err(unmapped));
}

#[test]
fn a_service_is_seen_by_the_namespaces_it_is_exported_to() {
    for (exported_to, expected) in [
        (None, "10.0.0.1:8080 via 10.0.0.1:15008"),
        (Some(vec!["shop".into(), "till".into()]), "10.0.0.1:8080 via 10.0.0.1:15008"),
        (Some(vec!["till".into()]), "service shop/web.shop.svc.cluster.local is not exported to namespace shop"),
        (Some(vec![]), "service shop/web.shop.svc.cluster.local is not exported to namespace shop"),
    ] {
        let snapshot =
            mesh(|web| web.exported_to = exported_to.clone().map(Into::into), vec![web("a", "n2", "10.0.0.1")]);
        assert_eq!(shown(route(&snapshot, &format!("{VIP}:80"))), [expected], "{exported_to:?}");
    }
}

#[test]
fn the_asked_family_comes_first() {
    let pods = vec![web("four", "n2", "10.0.0.1"), web("six", "n2", "fd00::2"), web("dual", "n2", "10.0.0.3 fd00::3")];
    let snapshot = mesh(|_| {}, pods);
    for (vip, last) in [(format!("{VIP}:80"), "six"), (format!("[{VIP6}]:80"), "four")] {
        let route = route(&snapshot, &vip).unwrap();
        let names: Vec<_> = route.candidates.iter().map(|candidate| candidate.workload.name()).collect();
        assert_eq!((names.len(), names[2]), (3, last), "{vip}");
    }
}

#[test]
fn locality_narrows_or_orders() {
    let pods = || {
        let far = (0..40).map(|n| web(&format!("far-{n}"), "n2", &format!("10.0.2.{n}")));
        far.chain([web("near", "n1", "10.0.1.1")]).collect::<Vec<_>>()
    };
    let prefer = |web: &mut Service| web.load_balancing = LoadBalancingMode::PreferNode;
    let strict = |web: &mut Service| web.load_balancing = LoadBalancingMode::StrictNode;
    let near = "10.0.1.1:8080 via 10.0.1.1:15008";

    let preferred = shown(route(&mesh(prefer, pods()), &format!("{VIP}:80")));
    assert_eq!((preferred.len(), &*preferred[0]), (3, near));
    assert!(preferred[1].starts_with("10.0.2.") && preferred[2].starts_with("10.0.2."), "{preferred:?}");
    assert_eq!(shown(route(&mesh(strict, pods()), &format!("{VIP}:80"))), [near]);

    let far = || vec![web("far", "n2", "10.0.2.1")];
    assert_eq!(shown(route(&mesh(prefer, far()), &format!("{VIP}:80"))).len(), 1);
    assert_eq!(shown(route(&mesh(strict, far()), &format!("{VIP}:80"))), [NONE]);
}

#[test]
fn the_nearest_come_first() {
    let at = |workload: Workload, region: &str, zone: &str| {
        let locality = Locality { region: region.into(), zone: zone.into() };
        Workload { locality: Some(Arc::new(locality)), ..workload }
    };
    let client = at(pod("client", "n1", "10.0.9.9"), "eu", "a");
    let node = || at(web("node", "n1", "10.0.0.1"), "eu", "a");
    let zone = || at(web("zone", "n2", "10.0.0.2"), "eu", "a");
    let region = || at(web("region", "n3", "10.0.0.3"), "eu", "b");
    // A zone of another region has the name of the client's.
    let far = || at(web("far", "n4", "10.0.0.4"), "us", "a");
    let lost = || web("lost", "n5", "10.0.0.5");
    for (mode, pods, expected) in [
        (LoadBalancingMode::PreferNode, vec![far(), region(), zone(), node()], "node zone region"),
        (LoadBalancingMode::PreferNode, vec![far(), region(), zone(), unready(node())], "zone region far"),
        (LoadBalancingMode::PreferZone, vec![far(), region(), zone()], "zone region far"),
        (LoadBalancingMode::PreferZone, vec![lost(), unready(zone()), region()], "region lost"),
        (LoadBalancingMode::PreferZone, vec![lost()], "lost"),
        (LoadBalancingMode::StrictNode, vec![zone(), node()], "node"),
    ] {
        let snapshot = mesh(|web| web.load_balancing = mode, pods);
        let route = snapshot.route(&client, to(&format!("{VIP}:80")), &mut StdRng::seed_from_u64(1)).unwrap();
        let names: Vec<_> = route.candidates.iter().map(|candidate| candidate.workload.name()).collect();
        assert_eq!(names.join(" "), expected, "{mode:?}");
    }
}

#[test]
fn who_may_be_at_the_other_end() {
    let names = |web: &mut Service| {
        web.subject_alt_names = vec!["spiffe://td/ns/a/sa/b".into(), "web.example.com".into()];
    };
    let snapshot = mesh(names, vec![web("a", "n2", "10.0.0.1")]);
    let expected_at = |destination: &str| match &route(&snapshot, destination).unwrap().candidates[0].via {
        Via::Tunnel { expected, .. } => expected.iter().map(ToString::to_string).collect::<Vec<_>>(),
        Via::Plain => vec![],
    };
    let own = "spiffe://cluster.local/ns/shop/sa/a";
    assert_eq!(expected_at(&format!("{VIP}:80")), [own, "spiffe://td/ns/a/sa/b"]);
    assert_eq!(expected_at("10.0.0.1:80"), [own], "addressed directly, only the workload itself will do");
}
