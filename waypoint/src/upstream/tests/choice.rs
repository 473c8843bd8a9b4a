//! Which endpoint is asked.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use ambit_l7::{
    ConsistentHash, Cookie, HashKey, HashRing, LoadBalancing, OutlierDetection, Subset, Traffic, TrafficPolicy,
};
use ambit_model::{Application, TunnelProtocol, Workload};
use http::{HeaderValue, Method};
use std::time::Duration;

use super::mesh::{BUSY, Got, HELLO, Mesh, Server, endpoint, request, run};
use crate::body::Body;
use crate::upstream;

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
