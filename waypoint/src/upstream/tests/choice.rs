//! Which endpoint is asked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use ambit_l7::{
    ConsistentHash, Cookie, HashKey, HashRing, LoadBalancing, OutlierDetection, Subset, Traffic, TrafficPolicy,
};
use ambit_model::{
    Application, GatewayAddress, GatewayDestination, HBONE_PORT, Service, ServiceKey, TunnelProtocol, Workload,
    WorkloadUid,
};
use http::{HeaderValue, Method};
use std::time::Duration;

use super::mesh::{BUSY, Got, HELLO, Mesh, Server, endpoint, request, run, service, waypoint_key};
use crate::body::Body;
use crate::upstream;

/// Of an endpoint that is where another service's pod is, or that service itself.
#[test]
fn an_endpoint_where_another_service_would_be_passed_over_is_left_out() {
    run(async {
        let server = Server::of(&[HELLO]).await;
        let key = ServiceKey { hostname: "guarded.till.svc.cluster.local".into(), namespace: "till".into() };
        let pod = |address: &str, port: u16, tunnel_protocol| {
            let at = endpoint(1, SocketAddr::new(address.parse().unwrap(), port), tunnel_protocol);
            let services = at.services.iter().map(|(_, ports)| (key.clone(), ports.to_vec())).collect();
            let application = Application { services: Arc::new(services), ..Application::clone(&at) };
            Workload { uid: WorkloadUid::pod("Kubernetes", "till", "guarded-0"), application: application.into(), ..at }
        };
        let behind = |bound: bool, address: &str| {
            let hostname =
                if bound { waypoint_key() } else { ServiceKey { namespace: "till".into(), ..waypoint_key() } };
            let waypoint =
                GatewayAddress { destination: GatewayDestination::Hostname(hostname), hbone_port: HBONE_PORT };
            let addresses = vec![address.parse().unwrap()];
            Service { key: key.clone(), addresses, waypoint: Some(waypoint.into()), ..service() }
        };
        let alone = |address: &str| Service { waypoint: None, ..behind(true, address) };
        let (here, there, port) = ("127.0.0.1", "127.0.0.9", server.address.port());
        let refused = "shop/web.shop.svc.cluster.local:80 leads to 127.0.0.1, an address of service \
                       till/guarded.till.svc.cluster.local";
        let tried = "cannot connect to ";
        for (name, other, pod, expected) in [
            ("its pod", behind(true, "10.96.0.9"), pod(here, port, TunnelProtocol::Hbone), Some(refused)),
            ("another port", behind(true, "10.96.0.9"), pod(here, port - 1, TunnelProtocol::Hbone), Some(tried)),
            ("another waypoint's", behind(false, "10.96.0.9"), pod(here, port, TunnelProtocol::Hbone), Some(tried)),
            ("no tunnel", behind(true, "10.96.0.9"), pod(here, port, TunnelProtocol::None), None),
            ("an alias", alone(here), pod(there, port, TunnelProtocol::Hbone), Some(refused)),
            ("an alias behind a waypoint", behind(false, here), pod(there, port, TunnelProtocol::None), Some(refused)),
            ("an alias outside the mesh", alone(here), pod(there, port, TunnelProtocol::None), None),
        ] {
            let entry = endpoint(0, server.address, TunnelProtocol::None);
            // Its address tells nobody who it is.
            let entry = Workload { host_network: true, ..entry };
            let mesh = Mesh::beside(other, vec![entry, pod]);
            let failure = mesh.send(request(Method::GET, Body::empty())).await.err().map(|it| it.reason.to_string());
            match (&failure, expected) {
                (Some(failure), Some(expected)) => assert!(failure.starts_with(expected), "{name}: {failure}"),
                _ => assert_eq!(failure.as_deref(), expected, "{name}"),
            }
        }
    });
}

#[test]
fn a_subset_is_those_with_its_labels() {
    run(async {
        let servers = [Server::of(&[HELLO]).await, Server::of(&[BUSY]).await];
        let version = |version: &str| Arc::new(BTreeMap::from([("version".into(), version.into())]));
        let endpoints = servers.iter().zip(["v1", "v2"]).enumerate().map(|(at, (server, name))| {
            let workload = endpoint(at, server.address, TunnelProtocol::None);
            let labels = version(name);
            Workload { application: Arc::new(Application { labels, ..Application::clone(&workload) }), ..workload }
        });
        let subset = |name: &str| Subset { labels: BTreeMap::clone(&version(name)), ..Subset::default() };
        let subsets = [("one".into(), subset("v1")), ("none".into(), subset("v3"))].into();
        let mut mesh = Mesh::used(endpoints.collect(), Traffic { subsets, ..Traffic::default() });
        for (name, expected) in
            [("one", Got::good("hello", 1)), ("none", Got::failed(503, "UH", 0)), ("other", Got::failed(503, "NC", 0))]
        {
            mesh.subset = Some(name.into());
            for _ in 0..8 {
                assert_eq!(mesh.get().await, expected, "{name}");
            }
        }
    });
}

#[test]
fn a_cookie_leads_back_to_its_endpoint() {
    run(async {
        let servers = [Server::of(&[HELLO]).await, Server::of(&[HELLO]).await, Server::of(&[HELLO]).await];
        let key = HashKey::Cookie(Cookie {
            name: "sticky".into(),
            path: None,
            ttl: Some(Duration::ZERO),
            attributes: vec![],
        });
        let hash = ConsistentHash { key, ring: HashRing::Maglev { table_size: 251 } };
        let load_balancing = LoadBalancing::ConsistentHash(hash);
        let addresses: Vec<_> = servers.iter().map(|server| server.address).collect();
        let mesh = Mesh::of(&addresses, TrafficPolicy { load_balancing, ..TrafficPolicy::default() });
        let first = mesh.send(request(Method::GET, Body::empty())).await.unwrap();
        let cookie = first.response.headers()["set-cookie"].to_str().unwrap().to_owned();
        let cookie = HeaderValue::try_from(cookie.split(';').next().unwrap()).unwrap();
        for _ in 0..8 {
            let mut request = request(Method::GET, Body::empty());
            request.headers_mut().insert("cookie", cookie.clone());
            let answer = mesh.send(request).await.unwrap();
            assert_eq!(answer.happened.address, first.happened.address);
            assert!(!answer.response.headers().contains_key("set-cookie"));
        }
    });
}

#[test]
fn an_endpoint_that_fails_is_left_out() {
    run(async {
        let servers = [Server::of(&[BUSY]).await, Server::of(&[HELLO]).await];
        let outliers = OutlierDetection {
            split_local_errors: false,
            consecutive_local: 0,
            consecutive_gateway: 0,
            consecutive_5xx: 2,
            error_codes: vec![],
            interval: Duration::from_secs(10),
            base_ejection: Duration::from_secs(600),
            max_ejection_percent: 100,
            min_health_percent: 0,
        };
        let policy = TrafficPolicy {
            load_balancing: LoadBalancing::RoundRobin,
            outliers: Some(outliers),
            ..TrafficPolicy::default()
        };
        let mesh = Mesh::of(&[servers[0].address, servers[1].address], policy);
        let mut failed = 0;
        for _ in 0..20 {
            failed += usize::from(mesh.get().await.status == 503);
        }
        assert_eq!(failed, 2);
    });
}

#[test]
fn a_copy_goes_elsewhere_and_says_so() {
    run(async {
        let server = Server::of(&[HELLO]).await;
        let mesh = Mesh::of(&[server.address], TrafficPolicy::default());
        let (body, mut copies) = upstream::tee(Body::full("question"), 1);
        upstream::mirror(&mesh.worker, &mesh.plan(), request(Method::POST, copies.remove(0)));
        drop(http_body_util::BodyExt::collect(body).await.unwrap());
        let requests = Rc::clone(&server.requests);
        while requests.borrow().is_empty() {
            tokio::task::yield_now().await;
        }
        let copy = requests.borrow()[0].clone();
        assert!(copy.contains("host: web-shadow\r\n") && copy.ends_with("\r\n\r\nquestion"), "{copy:?}");
    });
}
